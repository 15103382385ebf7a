"""The address of a cluster, and of a node in it.

``redis+cluster://[user:password@]host:port[,host:port…][?replicas=1&wait_ms=100]``, or ``rediss+cluster://``
for TLS, with the library's own ``ssl_…`` options. Any node that answers tells of all.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from sidecar.contracts.errors import BadSettings
from sidecar.contracts.store_address import without_password

SCHEMES = ("redis+cluster", "rediss+cluster")
DEFAULT_WAIT_MS = 100
DEFAULT_PORT = 6379


class Node(NamedTuple):
    """Where one server listens."""

    host: str
    port: int


class ClusterAddress(NamedTuple):
    """What an address says."""

    seeds: tuple[Node, ...]
    prefix: str
    """Of a node's address: scheme and credentials."""
    suffix: str = ""
    """Of a node's address: the options that are the library's."""
    replicas: int = 0
    """How many replicas must have a script's writes before its caller hears of them."""
    wait_ms: int = DEFAULT_WAIT_MS
    """How long they may take."""

    def url_of(self, node: Node) -> str:
        """The address of one node."""
        host = f"[{node.host}]" if ":" in node.host else node.host
        return f"{self.prefix}{host}:{node.port}{self.suffix}"


def parse_address(url: str) -> ClusterAddress | None:
    """The cluster at ``url``; None if it is no cluster's address.

    Raises:
        BadSettings: no node is named, or an option is not known.

    >>> parse_address("redis+cluster://a:7000,b?replicas=1").seeds
    (Node(host='a', port=7000), Node(host='b', port=6379))
    >>> parse_address("redis://a:7000")
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in SCHEMES:
        return None
    place = re.split("[/?#]", rest, maxsplit=1)[0]  # for urlsplit it is one host, and brackets begin a host
    credentials, at, hosts = place.rpartition("@")
    try:
        seeds = tuple(_node(word) for word in hosts.split(","))
        query = urlsplit(rest[len(place) :]).query
        options = dict(parse_qsl(query, strict_parsing=bool(query)))
        theirs = {name: value for name, value in options.items() if name.startswith("ssl_")}
        ours = {name: int(value) for name, value in options.items() if name not in theirs}
        suffix = f"?{urlencode(theirs)}" if theirs else ""
        plain = scheme.lower().removesuffix("+cluster")
        return ClusterAddress(seeds, f"{plain}://{credentials}{at}", suffix, **_known(ours))
    except ValueError as error:
        raise BadSettings(
            f"{without_password(url)!r}: {error}; "
            "an address is redis+cluster://host:port,host:port?replicas=1&wait_ms=100"
        ) from error


def _node(word: str) -> Node:
    parts = urlsplit(f"//{word}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return Node(parts.hostname, parts.port or DEFAULT_PORT)


def _known(options: dict[str, int]) -> dict[str, int]:
    if unknown := sorted(set(options) - {"replicas", "wait_ms"}):
        raise ValueError(f"{unknown[0]} is no option")
    if not 0 <= options.get("replicas", 0) <= 10 or not 1 <= options.get("wait_ms", 1) <= 10_000:
        raise ValueError("replicas must be 0 to 10 and wait_ms 1 to 10000")
    return options
