# One command for each job; `make help` lists them. Each does all the set-up that it needs.
# Knobs: PYTHON=python3.12  APP=examples/shop  DATA=data  PORT=8000  FAST=1 (demo)  ARGS=… (test, bench)
#        SECONDS=60 SEED=1 (faults)  K8S=folder WRITE=1 (k8s)
#        PYTHONS="3.11 3.12" (bench: the gates of the feature graph run under each that is there)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

APP ?= examples/shop
DATA ?= data
PORT ?=
PYTHON ?=
PYTHONS ?=
ARGS ?=
SECONDS ?= 60
SEED ?= 1

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
CODE := decision_service policy_learner feature_graph offline_eval sidecar sidearm_client examples benchmarks docs tests
BUILD := $(CURDIR)/build

# Tools that would write into the home folder write into build/ instead.
export IPYTHONDIR := $(BUILD)/ipython
export JUPYTER_CONFIG_DIR := $(BUILD)/jupyter/config
export JUPYTER_DATA_DIR := $(BUILD)/jupyter/data
export JUPYTER_RUNTIME_DIR := $(BUILD)/jupyter/runtime
export KUBECACHEDIR := $(BUILD)/kube
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUTF8 := 1

# Tests work in a folder with a short name, since sockets have short addresses, and leave nothing of it.
PYTEST = folder=$$(mktemp -d /tmp/sidearm-XXXXXX) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 130' INT TERM \
	&& PYTEST_DEBUG_TEMPROOT=$$folder $(PY) -m pytest

.PHONY: help run demo test test-all faults k8s check notebooks bench fmt lock clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## the platform on APP (examples/shop): store, sidecar, service on :8000, learner
	@$(BIN)/sidearm up $(APP) --data $(DATA) $(if $(PORT),--port $(PORT))

demo: $(VENV)/run.stamp ## real logs, live sessions, learning, an honest estimate; FAST=1 for a minute's version
	@FAST=$(FAST) $(PY) -m examples.demo

test: $(VENV)/dev.stamp ## the tests but the slow ones, doctests included: under 8 minutes
	@$(PYTEST) -m "not slow" -n 2 --dist loadscope $(ARGS)

test-all: $(VENV)/dev.stamp $(VENV)/spark.stamp ## the slow tests: faults, notebooks, Spark, manifests with kubectl
	@$(PYTEST) -m slow $(ARGS)

faults: $(VENV)/dev.stamp ## SECONDS=60 of kills, pauses, lost replies and power cuts; then every wrong variant is caught
	@$(PY) -m tests.faults --seconds $(SECONDS) --seed $(SEED) $(ARGS)

k8s: $(VENV)/dev.stamp ## every set of manifests: rendered, against schemas, rules and the real kubectl; K8S=folder: yours; WRITE=1
	@$(PY) -m tests.k8s.check $(if $(WRITE),--write) $(K8S)
	@$(if $(K8S),:,$(PYTEST) -q -m slow tests/k8s/test_kubectl.py)

check: $(VENV)/dev.stamp ## format, lint, types, import rules, documentation: under a minute
	@$(PY) -m ruff format --check $(CODE)
	@$(PY) -m ruff check $(CODE)
	@$(BIN)/lint-imports --no-logo
	@$(PYTEST) -q -p no:cacheprovider tests/test_docs.py
	@$(PY) -m mypy

notebooks: $(VENV)/notebooks.stamp ## JupyterLab on the notebooks of offline_eval, with everything they need
	@$(PY) -m jupyterlab offline_eval/notebooks $(ARGS)

bench: $(VENV)/dev.stamp ## figures beside their yardsticks, into build/bench.json
	@PYTHONS="$(PYTHONS)" $(PY) -m benchmarks $(ARGS)

fmt: $(VENV)/dev.stamp ## format, fix what can be fixed, write the pages of settings, metrics and commands
	@$(PY) -m ruff check --fix-only -q $(CODE)
	@$(PY) -m ruff format $(CODE)
	@$(PY) -m docs.settings_page
	@$(PY) -m docs.metrics_page
	@$(PY) -m docs.commands_page
	@$(PY) -m docs.capacity_page

IMAGE_LOCK = $(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links -c requirements.lock

lock: $(VENV)/dev.stamp ## requirements*.lock from requirements*.in, and those of the images: hashes, no addresses
	@$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -o requirements.lock requirements.in
	@$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -c requirements.lock -o requirements-dev.lock requirements-dev.in
	@$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -o requirements-uv.lock requirements-uv.in
	@$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -c requirements.lock -o requirements-bench.lock requirements-bench.in
	@$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --override requirements-obp.without \
		-o requirements-obp.lock requirements-obp.in
	@$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -c requirements-dev.lock \
		-o requirements-notebooks.lock requirements-notebooks.in
	@$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links -c requirements-dev.lock -o requirements-spark.lock requirements-spark.in
	@$(IMAGE_LOCK) --extra serve -o k8s/images/service.lock pyproject.toml
	@$(IMAGE_LOCK) --extra sidecar -o k8s/images/sidecar.lock pyproject.toml
	@$(IMAGE_LOCK) --extra learn --extra objects -o k8s/images/learner.lock pyproject.toml
	@$(IMAGE_LOCK) --extra eval --extra objects -o k8s/images/eval.lock pyproject.toml
	@grep '^setuptools' requirements.in | $(IMAGE_LOCK) -o k8s/images/build.lock -

clean: ## what was built, measured and cached; not data/ nor .venv/
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and the environment with everything downloaded
	@rm -rf $(VENV) .cache

# ---- set-up. Stamps are newer than what they were made from, so a second `make` begins at once. ----

# uv is 20 times faster than pip where it can be had; both check every hash.
INSTALL = mkdir -p $(BUILD)/tmp && export TMPDIR=$(BUILD)/tmp; if [ -x $(BIN)/uv ]; then $(BIN)/uv pip install -q --python $(PY) $(1); else $(PY) -m pip install -q $(1); fi

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(VENV)/base.stamp
	@echo "installing what the platform runs on …"
	@$(call INSTALL,--require-hashes -r requirements.lock)
	@$(call INSTALL,--no-deps --no-build-isolation -e .)
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp | $(VENV)/base.stamp
	@echo "installing what checks and tests it …"
	@$(call INSTALL,--require-hashes -r requirements-dev.lock)
	@touch $@

$(VENV)/notebooks.stamp: requirements-notebooks.lock $(VENV)/run.stamp | $(VENV)/base.stamp
	@echo "installing JupyterLab …"
	@$(call INSTALL,--require-hashes -r requirements-notebooks.lock)
	@touch $@

# Spark is built from its source: where a registry has no validators, a cache would take 2.6 GB more each time.
$(VENV)/spark.stamp: requirements-spark.lock $(VENV)/dev.stamp | $(VENV)/base.stamp
	@echo "installing Spark, 400 MB, once …"
	@$(call INSTALL,--no-cache-dir --require-hashes -r requirements-spark.lock)
	@touch $@

$(VENV)/base.stamp: requirements-uv.lock
	@.ci/make-venv "$(PYTHON)" $(VENV)
	@$(PY) -m pip install -q --require-hashes -r requirements-uv.lock 2>/dev/null \
		|| echo "uv cannot be had here: going on with pip, which takes a minute longer"
	@touch $@
