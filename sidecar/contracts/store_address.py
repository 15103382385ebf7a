"""Where the store is, as the environment says it: every process asks here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder

_IN_FILE = "REDIS_URL_FILE"


def store_address(environ: Mapping[str, str], data: DataFolder) -> str:
    """The store that was named, else the embedded one's socket in the data folder.

    Raises:
        BadSettings: the file that should hold the address cannot be read, or holds none.

    >>> store_address({"REDIS_URL": "redis://store:6379"}, DataFolder(Path("data")))
    'redis://store:6379'
    """
    return named_address(environ) or f"unix://{data.store_socket()}"


def named_address(environ: Mapping[str, str]) -> str:
    """``REDIS_URL``, else the content of the file that ``REDIS_URL_FILE`` names, else nothing.

    The file is for addresses with a password: an environment is shown to whoever may look at the process.

    Raises:
        BadSettings: as above.
    """
    if url := environ.get("REDIS_URL"):
        return url
    if not (path := environ.get(_IN_FILE)):
        return ""
    try:
        url = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadSettings(f"{_IN_FILE}: {path} should hold the store's address: {why}") from error
    if not url:
        raise BadSettings(f"{_IN_FILE}: {path} is empty; it should hold the store's address")
    return url


def without_password(url: str) -> str:
    """The address as it may be shown and logged.

    >>> without_password("rediss://service:secret@store:6380/0")
    'rediss://store:6380/0'
    """
    scheme, slashes, rest = url.rpartition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
