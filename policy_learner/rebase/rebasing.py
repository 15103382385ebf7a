"""A base on its way into the learner: taken up, caught up beside the model that serves, and handed over.

What the base has seen ends at a position of every partition. What came after is trained in the same process,
some stretches a step, from the log where the stream has forgotten it; so when it is level with the model that
serves, every example had its one effect on either, and either can be published next.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, cast

from policy_learner.archive import archive_reader, cutting
from policy_learner.archive.archive_reader import LogReader
from policy_learner.errors import BadBase
from policy_learner.failpoints import reached
from policy_learner.join.positions import date_of, ms_of, order
from policy_learner.learning.training import Training
from policy_learner.models import rebuild
from policy_learner.models.rebuild import Past, taught_by
from policy_learner.rebase import offers, rebases
from policy_learner.rebase.offers import Offer, Outcome
from sidecar.contracts.errors import SidearmError
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.call import text
from sidecar.contracts.scripts.publish import Batch, Publication
from sidecar.contracts.store import StoreError

log = logging.getLogger("sidearm.learner")


class _Stream(NamedTuple):
    """What the store has of one partition."""

    begins: str | None
    """Its oldest entry; None: it is empty."""
    after: list[str]
    """The next entries after a position."""


@dataclass
class Candidate:
    """A base, and how far it has come."""

    offer: Offer
    training: Training
    positions: list[str]
    """Everything up to here has had its effect, in every partition."""
    batches: list[Batch] = field(default_factory=list)
    """Trained on since it is here, in order."""
    planned: deque[Batch] = field(default_factory=deque)
    """Stretches of the log that come next."""


class Rebasing:
    """What is offered to a learner, and what became of it.

    Args:
        past: where the learner finds what happened before.
        folder: of the checkpoints.
        size: entries of a stretch, at most.
    """

    def __init__(self, past: Past, folder: Path, size: int) -> None:
        self._past, self._folder, self._size = past, folder, size
        self._reader = LogReader(past.log_folder, past.name, past.application.partitions)
        self._outcome = offers.read_outcome(folder)
        self._is_said = True
        self._seen: tuple[int, int] | None = None
        self._offer: Offer | None = None
        """In hand, and not settled."""
        self.candidate: Candidate | None = None

    def advance(self, until: Sequence[str], most: int) -> int:
        """Take up what is offered, and bring it nearer to some positions; stretches that it was trained on.

        Args:
            until: of every partition; what lies beyond is left.
            most: stretches.

        Raises:
            StoreError, OSError: the store or the disk is away; call again.
        """
        try:
            self._look()
            return self._catch_up(self.candidate, until, most) if self.candidate else 0
        except (StoreError, OSError):  # half of a stretch, perhaps: from the beginning, then
            self.candidate, self._seen = None, None
            raise
        except SidearmError as error:  # whatever is wrong with it or with the log: the learner goes on
            self.refuse(str(error))
            return 0

    def level(self, positions: Sequence[str]) -> Candidate | None:
        """The base, when it has seen exactly as much as a model that is at these positions."""
        candidate = self.candidate
        if candidate is None or candidate.planned:
            return None
        there = zip(candidate.positions, positions, strict=True)
        return candidate if all(order(one) == order(other) for one, other in there) else None

    def refuse(self, reason: str) -> None:
        """The base is not gone on from."""
        if self._offer is not None:
            log.error("base %s is refused: %s", self._offer.base, reason)
            self._settle(Outcome(offer=self._offer, reason=reason))

    def stands(self, publication: Publication) -> None:
        """A version that was trained from the base is published."""
        if self.candidate is not None and self.candidate.offer.base == publication.base:
            log.info("version %d goes on from base %s", publication.version, publication.base)
            self._settle(Outcome(offer=self.candidate.offer, version=publication.version))

    def word(self, positions: Sequence[str]) -> str:
        """How it is, in one line; empty when nothing was ever offered."""
        if self.candidate is not None:
            behind = max(0, *_behind_ms(self.candidate.positions, positions))
            return f"{self.candidate.offer.base} catches up: {behind / 1000:.0f} s behind"
        if self._outcome is None:
            return ""
        base, version = self._outcome.offer.base, self._outcome.version
        return f"{base} since version {version}" if version else f"{base} refused: {self._outcome.reason}"

    def _look(self) -> None:
        """See whether there is a new offer, and say what is to be said of the one before."""
        if not self._is_said and self._outcome is not None:
            offers.settle(self._folder, self._outcome)
            self._is_said = True
        try:
            stat = (self._folder / offers.OFFER).stat()
        except FileNotFoundError:
            return
        if (seen := (stat.st_mtime_ns, stat.st_ino)) == self._seen:
            return
        offer = offers.read_offer(self._folder)
        self._seen = seen
        if offer is not None and (self._outcome is None or offer != self._outcome.offer):
            self._offer, self.candidate = offer, None
            self._take(offer)

    def _take(self, offer: Offer) -> None:
        """Load a base, unless a version went on from it already and whoever published it died then."""
        past = self._past
        if version := _version_from(past, offer):
            self._settle(Outcome(offer=offer, version=version))
            return
        state = rebases.load(past.log_folder, offer.base).state
        if len(state.positions) != past.application.partitions:
            raise BadBase(f"it is of {len(state.positions)} partitions")
        training = Training.of(past.application, past.catalogues, state, trainers=past.trainers)
        candidate = Candidate(offer, training, list(state.positions))
        self._plan(candidate)
        log.info("base %s is offered: %d examples", offer.base, state.examples)
        self.candidate = candidate
        reached("base taken")

    def _plan(self, candidate: Candidate) -> None:
        """What the log has after it comes first."""
        past = self._past
        ends = cutting.ends(past.log_folder, past.name, past.application.partitions)
        lanes = cutting.lanes(past.log_folder, past.name, candidate.positions, ends)
        candidate.planned = deque(one.batch for one in cutting.cut(lanes, self._size))

    def _catch_up(self, candidate: Candidate, until: Sequence[str], most: int) -> int:
        done = 0
        while done < most and candidate.planned:
            self._train(candidate, candidate.planned.popleft())
            done += 1
        if candidate.planned:
            return done
        streams = self._streams(candidate, until)
        ends = cutting.ends(self._past.log_folder, self._past.name, len(until))  # after the look at streams
        for partition, stream in enumerate(streams):
            at, goal = candidate.positions[partition], until[partition]
            if order(at) >= order(goal):
                continue
            if _forgot(stream, at) and order(ends[partition]) > order(at):
                self._plan(candidate)
                candidate.positions[partition] = at if candidate.planned else ends[partition]
                return done + 1
            if stream.after:
                self._train(candidate, Batch(partition, stream.after[0], stream.after[-1]))
            if len(stream.after) < self._size:
                candidate.positions[partition] = goal
            done += 1
        return done

    def _train(self, candidate: Candidate, batch: Batch) -> None:
        taught, _ = taught_by(self._past, self._reader, batch)
        trained = candidate.training.train(batch, taught)
        if (
            trained.refused
        ):  # the model that serves did learn it: to bury it would spoil what it has published
            event, reason = taught[trained.refused[0].place].event, trained.refused[0].reason
            raise BadBase(f"it cannot learn decision {event.decision_id}: {reason}")
        if trained.effects:
            candidate.batches.append(batch)
        candidate.positions[batch.partition] = batch.last

    def _streams(self, candidate: Candidate, until: Sequence[str]) -> list[_Stream]:
        """What each stream has to tell, and then where it begins: so nothing is trimmed unseen between."""
        pipe = self._past.client.pipeline(transaction=False)
        for partition, (at, goal) in enumerate(zip(candidate.positions, until, strict=True)):
            stream = Keys(self._past.name, partition).examples
            pipe.xrange(stream, f"({at}", goal, self._size)
            pipe.xrange(stream, count=1)
        ids = [[text(i) for i, _ in cast("list[tuple[bytes, object]]", reply)] for reply in pipe.execute()]
        pairs = zip(ids[::2], ids[1::2], strict=True)
        return [_Stream(first[0] if first else None, after) for after, first in pairs]

    def _settle(self, outcome: Outcome) -> None:
        self.candidate, self._offer = None, None
        self._outcome, self._is_said = outcome, False


def _forgot(stream: _Stream, position: str) -> bool:
    """Whether the store may have trimmed what came after a position."""
    return stream.begins is None or order(stream.begins) > order(position)


def _behind_ms(positions: Sequence[str], others: Sequence[str]) -> list[int]:
    return [ms_of(other) - ms_of(one) for one, other in zip(positions, others, strict=True)]


def _version_from(past: Past, offer: Offer) -> int:
    """The version that went on from a base; 0: none did since it was offered."""
    entries = list(rebuild.in_store(past))
    day = date_of(f"{offer.at_ms}-0") - timedelta(days=1)  # two clocks
    entries += archive_reader.versions(past.log_folder, past.name, day)
    return next((entry.version for entry in entries if entry.base == offer.base), 0)
