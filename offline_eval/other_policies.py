"""Further target policies: a logged shadow, a function of one's own, and what served at some time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np

from offline_eval.batches import Batch
from offline_eval.engine import connect, literal
from offline_eval.errors import BadCandidate
from offline_eval.target_policy import Scored, TargetPolicy
from offline_eval.terms import Floats
from sidecar.contracts.application import Exploration
from sidecar.contracts.events import DecisionEvent, decode_decision
from sidecar.contracts.weights import Weights
from sidecar.policy.exploration import pmf_of

Choice = Callable[[Mapping[str, object], Sequence[str]], Sequence[float]]
"""Context and eligible arms to a probability each."""


class Function:
    """A Python function as a policy.

    Args:
        name: as it stands in tables.
        choice: gives the probabilities of the eligible arms in a context.
    """

    needs_events = False
    key = ("context",)

    def __init__(self, name: str, choice: Choice) -> None:
        self.name = name
        self._choice = choice

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities.

        Raises:
            BadCandidate: the function failed, or gave another number of probabilities than there are arms.
        """
        contexts, arms = batch.column(f"key_{self.name}").to_pylist(), batch.column("arms").to_pylist()
        rows = [self._row(msgspec.json.decode(text), each) for text, each in zip(contexts, arms, strict=True)]
        return np.concatenate(rows) if rows else np.zeros(0)

    def chosen(self, batch: Batch, pmf: Floats) -> Floats:
        """(n,) probability of the arm that was shown."""
        return pmf[batch.chosen]

    def _row(self, context: Mapping[str, object], arms: Sequence[str]) -> Floats:
        try:
            given = np.asarray(self._choice(context, arms), dtype=np.float64)
        except Exception as error:
            raise BadCandidate(f"{self.name} failed: {type(error).__name__}: {error}") from error
        if given.shape != (len(arms),):
            raise BadCandidate(f"{self.name} gave {given.size} probabilities for {len(arms)} arms")
        return given


class Shadow:
    """A model that scored the logged decisions without being official: nothing has to be scored again.

    Its exploration is its own where it could have been official, else that of the decision. Decisions that
    it did not score do not count.
    """

    needs_events = True
    key: tuple[str, ...] = ()

    def __init__(self, policy: str) -> None:
        self.name = f"shadow:{policy}"
        self._policy = policy

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities; NaN where it did not score."""
        rows = [self._row(event, count) for event, count in zip(batch.events, batch.counts, strict=True)]
        return np.concatenate(rows) if rows else np.zeros(0)

    def chosen(self, batch: Batch, pmf: Floats) -> Floats:
        """(n,) probability of the arm that was shown."""
        return pmf[batch.chosen]

    def _row(self, event: DecisionEvent, arms: int) -> Floats:
        official = [(event.policy, event.scores, event.exploration)]
        others = [(one.policy, one.scores, one.exploration) for one in event.candidates]
        shadows = [(one.policy, one.scores, event.exploration) for one in event.shadows]
        for policy, scores, exploration in (*official, *others, *shadows):
            if policy == self._policy and len(scores) == 4 * arms:
                return pmf_of(np.frombuffer(scores, "<f4"), exploration)
        return np.full(arms, np.nan)


class AsOf:
    """What served at some time, such as last Tuesday: the weights' version and the exploration of then.

    Args:
        moment: of the last decision that is looked at.
        weights: weights by their version.
    """

    needs_events = True
    key: tuple[str, ...] = ()

    def __init__(self, moment: datetime, weights: Callable[[int], Weights]) -> None:
        self.name = f"as-of:{moment.isoformat()}"
        self._moment = moment
        self._weights = weights
        self._found: TargetPolicy | None = None

    def pmf(self, batch: Batch) -> Floats:
        """(m,) probabilities.

        Raises:
            BadCandidate: no model served until then, or its weights are not there.
        """
        if self._found is None:
            version, exploration = self._served(batch.log.files)
            self._found = Scored(self.name, self._weights(version), exploration)
        return self._found.pmf(batch)

    def chosen(self, batch: Batch, pmf: Floats) -> Floats:
        """(n,) probability of the arm that was shown."""
        return pmf[batch.chosen]

    def _served(self, files: Sequence[Path]) -> tuple[int, Exploration]:
        listed = "[" + ", ".join(literal(str(path)) for path in files) + "]"
        with connect() as connection:
            rows = connection.execute(f"""
                SELECT model_version, event FROM read_parquet({listed}, union_by_name = true)
                WHERE source = 'model' AND model_version > 0
                  AND decided_at <= CAST({literal(self._moment.isoformat())} AS TIMESTAMPTZ)
                ORDER BY decided_at DESC LIMIT 1""").fetchall()  # noqa: S608 - names of files, as literals
        if not rows:
            raise BadCandidate(f"no model had served by {self._moment.isoformat()}")
        return int(rows[0][0]), decode_decision(rows[0][1]).exploration


def function_of(text: str) -> Function:
    """The function that ``<file>.py:<name>`` names.

    Raises:
        BadCandidate: no such file or function, or the file cannot be run.
    """
    path, _, name = text.rpartition(":")
    if not path or not name:
        raise BadCandidate(f"function:{text}: legal is function:<file.py>:<name>")
    found = getattr(_module(Path(path)), name, None)
    if not callable(found):
        raise BadCandidate(f"function:{text}: {path} has no function {name!r}")
    return Function(f"function:{name}", found)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"candidate_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BadCandidate(f"function:{path} cannot be read: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadCandidate(f"function:{path} cannot be run: {type(error).__name__}: {error}") from error
    return module
