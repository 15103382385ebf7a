"""Rules about the learner, its helpers and the jobs."""

from __future__ import annotations

from collections.abc import Iterator

from policy_learner.settings import LearnerSettings
from tests.k8s.check.objects import containers_of, of_kind
from tests.k8s.check.processes import BadSettings, command_of, module_of, settings_of
from tests.k8s.check.scene import Scene


def one_writer(scene: Scene) -> Iterator[str]:
    """One learner, the old one gone before the new one comes; and who shares its claim is on its node."""
    for pod in scene.pods:
        spec = pod.workload["spec"]
        modules = {module_of(c) for c in containers_of(pod)}
        if "policy_learner" in modules:
            if spec.get("replicas", 1) != 1 or spec.get("strategy", {}).get("type") != "Recreate":
                yield f"{pod.name}: needs one replica and the strategy Recreate"
            continue
        if not any("persistentVolumeClaim" in v for v in pod.volumes.values()):
            continue
        affinity = (pod.spec.get("affinity") or {}).get("podAffinity", {})
        if not affinity.get("requiredDuringSchedulingIgnoredDuringExecution"):
            yield f"{pod.name}: mounts the learner's claim and may be put on another node"


def archiving(scene: Scene) -> Iterator[str]:
    """The log is written by somebody: an archiver where the learner leaves it to one, else by the learner."""
    if scene.application is None:
        return
    told: dict[str, str] = {}
    for container in scene.containers:
        if module_of(container) in ("policy_learner", "policy_learner.archiver"):
            try:
                found = settings_of(container, scene.application)
            except BadSettings:
                return
            assert isinstance(found, LearnerSettings)
            told[module_of(container)] = found.archiver
    if told.get("policy_learner") == "apart" and "policy_learner.archiver" not in told:
        yield "the learner leaves the log to an archiver, and there is none"
    if told.get("policy_learner") == "here" and "policy_learner.archiver" in told:
        yield "the learner writes the log, and an archiver too"


def jobs(scene: Scene) -> Iterator[str]:
    """A job does not overtake itself, ends some day, leaves no heap of pods, and names its application."""
    for item in of_kind(scene.objects, "CronJob"):
        spec, inner = item["spec"], item["spec"]["jobTemplate"]["spec"]
        name = f"CronJob {item['metadata']['name']}"
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{name}: may overtake itself: needs concurrencyPolicy Forbid"
        if len(spec["schedule"].split()) != 5 or "timeZone" not in spec:
            yield f"{name}: {spec['schedule']!r} is no schedule with a timeZone"
        for field in ("activeDeadlineSeconds", "ttlSecondsAfterFinished", "backoffLimit"):
            if field not in inner:
                yield f"{name}: says no {field}"
        if "startingDeadlineSeconds" not in spec:
            yield f"{name}: says no startingDeadlineSeconds"
        if inner["template"]["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
            yield f"{name}: needs restartPolicy Never or OnFailure"
    if scene.application is not None:
        yield from _logs(scene, scene.application.name)


def _logs(scene: Scene, name: str) -> Iterator[str]:
    """What is read and shipped is this application's log, wherever it lies."""
    for container in scene.containers:
        for word in [*command_of(container), *container.environment.values()]:
            last = word.rpartition("/")[2]
            if ("/log/" in word and last != name) or (word.startswith("s3://") and not last.startswith(name)):
                yield f"{container.name}: means {word}; the application's name is {name}"
