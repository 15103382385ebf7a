"""``/v1/arms``: the catalogue, looked at and changed while the platform runs."""

from __future__ import annotations

from decision_service.api.arms import (
    ArmFeatures,
    ArmPatch,
    ArmsChanged,
    ArmsRequest,
    ArmsView,
    PatchedArm,
    ReplicaView,
)
from decision_service.api.values import GivenArm
from decision_service.errors import BadRequest, FieldError, NotFound
from decision_service.live_arms import LiveArms, replica_of
from decision_service.prepolicy import Shelves
from decision_service.times import utc
from sidecar.contracts.application import Arm
from sidecar.contracts.errors import BadArms
from sidecar.contracts.live_arms import ArmsChange

_SILENT_MS = 120_000
"""A service that said nothing for so long is no replica any more."""


class Arms:
    """What the endpoints do with the catalogue.

    Args:
        live: the catalogue.
        shelves: what this service serves.
    """

    def __init__(self, live: LiveArms, shelves: Shelves) -> None:
        self._live = live
        self._shelves = shelves

    async def view(self) -> ArmsView:
        """The arms that this service serves, and who serves which version.

        Raises:
            StoreAway: the store did not answer.
        """
        now, said = await self._live.now(), await self._live.replicas()
        told = [(name.decode(errors="replace"), replica_of(stored)) for name, stored in sorted(said.items())]
        latest_ms = max((one[0] for _, one in told if one), default=0)
        replicas = [
            ReplicaView(replica=name, version=one[1], at=utc(one[0]), word=one[2])
            for name, one in told
            if one and latest_ms - one[0] <= _SILENT_MS
        ]
        shelf = self._shelves.current
        return ArmsView(
            version=now.version,
            revision=now.revision,
            changed_at=utc(now.at_ms),
            reason=now.reason,
            serving=shelf.catalogue.version,
            agreed=all(
                version == now.version
                for version in [shelf.catalogue.version, *(replica.version for replica in replicas)]
            ),
            replicas=replicas,
            arms=[GivenArm(arm.id, arm.features) for arm in shelf.catalogue.arms],
        )

    async def change(self, asked: ArmsRequest) -> ArmsChanged:
        """Change several arms at once.

        Raises:
            BadRequest: the catalogue cannot take it.
            Outdated: another version is current than the request was made of.
            StoreAway: the store did not answer.
        """
        change = ArmsChange(
            put=tuple([Arm(arm.id, arm.features) for arm in asked.put]),
            merged={arm.id: arm.features for arm in asked.change},
            retired=tuple(asked.retire),
        )
        if not (change.put or change.merged or change.retired):
            raise BadRequest(FieldError("", "nothing to change: legal are put, change and retire"))
        if len(change.merged) < len(asked.change):
            raise BadRequest(FieldError("/change", "an arm stands twice: legal is each once"))
        try:
            before, catalogue = await self._live.change(change, asked.version, asked.reason)
        except BadArms as error:
            raise BadRequest(FieldError("", str(error))) from error
        return ArmsChanged(version=catalogue.version, before=before, arms=len(catalogue.arms))

    async def put(self, arm_id: str, given: ArmFeatures) -> ArmsChanged:
        """Add one arm, or give it other features."""
        return await self.change(ArmsRequest(put=[GivenArm(_checked(arm_id), given.features)]))

    async def patch(self, arm_id: str, given: ArmPatch) -> ArmsChanged:
        """Change some features of one arm.

        Raises:
            NotFound: there is no such arm.
        """
        patched = PatchedArm(_checked(arm_id), given.features)
        return await self._of_one(ArmsRequest(change=[patched]), arm_id)

    async def retire(self, arm_id: str) -> ArmsChanged:
        """Take one arm away.

        Raises:
            NotFound: there is no such arm.
        """
        return await self._of_one(ArmsRequest(retire=[_checked(arm_id)]), arm_id)

    async def _of_one(self, asked: ArmsRequest, arm_id: str) -> ArmsChanged:
        try:
            return await self.change(asked)
        except BadRequest as error:
            if "is not in the catalogue" in str(error):
                raise NotFound(f"no arm {arm_id!r} is in the catalogue") from error
            raise


def _checked(arm_id: str) -> str:
    if not 1 <= len(arm_id) <= 256:
        raise BadRequest(FieldError("", "the id of an arm has 1 to 256 characters"))
    return arm_id
