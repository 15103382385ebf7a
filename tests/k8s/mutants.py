"""Things that can be broken in a manifest by hand, each with who must notice: a rule, or the schemas."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.k8s.check.objects import Object, named

FULL = ("production", ("gateway", "s3"))
SCALED = ("production", ("keda",))
LOCAL = ("dev", ("network-policies",))

SERVICE, LEARNER, ARCHIVER = "Deployment decision-service", "Deployment policy-learner", "Deployment archiver"
DOOR, ROUTE = "Service decision-service", "HTTPRoute decision-service"
HPA, BUDGET = "HorizontalPodAutoscaler decision-service", "PodDisruptionBudget decision-service"
CONFIG = "ConfigMap application-"
BESIDE = "pod affinity podAffinity requiredDuringSchedulingIgnoredDuringExecution 0"

GONE, TWICE = object(), object()
EMPTY: dict[str, str] = {}
TYPO = 'name = "starter"\npartishuns = 64\n'
OF_SECRET = {"secretKeyRef": {"name": "store", "key": "url"}}


class Mutant(NamedTuple):
    """One broken thing."""

    what: str
    caught_by: str
    where: str
    """Kind and name of the object, or how they begin."""
    path: str
    """Words that lead there: keys, places in a list, or names of its items; ``pod`` is the pods' spec."""
    value: Any = GONE
    """What is put there; ``GONE``: it is left out, ``TWICE``: the object is there once more."""
    of: tuple[str, tuple[str, ...]] = FULL
    """The set: an overlay and components."""


