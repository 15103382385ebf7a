"""What Personalizer calls its service configuration: how the application learns, in its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from decision_service.doors.foreign import Visit
from decision_service.problem import HttpAnswer
from sidecar.contracts.application import Application, Exploration

_WORDS = {"mean": "average"}
_PUBLISH_EVERY_S = 0.05
"""The learner's own default of `publish_every_s`."""


class Configuration:
    """Shows the settings; they are changed in ``app.toml``.

    Args:
        application: its settings.
        explores: how it does so just now.
    """

    def __init__(self, application: Application, explores: Callable[[], Exploration]) -> None:
        self._application, self._explores = application, explores

    async def show(self, visit: Visit) -> HttpAnswer:
        """``GET configurations/service``."""
        spans = visit.parts[0] == "v1.0"
        return HttpAnswer(200, msgspec.json.encode(self._of(time_span if spans else iso_duration, spans)))

    def _of(self, told: Callable[[float], str], first_version: bool) -> dict[str, Any]:
        reward, learner = self._application.reward, self._application.learner
        found: dict[str, Any] = {
            "rewardWaitTime": told(reward.horizon_s),
            "defaultReward": reward.default,
            "rewardAggregation": _WORDS.get(reward.aggregation, reward.aggregation),
            "explorationPercentage": share_of(self._explores()),
            "modelExportFrequency": told(_number(learner, "publish_every_s", _PUBLISH_EVERY_S)),
            "logMirrorEnabled": False,
            "logMirrorSasUri": None,
            "logRetentionDays": int(_number(learner, "retention_days", 0)) or -1,
        }
        if not first_version:
            found |= {"learningMode": "Online", "isAutoOptimizationEnabled": False, "modelRetrainDays": 0}
        return found


def _number(section: Mapping[str, Any], name: str, default: float) -> float:
    """The learner checks its section itself; here only what is a number is shown."""
    value = section.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def share_of(explores: Exploration) -> float:
    """The share of decisions that are not the best arm's by right, as near as one number can say.

    >>> share_of(Exploration("epsilon_greedy", epsilon=0.2, control_share=0.0))
    0.2
    """
    own = {"epsilon_greedy": explores.epsilon, "uniform": 1.0}.get(explores.scheme, 0.0)
    return round(1.0 - (1.0 - own) * (1.0 - explores.control_share), 12)


def iso_duration(seconds: float) -> str:
    """As version 1.1 and later write it.

    >>> iso_duration(1800), iso_duration(90061.5), iso_duration(0.05)
    ('PT30M', 'P1DT1H1M1.5S', 'PT0.05S')
    """
    days, hours, minutes, left = _split(seconds)
    date = f"{days}D" if days else ""
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    time += f"{left:g}S" if left or not (date or time) else ""
    return f"P{date}" + (f"T{time}" if time else "")


def time_span(seconds: float) -> str:
    """As version 1.0 writes it.

    >>> time_span(600), time_span(90061.5)
    ('00:10:00', '1.01:01:01.5000000')
    """
    days, hours, minutes, left = _split(seconds)
    whole = int(left)
    ticks = round((left - whole) * 1e7)
    head, tail = f"{days}." if days else "", f".{ticks:07d}" if ticks else ""
    return f"{head}{hours:02d}:{minutes:02d}:{whole:02d}{tail}"


def _split(seconds: float) -> tuple[int, int, int, float]:
    minutes, left = divmod(round(seconds, 7), 60.0)
    hours, minutes = divmod(minutes, 60.0)
    days, hours = divmod(hours, 24.0)
    return int(days), int(hours), int(minutes), round(left, 7)
