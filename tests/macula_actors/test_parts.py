import pytest

from macula_actors.config import PubsubConfig, wall_clock_ms
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.identity import Identity
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.topic import HASH
from macula_actors.node_config import NodeConfig
from macula_actors.parts import parts
from macula_actors.transport.udp import UdpNetwork


def pubsub(**options):
    config, listen = NodeConfig(mode="edge", **options), Endpoint("127.0.0.1", 9443)
    return parts(config, Identity.generate(), listen, network=UdpNetwork, wall_clock_ms=wall_clock_ms).pubsub


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("topic_dialect", "hash", "dialect", HASH),
        ("max_subscriptions", 7, "max_subscriptions", 7),
        ("subscription_ttl", 60, "ttl", 60),
        ("max_retained", 3, "max_retained", 3),
    ],
)
def test_a_key_of_publish_and_subscribe_arrives(key, value, field, expected):
    assert getattr(pubsub(**{key: value}), field) == expected


def test_the_keys_of_what_waits_for_a_node_arrive():
    outbox = pubsub(ack_timeout=0.5, max_waiting_events=9).outbox

    assert (outbox.ack_timeout, outbox.max_queued, outbox.policy) == (0.5, 9, FullPolicy.HOLD)


def test_the_defaults_are_those_of_the_part():
    made = pubsub()
    default = PubsubConfig(identity=made.identity, realm=made.realm, endpoint=made.endpoint)

    assert made == default