MUTANTS = (
    Mutant("a misspelt field", "schema", SERVICE, "spec replicaz", 2),
    Mutant("a number that is text", "schema", LEARNER, "spec replicas", "one"),
    Mutant("an API version that is gone", "schema", HPA, "apiVersion", "autoscaling/v2beta1"),
    Mutant("a misspelt field of a custom resource", "schema", ROUTE, "spec hostname", "a.example.com"),
    Mutant("a mount without its volume", "volumes", LEARNER, "pod volumes tmp"),
    Mutant("a volume that nobody mounts", "volumes", LEARNER, "pod containers learner volumeMounts tmp"),
    Mutant(
        "a volume of no ConfigMap",
        "volumes",
        LEARNER,
        "pod volumes application configMap name",
        "applikation",
    ),
    Mutant("a claim that is missing", "volumes", "PersistentVolumeClaim learner-data", ""),
    Mutant(
        "a data folder in no mount", "places", LEARNER, "pod containers learner env SIDEARM_DATA", "/data"
    ),
    Mutant(
        "an image called latest", "images", SERVICE, "pod containers service image", "sidearm-service:latest"
    ),
    Mutant(
        "an image without a version", "images", SERVICE, "pod initContainers sidecar image", "sidearm-sidecar"
    ),
    Mutant(
        "a quantity that is none",
        "resources",
        SERVICE,
        "pod containers service resources requests memory",
        "12Qx",
    ),
    Mutant("no limit of memory", "resources", SERVICE, "pod initContainers sidecar resources limits"),
    Mutant(
        "more asked for than allowed",
        "resources",
        SERVICE,
        "pod initContainers sidecar resources requests memory",
        "1Gi",
    ),
    Mutant("a volume that may fill the node", "resources", SERVICE, "pod volumes data emptyDir", EMPTY),
    Mutant(
        "throttling on the decision path",
        "latency",
        SERVICE,
        "pod containers service resources limits cpu",
        "1",
    ),
    Mutant("root", "pod_security", ARCHIVER, "pod securityContext runAsUser", 0),
    Mutant(
        "a writable image",
        "pod_security",
        SERVICE,
        "pod containers service securityContext readOnlyRootFilesystem",
    ),
    Mutant(
        "privileges to be had",
        "pod_security",
        SERVICE,
        "pod containers service securityContext allowPrivilegeEscalation",
    ),
    Mutant(
        "a capability",
        "pod_security",
        SERVICE,
        "pod initContainers sidecar securityContext capabilities add",
        ["NET_ADMIN"],
    ),
    Mutant("no seccomp profile", "pod_security", LEARNER, "pod securityContext seccompProfile"),
    Mutant(
        "a folder of the node",
        "pod_security",
        SERVICE,
        "pod volumes tmp",
        {"name": "tmp", "hostPath": {"path": "/"}},
    ),
    Mutant("a token of the API server", "pod_security", SERVICE, "pod automountServiceAccountToken", True),
    Mutant("a namespace open to all pods", "pod_security", "Namespace sidearm", "metadata labels"),
    Mutant("an account that is missing", "accounts", "ServiceAccount joiner", ""),
    Mutant(
        "last words that nobody hears",
        "last_words",
        SERVICE,
        "pod containers service terminationMessagePolicy",
    ),
    Mutant("no readiness", "probes", SERVICE, "pod containers service readinessProbe"),
    Mutant("no liveness", "probes", SERVICE, "pod initContainers sidecar livenessProbe"),
    Mutant(
        "liveness that is readiness",
        "probes",
        SERVICE,
        "pod containers service livenessProbe httpGet path",
        "/readyz",
    ),
    Mutant(
        "a start that waits for the store",
        "questions",
        SERVICE,
        "pod initContainers sidecar startupProbe exec command 4",
        "/readyz",
    ),
    Mutant(
        "a probe's path that is not there",
        "questions",
        SERVICE,
        "pod containers service livenessProbe httpGet path",
        "/healthz",
    ),
    Mutant(
        "a module that is not there",
        "commands",
        SERVICE,
        "pod containers service command 2",
        "decision_servise",
    ),
    Mutant(
        "a command that is not there",
        "commands",
        "CronJob evaluation",
        "pod containers evaluation command 1",
        "evalute",
    ),
    Mutant(
        "an option that is not there",
        "commands",
        "CronJob compaction",
        "pod containers compaction command 3",
        "--retane",
    ),
    Mutant(
        "a probe's port that has no name",
        "named_ports",
        SERVICE,
        "pod containers service readinessProbe httpGet port",
        "web",
    ),
    Mutant("a Service's port that no pod has", "named_ports", DOOR, "spec ports http targetPort", "web"),
    Mutant(
        "another port than the settings'",
        "listening",
        SERVICE,
        "pod containers service env SIDEARM_DECISION_SERVICE_PORT",
        "8080",
    ),
    Mutant(
        "a door that opens inwards",
        "listening",
        SERVICE,
        "pod containers service env SIDEARM_DECISION_SERVICE_HOST",
        "127.0.0.1",
    ),
    Mutant("a route that lets figures out", "routes", ROUTE, "spec rules 0 matches 0 path value", "/"),
    Mutant("a route to no port", "routes", ROUTE, "spec rules 0 backendRefs 0 port", 8000),
    Mutant("an object that is there twice", "names", DOOR, "", TWICE),
    Mutant("an object in another namespace", "names", DOOR, "metadata namespace", "default"),
    Mutant("a Service for nobody", "selectors", DOOR, "spec selector app.kubernetes.io/name", "decisions"),
    Mutant(
        "a selector for others' pods",
        "selectors",
        "Deployment joiner",
        "spec selector matchLabels app.kubernetes.io/name",
        "archiver",
    ),
    Mutant(
        "a neighbour who is nobody",
        "selectors",
        ARCHIVER,
        f"{BESIDE} labelSelector matchLabels app.kubernetes.io/name",
        "learner",
    ),
    Mutant("an autoscaler of nothing", "scaling", HPA, "spec scaleTargetRef name", "service"),
    Mutant("two who say how many", "scaling", SERVICE, "spec replicas", 2),
    Mutant(
        "a container that is not measured",
        "scaling",
        HPA,
        "spec metrics 0 containerResource container",
        "web",
    ),
    Mutant("at least more than at most", "scaling", HPA, "spec minReplicas", 100),
    Mutant(
        "two autoscalers",
        "scaling",
        "ScaledObject joiner",
        "spec scaleTargetRef name",
        "decision-service",
        SCALED,
    ),
    Mutant("a budget that lets nobody go", "disruption", BUDGET, "spec maxUnavailable", 0),
    Mutant("callers without a budget", "disruption", BUDGET, ""),
    Mutant("all replicas on one node", "disruption", SERVICE, "pod topologySpreadConstraints"),
    Mutant("a typo in app.toml", "application", CONFIG, "data app.toml", TYPO),
    Mutant(
        "a setting that is none",
        "settings",
        LEARNER,
        "pod containers learner env SIDEARM_LEARNER_PUBLISH_EVRY_S",
        "1",
    ),
    Mutant(
        "a setting of another process",
        "settings",
        LEARNER,
        "pod containers learner env SIDEARM_SIDECAR_POLL_S",
        "1",
    ),
    Mutant(
        "a setting out of its range",
        "settings",
        SERVICE,
        "pod containers service env SIDEARM_DECISION_SERVICE_DEADLINE_MS",
        "0",
    ),
    Mutant(
        "a password in the environment",
        "secrets",
        SERVICE,
        "pod containers service env REDIS_URL",
        "redis://:secret@store:6379",
    ),
    Mutant(
        "a Secret in the environment",
        "secrets",
        SERVICE,
        "pod containers service env REDIS_URL_FILE",
        OF_SECRET,
    ),
    Mutant("a ConfigMap that changes in silence", "configuration", CONFIG, "metadata name", "application"),
    Mutant(
        "two sockets",
        "together",
        SERVICE,
        "pod initContainers sidecar env SIDEARM_SIDECAR_SOCKET",
        "/tmp/sidecar.sock",
    ),
    Mutant("a socket on the disk", "together", SERVICE, "pod volumes run emptyDir medium"),
    Mutant(
        "a spool that does not fit",
        "disks",
        SERVICE,
        "pod containers service env SIDEARM_DECISION_SERVICE_SPOOL_BYTES",
        "1073741824",
    ),
    Mutant("killed while it drains", "ending", SERVICE, "pod terminationGracePeriodSeconds", 15),
    Mutant("no preStop", "leaving", SERVICE, "pod containers service lifecycle"),
    Mutant(
        "no lingering",
        "leaving",
        SERVICE,
        "pod containers service env SIDEARM_DECISION_SERVICE_LINGER_S",
        "0",
    ),
    Mutant(
        "a rollout that takes away first", "leaving", SERVICE, "spec strategy rollingUpdate maxUnavailable", 1
    ),
    Mutant("two learners", "one_writer", LEARNER, "spec replicas", 2),
    Mutant("a claim on two nodes", "one_writer", ARCHIVER, "pod affinity"),
    Mutant("a log that nobody writes", "archiving", ARCHIVER, ""),
    Mutant("a job that overtakes itself", "jobs", "CronJob rebase", "spec concurrencyPolicy"),
    Mutant("a job that never ends", "jobs", "CronJob rebase", "spec jobTemplate spec activeDeadlineSeconds"),
    Mutant(
        "the log of another application",
        "jobs",
        "CronJob evaluation",
        "pod initContainers fetch command 4",
        "/var/lib/sidearm/log/shop",
    ),
    Mutant(
        "an object store's folder of another application",
        "jobs",
        ARCHIVER,
        "pod containers archiver env SIDEARM_LEARNER_ARCHIVE_URL",
        "s3://sidearm/shop",
    ),
    Mutant("doors that stand open", "network", "NetworkPolicy default-deny", ""),
    Mutant("names that cannot be asked for", "network", "NetworkPolicy all-to-dns", ""),
    Mutant("a store behind a closed door", "network", "NetworkPolicy processes-to-external-store", ""),
    Mutant("a store that lets nobody in", "network", "NetworkPolicy store-from-processes", "", GONE, LOCAL),
    Mutant("an object store out of reach", "network", "NetworkPolicy log-to-object-store", ""),
    Mutant("callers who are kept out", "network", "NetworkPolicy callers-to-service", ""),
)


