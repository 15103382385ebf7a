"""The signature of Standard Webhooks: who sent it, and that nobody has changed it or sends it again later."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from sidecar.contracts.errors import BadSettings

_PREFIX = "whsec_"
_LEAST_BYTES = 24


def secret_of(said: str) -> bytes:
    """The key in ``whsec_…``.

    Raises:
        BadSettings: it is none, or shorter than the standard's 24 bytes.
    """
    try:
        secret = base64.b64decode(said.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) < _LEAST_BYTES:
        raise BadSettings(
            "webhook_secret: legal: whsec_ and 24 bytes or more in base64, such as"
            " `echo whsec_$(head -c 24 /dev/urandom | base64)` makes"
        )
    return secret


def headers_of(secret: bytes, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The standard's three headers.

    >>> headers_of(bytes(24), "msg_1", 1, b"{}")["webhook-signature"]
    'v1,OmiNie3fi8ZEZmbPlxeTQD55tTTpVS4mgkAkQDtSVQg='
    """
    signed = f"{message_id}.{at_s}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{signature}",
        "content-type": "application/json",
    }
