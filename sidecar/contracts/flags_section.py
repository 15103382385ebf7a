"""``[flags.NAME]``: decisions that clients of feature flags ask for by a name."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

FlagName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
FlagArm = Annotated[str, Meta(min_length=1, max_length=256)]


class FlagConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[flags.NAME]``: a flag for clients of OpenFeature, whose variant is the arm that is chosen."""

    arms: tuple[FlagArm, ...] = ()
    """Arms that it chooses from; none: the whole catalogue. They need not be in it."""
    value: str = ""
    """The feature of the chosen arm that is the flag's value: text, number or boolean, of one kind for all
    arms. Empty: the arm's id."""
    bulk: bool = True
    """Evaluated whenever a client asks for all flags at once. Each such evaluation is a decision that is
    learnt from as if it had been shown: false for what most pages do not show."""

    def __post_init__(self) -> None:
        """Refuse an arm that stands twice.

        Raises:
            ValueError: its name.
        """
        if twice := next((arm for arm in self.arms if self.arms.count(arm) > 1), None):
            raise ValueError(f"arm {twice!r} stands twice in a flag: legal is once")
