"""Key of the draw: nobody who chooses ids can choose arms."""

from __future__ import annotations

import secrets

from decision_service.auth import write_private
from decision_service.settings import ServiceSettings
from sidecar.contracts.errors import BadSettings
from sidecar.contracts.layout import DataFolder

_SECRET_BYTES = 32

_LEAST_SECRET_BYTES, _MOST_SECRET_BYTES = 16, 64


def draw_secret(settings: ServiceSettings, data: DataFolder) -> bytes:
    """Key of the draw: from the settings, else from the data folder, where the first start puts it.

    Raises:
        BadSettings: it is not hex, or too short.
    """
    path = data.draw_secret
    if not settings.draw_secret and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, secrets.token_hex(_SECRET_BYTES).encode())
    text = settings.draw_secret or path.read_text()
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        raise BadSettings("draw_secret is not hex; legal: at least 32 characters 0-9, a-f") from None
    if not _LEAST_SECRET_BYTES <= len(secret) <= _MOST_SECRET_BYTES:
        legal = f"{2 * _LEAST_SECRET_BYTES} to {2 * _MOST_SECRET_BYTES}"
        raise BadSettings(f"draw_secret has {2 * len(secret)} characters; legal: {legal}")
    return secret
