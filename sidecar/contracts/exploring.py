"""How an application explores just now: everywhere, and in segments of its traffic. Kept in the store.

One document, replaced as a whole by one script, so that no replica sees half a change. An application for
which nobody ever changed anything explores as its ``app.toml`` says. A decision logs the name of its segment
and the exploration that it had, so nothing here is needed to evaluate it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sidecar.contracts.application import Exploration, ExplorationConfig, Features, FeatureValue
from sidecar.contracts.errors import BadSegment
from sidecar.contracts.ranges import Name, Share

MOST_SEGMENTS = 64
"""Each may be asked for every decision."""
_UNIT = 2.0**-53
_NO_SALT = "sidearm"

OneOf = list[FeatureValue]
"""Values of which a feature must have one."""
RuleName = Annotated[str, Meta(pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,62})?$")]
SegmentRule = Callable[[Features], object]
"""A rule of the application: the context as it is scored, to whether the decision belongs to the segment."""


class Segment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the traffic. A decision is in it if all that is said here is so of it."""

    name: Name
    """Logged with its decisions."""
    where: Annotated[dict[str, OneOf], Meta(max_length=16)] = {}
    """Feature of the context, as scored, to the values of which it must have one."""
    rule: RuleName = ""
    """A function of the application, named in ``[rules]``, that must say True of the context; empty: none."""
    units_from: Share = 0.0
    """See ``units_to``."""
    units_to: Share = 1.0
    """The unit's hash under ``salt`` must lie in [units_from, units_to): that share of the units, always the
    same ones."""
    salt: Annotated[str, Meta(max_length=64)] = ""
    """Segments of one salt divide the units among them; those of two salts are independent of each other.
    Empty: the platform's."""
    exploration: ExplorationConfig | None = None
    """None: as everywhere; the segment is then a label."""

    def __post_init__(self) -> None:
        """Refuse what no unit could be in.

        Raises:
            ValueError: an empty share of the units, or no value for a feature.
        """
        if not self.units_from < self.units_to:
            raise ValueError(
                f"units_from is {self.units_from:g}, units_to {self.units_to:g}: legal is from below to"
            )
        if empty := [name for name, values in self.where.items() if not values]:
            raise ValueError(f"where {empty[0]!r} has no value: at least one is needed")


class Exploring(Struct, frozen=True):
    """All of it, at one revision."""

    everywhere: ExplorationConfig | None = None
    """None: as ``app.toml`` says."""
    segments: Annotated[tuple[Segment, ...], Meta(max_length=MOST_SEGMENTS)] = ()
    """The first that a decision is in is its segment."""
    revision: int = 0
    """Counts the changes; 0: nobody ever changed anything."""

    def named(self, name: str) -> Segment:
        """The segment of that name.

        Raises:
            BadSegment: there is none.
        """
        for segment in self.segments:
            if segment.name == name:
                return segment
        known = ", ".join(segment.name for segment in self.segments) or "none"
        raise BadSegment(f"no segment is called {name!r}; there are: {known}")


NOTHING_CHANGED = Exploring()


def with_segment(exploring: Exploring, segment: Segment, before: str = "") -> Exploring:
    """With a segment more, as the last; or with another one in the place of that of its name.

    Args:
        exploring: what is so now.
        segment: the new one.
        before: the name of the segment that it is to be asked before; empty: the last place, or its own.

    Raises:
        BadSegment: no segment is called ``before``, or there are too many.
    """
    others = [one for one in exploring.segments if one.name != segment.name]
    place = next((n for n, one in enumerate(exploring.segments) if one.name == segment.name), len(others))
    if before:
        exploring.named(before)
        place = next((n for n, one in enumerate(others) if one.name == before), place)
    others.insert(place, segment)
    return checked_exploring(Exploring(exploring.everywhere, tuple(others), exploring.revision))


