"""An evaluation that somebody asked for: the files through which the asker and ``offline_eval.apart`` talk.

::

    evaluations/<app>/asked/running           locked while one runs: <name> <process id>
    evaluations/<app>/asked/<name>/asked.json       the question
    evaluations/<app>/asked/<name>/progress.jsonl   a line for each step
    evaluations/<app>/asked/<name>/evaluation.json  the answer, and report.html beside it

Whoever sees the folder sees how far it has come: other workers of the service, and the same one started anew.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.errors import BadSettings

ASKED, PROGRESS, ANSWER, PAGE, LOCK = (
    "asked.json", "progress.jsonl", "evaluation.json", "report.html", "running",
)  # fmt: skip
FOLDER = "asked"
"""Below an application's evaluations, beside its nights."""
MOST_CANDIDATES = 8
_NUMBER = r"[0-9.eE+-]{1,16}"
_LEGAL = re.compile(
    rf"(uniform|logged|(greedy|(epsilon|softmax|squarecb):{_NUMBER})(@[0-9]{{1,18}})?"
    r"|shadow:[\w.-]{1,64}|as-of:[0-9T:.+Z-]{1,40})"
)
_GROUP = re.compile(r"slot|source|policy|model_version|catalogue|segment|day|context\.[^\x00-\x1f]{1,128}")
LEGAL = (
    "uniform, logged, greedy, epsilon:<0..1>, softmax:<temperature>, squarecb:<gamma>, shadow:<model>,"
    " as-of:<time>; those that score may end in @<version>"
)

Phase = Literal["asked", "reading", "scoring", "writing", "done", "failed", "cancelled"]


class EvaluationAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """The question."""

    candidates: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MOST_CANDIDATES)]
    """As ``--candidate`` says them. None that names a file: it would be read, or run."""
    against: str = "logged"
    days: Annotated[int, Meta(ge=1, le=3650)] = 7
    """The last so many times 24 hours."""
    by: Annotated[tuple[str, ...], Meta(max_length=4)] = ()


class Step(Struct, frozen=True):
    """How far it has come."""

    phase: Phase
    at_ms: int
    rows: int = 0
    """Scored, of all candidates together."""
    of: int = 0
    """At most so many are to be scored; 0: not known yet."""
    told: str = ""
    """Why it failed; or, when done, every verdict."""


def may_be_asked(candidate: str) -> bool:
    """Whether it names no file and is of a known form."""
    return _LEGAL.fullmatch(candidate) is not None


def check_asked(asked: EvaluationAsked) -> None:
    """That no file is named and every name is of a known form.

    Raises:
        BadSettings: the first one that is not.

    >>> check_asked(EvaluationAsked(("greedy@17", "epsilon:0.1")))
    >>> check_asked(EvaluationAsked(("function:evil.py:f",)))
    Traceback (most recent call last):
    sidecar.contracts.errors.BadSettings: candidate 'function:evil.py:f' cannot be asked for here; legal: ...
    """
    for one in asked.candidates:
        if not may_be_asked(one):
            raise BadSettings(f"candidate {one[:80]!r} cannot be asked for here; legal: {LEGAL}")
    if asked.against not in ("logged", *asked.candidates):
        raise BadSettings(f"against {asked.against[:80]!r}: legal are logged and the candidates themselves")
    for one in asked.by:
        if not _GROUP.fullmatch(one):
            raise BadSettings(f"by {one[:80]!r}: legal are segment, source, day, context.<feature>, …")


def last_step(lines: bytes) -> Step | None:
    r"""The last whole line; None: there is none.

    >>> last_step(b'{"phase":"scoring","at_ms":1,"rows":7}\n{"phase":"do').rows
    7
    """
    for line in reversed(lines.split(b"\n")[:-1]):
        try:
            return msgspec.json.decode(line, type=Step)
        except msgspec.MsgspecError:
            continue
    return None
