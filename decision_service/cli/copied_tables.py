"""Tables of features from before they had a store of their own: copied out of the other one, once."""

from __future__ import annotations

import redis

from sidecar.contracts.keys import tables, tables_copied

_SCANNED = 10_000
"""Keys of the store looked at in one step: a millisecond."""


def copy_tables(store: redis.Redis, features: redis.Redis, app: str) -> int:
    """Copy what the feature store does not have, unless that was done before.

    Rows come first, records after them and the mark at the end: what was interrupted is begun again, and no
    reader finds half a table. The originals stay, for who goes back, and for who reads them there.

    Args:
        store: of everything.
        features: an embedded server of the same kind as ``store``.
        app: whose tables.

    Returns:
        How many tables there were.
    """
    if features.exists(tables_copied(app)):
        return 0
    found = [key.decode() for key in store.scan_iter(tables(app), _SCANNED)]
    records = [key for key in found if key.endswith(":record")]
    for key in sorted(found, key=records.__contains__):
        _copy(store, features, key)
    features.set(tables_copied(app), 1)
    return len(records)


def _copy(store: redis.Redis, features: redis.Redis, key: str) -> None:
    pipe = store.pipeline(transaction=True)
    pipe.dump(key)
    pipe.pexpiretime(key)
    data, ends_at_ms = pipe.execute()
    if data is not None and not features.exists(key):  # neither expired meanwhile nor loaded anew
        features.restore(key, max(ends_at_ms, 0), data, absttl=True)
