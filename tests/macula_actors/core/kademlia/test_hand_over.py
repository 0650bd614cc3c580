from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.kademlia.bucket import BucketLimits
from macula_actors.core.kademlia.hand_over import HandOver
from macula_actors.core.kademlia.node_id import ID_BYTES, NodeId
from macula_actors.core.kademlia.table import RoutingTable
from macula_actors.core.peer.contact import Contact

# Ids that differ in few bits, so that all their ranks occur.
ids = st.integers(0, 31).map(lambda number: NodeId(bytes(ID_BYTES - 2) + number.to_bytes() + b"\x00"))
sets_of_ids = st.lists(ids, min_size=2, max_size=12, unique=True)
KEYS = [NodeId(bytes(ID_BYTES - 2) + bytes(each)) for each in zip(range(32), range(32), strict=True)]
MESH = [NodeId.of(bytes([n])) for n in range(60)]


def table_of(own, others):
    made = RoutingTable(own, BucketLimits(k=64, max_per_address=64))
    for each in others:
        made.seen(Contact(node_id=each), 0.0)
    return made


def closest(nodes, key, count):
    return sorted(nodes, key=key.distance)[:count]


@given(sets_of_ids, st.integers(1, 6), st.integers(1, 4))
def test_the_newcomer_gets_what_it_is_close_to_from_the_closest_holders(nodes, k, senders):
    newcomer, own, *others = nodes
    hand_over = HandOver(newcomer, table_of(own, nodes), k=k, senders=senders)

    for key in KEYS:
        is_holder = newcomer in closest(nodes, key, k)
        is_sender = own in closest({own, *others}, key, senders)
        assert hand_over.includes(key) is (is_holder and is_sender)


def test_each_key_is_sent_by_as_many_holders_as_asked_for():
    *mesh, newcomer = MESH
    keys = [NodeId.of(b"key" + bytes([n])) for n in range(200)]

    given_by = [set(filter(HandOver(newcomer, table_of(each, MESH), k=8, senders=2).includes, keys)) for each in mesh]

    for key in keys:
        is_close = newcomer in closest(MESH, key, 8)
        assert sum(key in given for given in given_by) == 2 * is_close


def test_a_node_that_knows_nobody_else_gives_everything():
    assert all(HandOver(MESH[0], table_of(MESH[1], [])).includes(key) for key in MESH)


def test_a_node_gives_itself_nothing():
    assert not any(HandOver(MESH[0], table_of(MESH[0], MESH)).includes(key) for key in MESH)
