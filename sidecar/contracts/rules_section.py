"""``[rules]``: what the application decides by itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

FunctionName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]


class RulesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[rules]``: the application's own rules: plain functions of Python in a file of its folder."""

    file: str = "rules.py"
    """The file beside ``app.toml``. It is read only if a rule is named here."""
    answer: tuple[FunctionName, ...] = ()
    """Rules that answer at once what needs no model, in the order in which they are heard. Each gives an arm,
    or several in the order of preference, or None where it has no answer. Its parameters are names of cheap
    nodes of the feature graph, and of what the service knows of the request."""
    exclude: tuple[FunctionName, ...] = ()
    """Rules that say which arms must not be chosen: a mapping of arms to reasons, or a collection of arms."""
    segments: tuple[FunctionName, ...] = ()
    """Rules that a segment of the traffic may name: each gets the context as it is scored, a mapping, and
    says whether the decision belongs to it."""
    log_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    """Share of the decisions answered by a rule that is logged; each says with which probability it was. They
    teach nothing, so fewer of them cost less and lose no lesson."""

    def __post_init__(self) -> None:
        """Refuse a rule that would have to be two things.

        Raises:
            ValueError: a name stands twice.
        """
        names = (*self.answer, *self.exclude, *self.segments)
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"rule {twice!r} stands twice: legal is once, in answer, exclude or segments")
