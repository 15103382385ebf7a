"""``heal.lua``: what lies under a key of ours and is of another kind is thrown away, and counted.

Scripts do so themselves with the keys that they write. This is for whoever reads, and would be stopped by the
same key again and again.
"""

from __future__ import annotations

from typing import cast

from sidecar.contracts import keys as of_app
from sidecar.contracts.keys import Keys
from sidecar.contracts.scripts.call import Call, text


def heal_call(keys: Keys) -> Call:
    """The keys that all decisions of a partition share; its counters count what is thrown away."""
    kinds = {
        keys.counters: "hash",
        keys.due: "zset",
        keys.orphans: "zset",
        keys.examples: "stream",
        keys.late: "stream",
        keys.dead: "stream",
        keys.lease: "string",
    }
    return Call("heal", tuple(kinds), tuple(kinds.values()))


def heal_app_call(app: str) -> Call:
    """What a learner and its helpers keep of the application as a whole; the hash of the weights counts."""
    kinds = {
        of_app.weights(app): "hash",
        of_app.deltas(app): "stream",
        of_app.weights_log(app): "stream",
        of_app.model_infos(app): "hash",
        of_app.model_records(app): "hash",
        of_app.model_notices(app): "stream",
        of_app.learner_status(app): "hash",
        of_app.hooks(app): "stream",
        of_app.hooks_state(app): "hash",
        of_app.hooks_lease(app): "string",
        of_app.learnt(app): "hash",
        of_app.workers(app): "hash",
        of_app.contests(app): "hash",
    }
    return Call("heal", tuple(kinds), tuple(kinds.values()))


def parse_heal(reply: object) -> list[str]:
    """The keys that are empty now."""
    return [text(key) for key in cast("list[bytes | str]", reply)]