def broken(objects: Sequence[Object], mutant: Mutant) -> list[Object]:
    """A copy of a rendered set with one thing broken."""
    copied = copy.deepcopy(list(objects))
    at = next(n for n, item in enumerate(copied) if named(item).startswith(mutant.where))
    if not mutant.path:
        return copied[:at] + [copied[at]] * (2 if mutant.value is TWICE else 0) + copied[at + 1 :]
    *way, last = mutant.path.split()
    inside: Any = copied[at]
    for word in way:
        inside = _pod(copied[at]) if word == "pod" else inside[_place(inside, word)]
    _put(inside, last, mutant.value)
    return copied


def _pod(item: Object) -> Any:
    spec = item["spec"]
    return spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]


def _place(inside: Any, word: str) -> Any:
    if not isinstance(inside, list):
        return word
    return next((n for n, one in enumerate(inside) if one.get("name") == word), word.isdigit() and int(word))


def _put(inside: Any, word: str, value: Any) -> None:
    if isinstance(inside, list) and not word.isdigit():
        kept = [one for one in inside if one["name"] != word]
        inside[:] = kept if value is GONE else [*kept, _item(word, value)]
    elif value is GONE:
        del inside[word]
    else:
        inside[int(word) if isinstance(inside, list) else word] = value


def _item(name: str, value: Any) -> dict[str, Any]:
    """A variable's value, where from it comes, or a whole item."""
    if isinstance(value, str):
        return {"name": name, "value": value}
    return value if "name" in value else {"name": name, "valueFrom": value}
