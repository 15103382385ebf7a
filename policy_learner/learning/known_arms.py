"""Arms that the process that runs VW knows by number, and the checks that they have passed."""

from __future__ import annotations

from policy_learner.learning.vw_format import arm_line, check_arms
from policy_learner.learning.vw_wire import NewArms
from sidecar.contracts.application import Arm

_ARMS_KEPT = 65_536
_ARMS_IN_SETS_KEPT = 262_144


class KnownArms:
    """Numbers of arms and of sets of arms, by identity: those of a catalogue come again with every decision.

    An object is kept with its number, so that no other can take its identity.
    """

    def __init__(self) -> None:
        self._arms: dict[int, tuple[Arm, int]] = {}
        self._sets: dict[int, tuple[tuple[Arm, ...], int]] = {}
        self._in_sets = 0
        self._new = NewArms(anew=True, arms=[], sets=[])

    def check(self, arms: tuple[Arm, ...]) -> None:
        """Refuse arms that VW must not see.

        Raises:
            BadEvent: one stands twice, or has a feature outside its range.
        """
        if id(arms) in self._sets:
            return
        check_arms(arms)
        for arm in arms:
            if id(arm) not in self._arms:
                arm_line(arm)

    def number(self, arms: tuple[Arm, ...]) -> int:
        """Of a set; it goes over with the next :meth:`news` if it is not known yet."""
        known = self._sets.get(id(arms))
        if known is None:
            self._new.sets.append([self._number_of(arm) for arm in arms])
            known = self._sets[id(arms)] = (arms, len(self._sets))
            self._in_sets += len(arms)
        return known[1]

    def news(self) -> NewArms:
        """What was numbered since the last call. After this the numbers may be others: ask for them again."""
        new, self._new = self._new, NewArms(arms=[], sets=[])
        return new

    def make_room(self) -> None:
        """Forget all when it has become much. To be called before the first number of a message."""
        if len(self._arms) >= _ARMS_KEPT or self._in_sets >= _ARMS_IN_SETS_KEPT:
            self.forget()

    def forget(self) -> None:
        """Begin anew, as the other side will."""
        self._arms, self._sets, self._in_sets = {}, {}, 0
        self._new = NewArms(anew=True, arms=[], sets=[])

    def _number_of(self, arm: Arm) -> int:
        known = self._arms.get(id(arm))
        if known is None:
            self._new.arms.append((arm.id, arm.features))
            known = self._arms[id(arm)] = (arm, len(self._arms))
        return known[1]
