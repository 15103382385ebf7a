# Four images, each with its own dependencies, locked with hashes (k8s/images/*.lock), and nothing else:
#
#   docker build --target service -t sidearm-service:0.1.0 .      # likewise sidecar, learner, eval
#
# BASE is any image with Python 3.11 or 3.12 and glibc. Here it has a version and no digest: one that is written
# down goes on installing the holes of its day until somebody changes it. In production give the digest that your
# registry has today: --build-arg BASE=…@sha256:… . The images run as
# user 10001, need no shell, and write nothing but to /tmp and /var/lib/sidearm: both may be mounted.
ARG BASE=python:3.12.12-slim-bookworm

# ---- what builds, and is in no image ----

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_VIRTUALENV=1
RUN ["python3", "-m", "venv", "/opt/sidearm"]
WORKDIR /build

FROM build AS code
COPY k8s/images/build.lock k8s/images/
RUN /opt/sidearm/bin/pip install -q --no-deps --require-hashes -r k8s/images/build.lock
COPY pyproject.toml README.md ./
COPY sidecar sidecar
COPY feature_graph feature_graph
COPY decision_service decision_service
COPY policy_learner policy_learner
COPY offline_eval offline_eval
RUN /opt/sidearm/bin/pip wheel -q --no-deps --no-build-isolation -w /wheel .

FROM build AS sidecar-files
COPY k8s/images/sidecar.lock k8s/images/
RUN /opt/sidearm/bin/pip install -q --no-deps --require-hashes -r k8s/images/sidecar.lock \
    && /opt/sidearm/bin/pip uninstall -q -y setuptools pip
# The model container: its own package alone.
COPY sidecar /opt/sidearm/code/sidecar
RUN /opt/sidearm/bin/python -m compileall -q /opt/sidearm

FROM build AS service-files
COPY k8s/images/service.lock k8s/images/
RUN /opt/sidearm/bin/pip install -q --no-deps --require-hashes -r k8s/images/service.lock
COPY --from=code /wheel /wheel
RUN /opt/sidearm/bin/pip install -q --no-deps --no-index /wheel/*.whl \
    && /opt/sidearm/bin/pip uninstall -q -y setuptools pip

FROM build AS learner-files
COPY k8s/images/learner.lock k8s/images/
RUN /opt/sidearm/bin/pip install -q --no-deps --require-hashes -r k8s/images/learner.lock
COPY --from=code /wheel /wheel
RUN /opt/sidearm/bin/pip install -q --no-deps --no-index /wheel/*.whl \
    && /opt/sidearm/bin/pip uninstall -q -y setuptools pip

FROM build AS eval-files
COPY k8s/images/eval.lock k8s/images/
RUN /opt/sidearm/bin/pip install -q --no-deps --require-hashes -r k8s/images/eval.lock
COPY --from=code /wheel /wheel
RUN /opt/sidearm/bin/pip install -q --no-deps --no-index /wheel/*.whl \
    && /opt/sidearm/bin/pip uninstall -q -y setuptools pip

# ---- what runs ----

FROM ${BASE} AS run
ENV PATH=/opt/sidearm/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1 \
    SIDEARM_APP=/etc/sidearm/application SIDEARM_DATA=/var/lib/sidearm
RUN mkdir -p /var/lib/sidearm /etc/sidearm/application && chown 10001:10001 /var/lib/sidearm
LABEL org.opencontainers.image.title="sidearm" org.opencontainers.image.version="0.1.0"
WORKDIR /var/lib/sidearm
USER 10001:10001

FROM run AS sidecar
ENV PYTHONPATH=/opt/sidearm/code
COPY --from=sidecar-files /opt/sidearm /opt/sidearm
CMD ["python", "-m", "sidecar.server"]

FROM run AS learner
COPY --from=learner-files /opt/sidearm /opt/sidearm
CMD ["python", "-m", "policy_learner"]

FROM run AS eval
COPY --from=eval-files /opt/sidearm /opt/sidearm
CMD ["sidearm", "evaluate", "--help"]

FROM run AS service
COPY --from=service-files /opt/sidearm /opt/sidearm
EXPOSE 8000
CMD ["python", "-m", "decision_service"]
