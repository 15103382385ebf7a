"""Where the store is, and the feature store, as the environment says it: every process asks here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder

STORE = "REDIS_URL"
FEATURE_STORE = "FEATURE_STORE_URL"
"""Variables that hold an address. With ``_FILE`` behind it, one names a file that does."""
_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster", "unix")


class Stores(NamedTuple):
    """Two addresses, often the same."""

    store: str
    """Of everything that must not be lost."""
    features: str
    """Of the tables that ``sidearm features load`` writes."""


def stores_of(environ: Mapping[str, str], data: DataFolder) -> Stores:
    """Both.

    Raises:
        BadSettings: as :func:`named_address`.
    """
    return Stores(store_address(environ, data), feature_store_address(environ, data))


def store_address(environ: Mapping[str, str], data: DataFolder) -> str:
    """The store that was named, else the embedded one's socket in the data folder.

    Raises:
        BadSettings: as :func:`named_address`.

    >>> store_address({"REDIS_URL": "redis://store:6379"}, DataFolder(Path("data")))
    'redis://store:6379'
    """
    return named_address(environ) or f"unix://{data.store_socket()}"


def feature_store_address(environ: Mapping[str, str], data: DataFolder) -> str:
    """The feature store that was named, else the store that was, else the embedded feature store's socket.

    Raises:
        BadSettings: as :func:`named_address`.

    >>> feature_store_address({"REDIS_URL": "redis://store:6379"}, DataFolder(Path("data")))
    'redis://store:6379'
    """
    return named_feature_store(environ) or f"unix://{data.feature_store_socket()}"


def named_feature_store(environ: Mapping[str, str]) -> str:
    """Where tables of features are, if the environment says it: who names a store has them there too.

    Raises:
        BadSettings: as :func:`named_address`.
    """
    return named_address(environ, FEATURE_STORE) or named_address(environ)


def named_address(environ: Mapping[str, str], variable: str = STORE) -> str:
    """What the variable says, else the content of the file that its ``…_FILE`` names, else nothing.

    The file is for addresses with a password: an environment is shown to whoever may look at the process.

    Raises:
        BadSettings: it is no address; the file cannot be read, or holds none.
    """
    if url := environ.get(variable):
        return _told_by(variable, url)
    variable = f"{variable}_FILE"
    if not (path := environ.get(variable)):
        return ""
    try:
        url = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadSettings(f"{variable}: {path} should hold the store's address: {why}") from error
    if not url:
        raise BadSettings(f"{variable}: {path} is empty; it should hold the store's address")
    return _told_by(f"{variable}: {path}", url)


def checked_address(url: str) -> str:
    """``url``, if it has the form of an address of a store.

    Raises:
        BadSettings: it has not.
    """
    if url.partition("://")[0] not in _SCHEMES or "://" not in url:
        legal = [f"{scheme}://…" for scheme in _SCHEMES]
        raise BadSettings(
            f"{without_password(url)!r} is no address of a store: {', '.join(legal[:-1])} or {legal[-1]}"
        )
    return url


def without_password(url: str) -> str:
    """The address as it may be shown and logged.

    >>> without_password("rediss://service:secret@store:6380/0")
    'rediss://store:6380/0'
    """
    scheme, slashes, rest = url.rpartition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"


def _told_by(who: str, url: str) -> str:
    try:
        return checked_address(url)
    except BadSettings as error:
        raise BadSettings(f"{who}: {error}") from None
