"""Addresses of clusters, and who owns what."""

from __future__ import annotations

import pytest

from sidecar.contracts.cluster.address import Node, parse_address
from sidecar.contracts.cluster.slots import SlotMap, SlotMoving
from sidecar.contracts.errors import BadSettings


def test_an_address_says_whom_to_ask_and_what_makes_a_write_certain() -> None:
    address = parse_address(
        "rediss+cluster://app:p%40ss@a:7000,[::1]:7001?replicas=1&wait_ms=50&ssl_ca_certs=/ca.crt"
    )
    assert address is not None
    assert address.seeds == (Node("a", 7000), Node("::1", 7001))
    assert (address.replicas, address.wait_ms) == (1, 50)
    assert address.url_of(address.seeds[1]) == "rediss://app:p%40ss@[::1]:7001?ssl_ca_certs=%2Fca.crt"


def test_what_no_cluster_needs_in_an_address_does_no_harm() -> None:
    """A path, and a scheme in capitals, as every other address may have them."""
    address = parse_address("REDIS+cluster://[::1],b/0?replicas=2")
    assert address is not None
    assert (address.seeds, address.replicas) == ((Node("::1", 6379), Node("b", 6379)), 2)
    assert address.url_of(address.seeds[1]) == "redis://b:6379"
    assert parse_address("redis://[::1]:7000") is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+cluster://", "a host is missing"),
        ("redis+cluster://me:secret@", "a host is missing"),
        ("redis+cluster://a:port", "Port"),
        ("redis+cluster://a:70000", "Port"),
        ("redis+cluster://a?replicaz=1", "replicaz is no option"),
        ("redis+cluster://a?replicas=one", "invalid literal"),
        ("redis+cluster://a?replicas=11", "replicas must be 0 to 10"),
        ("redis+cluster://a?wait_ms=0", "wait_ms 1 to 10000"),
    ],
)
def test_a_wrong_address_says_what_is_legal_and_no_secret(url: str, said: str) -> None:
    with pytest.raises(BadSettings, match=r"redis\+cluster://host:port") as caught:
        parse_address(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_who_failed_is_asked_last_and_a_slot_of_nobody_is_a_store_that_is_away() -> None:
    slots = SlotMap([Node("seed", 1)])
    with pytest.raises(SlotMoving):
        slots.owner(7)
    slots.learn([[0, 9, [b"a", 1]], [10, 19, [b"b", 1]]], Node("seed", 1))
    slots.doubt(Node("a", 1))
    assert not slots.is_current
    assert slots.to_ask() == [Node("b", 1), Node("seed", 1), Node("a", 1)]
    slots.move(3, Node("b", 1))
    assert slots.owner(3) == Node("b", 1)


def test_a_slot_that_a_node_knew_no_owner_of_is_asked_for_again() -> None:
    """A node may have told of the middle of a failover. Nobody fails afterwards: nobody else would ask."""
    slots = SlotMap([Node("seed", 1)])
    slots.learn([[0, 9, [b"a", 1]]], Node("seed", 1))
    assert slots.is_current
    with pytest.raises(SlotMoving):
        slots.owner(10)
    assert not slots.is_current
