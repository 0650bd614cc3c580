import pytest

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.exchange import Verdict, contacts_of, node_infos_of, verdict_of
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.contact import Contact
from macula_actors.core.wire.messages import NodeInfo
from macula_actors.errors import (
    BadProofError,
    CallTimeoutError,
    ConnectionLostError,
    IdentityMismatchError,
    LocalProtocolError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    RemoteProtocolError,
    SelfDialError,
)

ID = NodeId.of(b"a node")
HERE = Endpoint("10.0.0.1", 1)


def test_contacts_are_read_as_they_were_written():
    contacts = [Contact(HERE, ID), Contact(None, ID), Contact(Endpoint("::1", 2), ID)]

    assert contacts_of(node_infos_of(contacts), 20) == contacts
    assert contacts_of(node_infos_of(contacts), 1) == contacts[:1]
    assert contacts_of(None, 20) == []


def test_a_contact_without_a_node_id_is_not_told():
    assert node_infos_of([Contact(HERE)]) == ()


@pytest.mark.parametrize(
    ("info", "endpoint"),
    [
        (NodeInfo(node_id=ID, address="10.0.0.1:1"), HERE),
        (NodeInfo(node_id=ID, endpoint="https://10.0.0.1:1"), HERE),
        (NodeInfo(node_id=ID, endpoint="undefined", address="10.0.0.1:1"), HERE),
        (NodeInfo(node_id=ID, endpoint="undefined"), None),
        (NodeInfo(node_id=ID, endpoint="!?"), None),
    ],
)
def test_all_forms_of_the_original_are_read(info, endpoint):
    assert contacts_of([info], 20) == [Contact(endpoint, ID)]


def test_a_node_id_of_another_length_is_hashed():
    assert contacts_of([NodeInfo(node_id=b"short")], 20) == [Contact(None, NodeId.of(b"short"))]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (CallTimeoutError("peer", 1.0), Verdict.SILENT),
        (NoRouteError("peer"), Verdict.SILENT),
        (ConnectionLostError("network", 0), Verdict.SILENT),
        (ConnectionLostError("peer", 0), Verdict.SILENT),
        (IdentityMismatchError(), Verdict.SILENT),
        (BadProofError("x"), Verdict.SILENT),
        (ConnectionLostError("local", 0), Verdict.LATER),
        (RefusedError("unavailable", ""), Verdict.LATER),
        (RefusedError("expired", ""), Verdict.ALIVE),
        (RemoteProtocolError("no_answer", ""), Verdict.ALIVE),
        (OverloadedError("x"), Verdict.UNKNOWN),
        (LocalProtocolError("bad_value", ""), Verdict.UNKNOWN),
        (SelfDialError(), Verdict.SELF),
    ],
)
def test_an_error_says_something_of_the_peer(error, verdict):
    assert verdict_of(error) is verdict
