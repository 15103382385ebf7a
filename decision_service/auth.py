"""API keys: who may call what. Only digests are stored; a key is shown once, when it is made."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from decision_service.console.session import SCHEME, Sessions
from decision_service.errors import NotAllowed, NotAuthenticated
from sidecar.contracts.errors import BadSettings

Role = Literal["decide", "reward", "read", "admin"]
ALL_ROLES: tuple[Role, ...] = ("decide", "reward", "read", "admin")

KEY_PREFIX = "sk_"
_PREFIX_LENGTH = 11  # ``sk_`` and eight characters: enough to find a key, not enough to guess one
_DEVELOPMENT = "development"
_MOST_KNOWN = 1_024


class ApiKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key as it is stored. Keys are random, so a plain SHA-256 is as good as a slow hash here."""

    name: str
    prefix: str
    sha256: str
    roles: tuple[Role, ...]


class Keyring:
    """The keys of one service, found by prefix and compared in constant time.

    Args:
        keys: as they are stored.
        sessions: of browsers that have signed in with one of them; None: there are none.
    """

    def __init__(self, keys: tuple[ApiKey, ...], sessions: Sessions | None = None) -> None:
        self._sessions = sessions
        self._by_prefix: dict[str, list[ApiKey]] = {}
        self._known: dict[str, ApiKey] = {}
        for key in keys:
            self._by_prefix.setdefault(key.prefix, []).append(key)

    def knows(self, authorization: str, role: Role) -> bool:
        """Whether the header was seen before, and may act as ``role``; if not, :meth:`authorise` says why."""
        known = self._known.get(authorization)
        return known is not None and role in known.roles

    def authorise(self, authorization: str, role: Role) -> ApiKey:
        """The key in an ``Authorization`` header, or that began its session, if it may act as ``role``.

        Raises:
            NotAuthenticated: no bearer token, or one that nobody was given; or a session that has ended.
            NotAllowed: the key has other roles.
        """
        known = self._known.get(authorization)  # digested before; whoever has none of ours is never in here
        if known is not None and role in known.roles:
            return known
        scheme, _, token = authorization.partition(" ")
        if scheme == SCHEME and self._sessions is not None:
            return _allowed(self._signed_in(self._sessions, token), role)
        if scheme.lower() != "bearer":
            raise NotAuthenticated("send `Authorization: Bearer sk_…`")
        digest = _digest(token.strip())
        for key in self._by_prefix.get(token[:_PREFIX_LENGTH], ()):
            if hmac.compare_digest(key.sha256, digest):
                _allowed(key, role)
                if len(self._known) < _MOST_KNOWN:  # a header has many spellings
                    self._known[authorization] = key
                return key
        raise NotAuthenticated("this API key is not known here")

    def _signed_in(self, sessions: Sessions, session: str) -> ApiKey:
        claim = sessions.claim(session)
        for key in self._by_prefix.get(claim.prefix, ()):
            if hmac.compare_digest(key.sha256, claim.sha256):
                return key
        raise NotAuthenticated("the key of this session is not known here any more")


def _allowed(key: ApiKey, role: Role) -> ApiKey:
    if role not in key.roles:
        raise NotAllowed(f"key {key.name!r} has the roles {', '.join(key.roles)}; {role} is needed")
    return key


def make_key(name: str, roles: tuple[Role, ...], token_hex: Callable[[int], str]) -> tuple[str, ApiKey]:
    """A new key: the secret to hand out, and what to store.

    Args:
        name: for people and logs.
        roles: what it may do.
        token_hex: a source of that many random bytes, as hex; ``secrets.token_hex``.
    """
    secret = KEY_PREFIX + token_hex(32)
    return secret, ApiKey(name, secret[:_PREFIX_LENGTH], _digest(secret), roles)


def load_keys(path: Path) -> tuple[ApiKey, ...]:
    """The stored keys; none when there is no file yet.

    Raises:
        BadSettings: the file is not a list of keys.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[ApiKey, ...])
    except FileNotFoundError:
        return ()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: {error}; a key is name, prefix, sha256 and roles") from error


def ensure_development_key(path: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The key that ``make run`` prints: made at the first start, with every role, and kept.

    ``SIDEARM_DEVELOPMENT_KEY`` names it instead, for scripts that must know it beforehand. The secret itself
    lies beside the digests with mode 0600, since it must be printed again at the next start: delete that
    file, and the key of its name in ``path``, where real keys are in use.
    """
    beside = path.with_name("development.key")
    if given := environ.get("SIDEARM_DEVELOPMENT_KEY"):
        secret = given
    else:
        secret = beside.read_text().strip() if beside.exists() else KEY_PREFIX + secrets.token_hex(32)
    stored = ApiKey(_DEVELOPMENT, secret[:_PREFIX_LENGTH], _digest(secret), ALL_ROLES)
    others = tuple(key for key in load_keys(path) if key.name != _DEVELOPMENT)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(beside, secret.encode())
    write_private(path, msgspec.json.format(msgspec.json.encode((*others, stored))))
    return secret


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` in one step, readable by its owner only."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
