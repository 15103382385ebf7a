"""What a spooled record's answer from the store means for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from decision_service import resending
from decision_service.resending import _Activations
from decision_service.spool import Held
from sidecar.contracts.spooled import Spooled


async def test_an_activation_waits_for_a_decision_that_is_still_on_its_way(monkeypatch):
    """It may lie in the spool of another process; after a while it does not."""
    told = iter(("unknown", "unknown", "activated", "unknown"))

    async def resend(*_: object) -> Any:
        return SimpleNamespace(status=next(told))

    sender = _Activations(cast("Any", SimpleNamespace(resend=resend)))
    held = Held(Spooled("activation", 1, b"{}", decision_id="d"), 1, 1, None, "")
    sent = [(await sender.send(held)).status for _ in range(3)]
    monkeypatch.setattr(resending, "PATIENCE_S", 0.0)
    sent.append((await sender.send(held)).status)

    assert sent == ["", "", "activated", "unknown"]
