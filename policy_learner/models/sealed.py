"""Files that tell whether they are whole: what they are, the checksum of the rest, the rest."""

from __future__ import annotations

import hashlib

_DIGEST_BYTES = 32


def sealed(magic: bytes, body: bytes) -> bytes:
    """The bytes of a file.

    >>> body_of(b"SDXX1", sealed(b"SDXX1", b"what it holds"))
    b'what it holds'
    >>> body_of(b"SDXX1", sealed(b"SDXX1", b"what it holds")[:-1]) is None
    True
    """
    return magic + hashlib.sha256(body).digest() + body


def checksum_of(magic: bytes, data: bytes) -> str:
    """What it says that the checksum of the rest is, in hexadecimal digits."""
    return data[len(magic) : len(magic) + _DIGEST_BYTES].hex()


def body_of(magic: bytes, data: bytes) -> bytes | None:
    """The rest; None where the file is short, altered, or something else."""
    body = data[len(magic) + _DIGEST_BYTES :]
    whole = data.startswith(magic) and hashlib.sha256(body).hexdigest() == checksum_of(magic, data)
    return body if whole else None
