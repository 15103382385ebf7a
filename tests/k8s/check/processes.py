"""What the manifests' commands start: which process, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from decision_service.settings import ServiceSettings
from offline_eval.settings import EvaluationSettings
from policy_learner.settings import LearnerSettings
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.process_log import LogSettings, log_settings
from sidecar.contracts.settings import load_settings
from sidecar.server.settings import SidecarSettings
from tests.k8s.check.objects import Container


class Section(NamedTuple):
    """The part of ``app.toml`` that a process reads."""

    name: str
    settings: type[Struct]


_SERVICE = Section("decision_service", ServiceSettings)
_SIDECAR = Section("sidecar", SidecarSettings)
_LEARNER = Section("learner", LearnerSettings)
_EVALUATION = Section("evaluation", EvaluationSettings)
MODULES = {
    "decision_service": _SERVICE,
    "sidecar.server": _SIDECAR,
    "policy_learner": _LEARNER,
    "policy_learner.joiner": _LEARNER,
    "policy_learner.archiver": _LEARNER,
}
_COMMANDS = {"log": _LEARNER, "train": _LEARNER, "evaluate": _EVALUATION}
EVERYWHERE = frozenset({"SIDEARM_APP", "SIDEARM_DATA", "REDIS_URL", "REDIS_URL_FILE"})
EVERYWHERE |= {"FEATURE_STORE_URL", "FEATURE_STORE_URL_FILE"}
EVERYWHERE |= {f"SIDEARM_LOG_{name.upper()}" for name in LogSettings.__struct_fields__}


def command_of(container: Container) -> list[str]:
    """As it is typed: command and arguments."""
    return [*container.spec.get("command", []), *container.spec.get("args", [])]


def module_of(container: Container) -> str:
    """The module that Python is told to run; empty when the command is something else."""
    words = command_of(container)
    return words[2] if words[:2] == ["python", "-m"] and len(words) > 2 else ""


def section_of(container: Container) -> Section | None:
    """What it reads of ``app.toml``; None: nothing, or it is no process of ours."""
    words = command_of(container)
    if words[:1] == ["sidearm"]:
        return _COMMANDS.get(words[1] if len(words) > 1 else "")
    return MODULES.get(module_of(container))


def is_ours(container: Container) -> bool:
    """Whether the image is one of ours."""
    return container.spec.get("image", "").rpartition("/")[2].startswith("sidearm-")


def settings_of(container: Container, application: Application) -> Struct | None:
    """The settings that the process would start with; None when it reads none.

    Raises:
        BadSettings: it would not start.
    """
    log_settings(container.environment)
    section = section_of(container)
    if section is None:
        return None
    values = getattr(application, section.name)
    return load_settings(section.settings, section.name, values, _told(container.environment))


def _told(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in EVERYWHERE}


__all__ = ["EVERYWHERE", "BadSettings", "command_of", "is_ours", "module_of", "section_of", "settings_of"]
