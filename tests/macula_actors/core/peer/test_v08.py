from dataclasses import replace

import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.handshake import PeerInfo
from macula_actors.core.peer.v08 import is_client_of_v08, is_told_to_v08, unnamed
from macula_actors.errors import RemoteProtocolError


@pytest.mark.parametrize(
    ("host", "known_as"), [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1")]
)
def test_who_sends_no_connect_is_known_by_its_address_alone(host, known_as):
    assert unnamed(host, 7) == PeerInfo(
        node_id=None, public_key=None, endpoint=Endpoint(known_as, 7), capabilities=(), verified=False
    )


@pytest.mark.parametrize(
    ("change", "is_client"),
    [
        ({}, True),
        ({"capabilities": ("rpc",)}, True),
        ({"capabilities": ("pubsub", "rpc", "swim")}, False),
        ({"capabilities": ()}, False),
        ({"verified": True}, False),
        ({"endpoint": None}, False),
    ],
)
def test_a_client_of_the_original_can_do_no_more_than_that_and_says_where_its_gateway_is(change, is_client):
    peer = replace(unnamed("10.0.0.1", 1), node_id=NodeId(bytes(32)), capabilities=("pubsub", "rpc"))

    assert is_client_of_v08(replace(peer, **change)) is is_client


@pytest.mark.parametrize(
    ("code", "is_told"),
    [
        ("not_a_map", True),
        ("missing_field", True),
        ("bad_field", True),
        ("unknown_type", False),
        ("unsupported_version", False),
        ("msgpack_decode_error", False),
        ("incomplete_payload", False),
        ("frame_too_large", False),
    ],
)
def test_v08_is_told_of_what_it_would_crash_over_alone(code, is_told):
    assert is_told_to_v08(RemoteProtocolError(code, "why")) is is_told