def without_segment(exploring: Exploring, name: str) -> Exploring:
    """With a segment less.

    Raises:
        BadSegment: there is none of that name.
    """
    exploring.named(name)
    left = tuple([one for one in exploring.segments if one.name != name])
    return Exploring(exploring.everywhere, left, exploring.revision)


def checked_exploring(exploring: Exploring) -> Exploring:
    """The document, if it can be followed.

    Raises:
        BadSegment: a name twice, or too many segments.
    """
    names = Counter(segment.name for segment in exploring.segments)
    if twice := [name for name, count in names.items() if count > 1]:
        raise BadSegment(f"{twice[0]!r} stands twice among the segments: names must differ")
    if len(names) > MOST_SEGMENTS:
        raise BadSegment(f"{len(names)} segments: at most {MOST_SEGMENTS} are legal")
    return exploring


class Found(Struct, frozen=True):
    """How a decision explores."""

    segment: str
    """Empty: it is in none."""
    exploration: Exploration


def found_for(
    exploring: Exploring,
    context: Features,
    unit_id: str,
    rules: Mapping[str, SegmentRule],
    otherwise: Exploration,
) -> Found:
    """How a decision explores: as its segment does, else as everywhere, else ``otherwise``.

    Args:
        exploring: the document.
        context: the features of the context as scored.
        unit_id: the unit of randomisation.
        rules: of the application, by name. A segment whose rule is not among them has no decisions.
        otherwise: what ``app.toml`` says.
    """
    everywhere = exploring.everywhere
    default = otherwise if everywhere is None else everywhere.as_logged()
    for segment in exploring.segments:
        if is_in(segment, context, unit_id, rules):
            own = segment.exploration
            return Found(segment.name, default if own is None else own.as_logged())
    return Found("", default)


def is_in(segment: Segment, context: Features, unit_id: str, rules: Mapping[str, SegmentRule]) -> bool:
    """Whether a decision belongs to a segment; the cheapest is asked first, and a rule last."""
    for feature, values in segment.where.items():
        if not _is_one_of(context.get(feature), values):
            return False
    if _divides(segment) and not (
        segment.units_from <= place_of_unit(unit_id, segment.salt) < segment.units_to
    ):
        return False
    if not segment.rule:
        return True
    rule = rules.get(segment.rule)
    return rule is not None and rule(context) is True


def _divides(segment: Segment) -> bool:
    return segment.units_from > 0.0 or segment.units_to < 1.0


def _is_one_of(value: FeatureValue | None, values: OneOf) -> bool:
    """True is not 1 here, for it is not so in a model: one is a category, the other a magnitude."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)


def place_of_unit(unit_id: str, salt: str) -> float:
    """Where a unit lies in [0, 1): the same place under one salt for ever, unrelated ones under two.

    >>> round(place_of_unit("u-7", "spring"), 6), round(place_of_unit("u-7", "summer"), 6)
    (0.654744, 0.085477)
    """
    key = (salt or _NO_SALT).encode()[:64]
    digest = hashlib.blake2b(unit_id.encode(), digest_size=8, key=key, person=b"sidearm.segment")
    return (int.from_bytes(digest.digest(), "little") >> 11) * _UNIT


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Exploring)


def encode_exploring(exploring: Exploring) -> bytes:
    """The document as it is stored; the revision lies beside it."""
    return _encode(Exploring(exploring.everywhere, exploring.segments))


def decode_exploring(stored: Mapping[bytes, bytes]) -> Exploring:
    """The document from its hash; an empty one means that nobody ever changed anything.

    Raises:
        BadSegment: what lies there is none.
    """
    if not stored:
        return NOTHING_CHANGED
    try:
        read, revision = _decoder.decode(stored[b"plan"]), int(stored[b"revision"])
    except (KeyError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise BadSegment(f"what lies in the store says nothing of exploration: {error!r}") from error
    return checked_exploring(Exploring(read.everywhere, read.segments, revision))
