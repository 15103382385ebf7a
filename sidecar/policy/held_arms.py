"""Compiled catalogues that are held, so that a request need only name one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from sidecar.contracts.application import Arm
from sidecar.contracts.catalogue import Catalogue
from sidecar.contracts.errors import UnknownCatalogue
from sidecar.policy.arm_table import ArmTable, compile_arms


class ArmTables:
    """Compiled catalogues by version; the least recently used goes when there are too many.

    Args:
        capacity: how many catalogues are held.
    """

    def __init__(self, capacity: int = 16) -> None:
        self._capacity = capacity
        self._tables: OrderedDict[str, ArmTable] = OrderedDict()

    def get(self, version: str) -> ArmTable:
        """The table of a catalogue.

        Raises:
            UnknownCatalogue: it was never put here, or has been dropped since.
        """
        table = self._tables.get(version)
        if table is None:
            raise UnknownCatalogue(f"catalogue {version!r} is not held here: send its arms with the request")
        self._tables.move_to_end(version)
        return table

    def put(self, version: str, arms: Sequence[Arm]) -> ArmTable:
        """Compile a catalogue and hold it."""
        table = self._tables[version] = compile_arms(arms)
        self._tables.move_to_end(version)
        while len(self._tables) > self._capacity:
            self._tables.popitem(last=False)
        return table

    def of(self, catalogue: Catalogue) -> ArmTable:
        """The table of a catalogue at hand, compiled at its first use."""
        if catalogue.version not in self._tables:
            return self.put(catalogue.version, catalogue.arms)
        return self.get(catalogue.version)

    def __contains__(self, version: str) -> bool:
        return version in self._tables
