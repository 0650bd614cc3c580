import hashlib
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.peer.close_codes import CloseCode, closed_by_peer
from macula_actors.core.peer.handshake import (
    MAX_POSTPONED,
    Accepted,
    AcceptorHandshake,
    DiallerHandshake,
    HandshakeSettings,
    PeerInfo,
    Postpone,
    Refused,
    Security,
    Send,
    Serve,
)
from macula_actors.core.peer.identity import Identity
from macula_actors.core.peer.transcript import NO_NONCE, Purpose, Transcript
from macula_actors.core.wire.decoder import decode
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.messages import (
    Call,
    Challenge,
    Connect,
    Connected,
    Disconnect,
    Error,
    FindNode,
    FindValue,
    Ping,
    Pong,
    Publish,
    PubsubRoute,
    RpcRoute,
    Store,
    Subscribe,
)
from macula_actors.errors import (
    BadProofError,
    ConnectionLostError,
    IdentityMismatchError,
    MaculaError,
    RealmMismatchError,
    RemoteProtocolError,
    SelfDialError,
    WrongRealmSecretError,
)
from tests.macula_actors.core.wire.strategies import any_message

CLOCK = 1_700_000_000_000  # milliseconds
NONCE = bytes(range(32))
REALM = "com.example"
SECRET = b"a secret of 32 bytes, all random"
CALL = Call(procedure="a.b", args=b"", call_id=bytes(16))


def settings(seed, **changes):
    given = {"identity": Identity.from_seed(seed * 32), "realm": REALM, "capabilities": (f"of {seed.decode()}",)}
    return HandshakeSettings(**(given | changes))


ALICE = settings(b"a")  # dials
BOB = settings(b"b")  # is dialled
MALLORY = settings(b"m")
OPEN_ALICE = replace(ALICE, security=Security.OPEN)
OPEN_BOB = replace(BOB, security=Security.OPEN)


def certificate_of(node):
    """Return what the handshake is told of the certificate of ``node``."""
    key = node.identity.public_key
    return {"fingerprint": hashlib.sha256(b"certificate of " + key).digest(), "public_key": key}


def acceptor(node, nonce=NONCE):
    return AcceptorHandshake(node, fingerprint=certificate_of(node)["fingerprint"], nonce=nonce)


def dialler(node, **kwargs):
    return DiallerHandshake(node, **kwargs)


def sent(actions):
    """Return the messages to send, as they come out at the other end."""
    return [decode(encode(action.message)) for action in actions if isinstance(action, Send)]


def end_of(actions):
    """Return the last action of a handshake, if it is among ``actions``."""
    return next((action for action in actions if isinstance(action, Accepted | Refused)), None)


def meet(acceptor_end, dialler_end, certificate):
    """Let two machines talk to the end; return the last action of each, None where it waits."""
    accepting = acceptor_end.established()
    dialling = dialler_end.established(**certificate)
    ends = [end_of(accepting), end_of(dialling)]
    while accepting or dialling:
        to_dialler, to_acceptor = sent(accepting), sent(dialling)
        dialling = [action for message in to_dialler for action in dialler_end.received(message, CLOCK)]
        accepting = [action for message in to_acceptor for action in acceptor_end.received(message, CLOCK)]
        ends = [ends[0] or end_of(accepting), ends[1] or end_of(dialling)]
    return ends


def meeting(acceptor_node, dialler_node, expected=None):
    return meet(acceptor(acceptor_node), dialler(dialler_node, expected=expected), certificate_of(acceptor_node))


def connect_of(node, acceptor_node, nonce=NONCE, certificate=None):
    """Return the CONNECT with which ``node`` answers the challenge of ``acceptor_node``."""
    machine = dialler(node)
    machine.established(**(certificate or certificate_of(acceptor_node)))
    challenge = Challenge(node_id=acceptor_node.identity.node_id, nonce=nonce)
    return next(iter(sent(machine.received(challenge, CLOCK))))


def answers_to(connect, node, nonce=NONCE):
    machine = acceptor(node, nonce)
    machine.established()
    return machine.received(connect, CLOCK)


def challenged(node=ALICE, by=BOB, **kwargs):
    """Return the machine of ``node`` after it has sent CONNECT, and that CONNECT."""
    machine = dialler(node, **kwargs)
    machine.established(**certificate_of(by))
    connect = next(iter(sent(machine.received(Challenge(node_id=by.identity.node_id, nonce=NONCE), CLOCK))))
    return machine, connect


def assert_refused(end, error, code):
    assert isinstance(end, Refused)
    assert type(end.error) is error
    assert end.close_code is code


# Two that may talk


def test_two_nodes_of_a_realm_prove_who_they_are():
    at_bob, at_alice = meeting(BOB, ALICE)

    assert at_bob == Accepted(
        PeerInfo(
            node_id=ALICE.identity.node_id,
            public_key=ALICE.identity.public_key,
            endpoint=None,
            capabilities=("of a",),
            verified=True,
        )
    )
    assert at_alice == Accepted(
        PeerInfo(
            node_id=BOB.identity.node_id,
            public_key=BOB.identity.public_key,
            endpoint=None,
            capabilities=("of b",),
            verified=True,
        )
    )


def test_the_node_that_was_expected_is_accepted():
    at_bob, at_alice = meeting(BOB, ALICE, expected=BOB.identity.node_id)

    assert isinstance(at_bob, Accepted)
    assert isinstance(at_alice, Accepted)


def test_members_of_a_realm_with_a_secret_accept_each_other():
    at_bob, at_alice = meeting(replace(BOB, realm_secret=SECRET), replace(ALICE, realm_secret=SECRET))

    assert isinstance(at_bob, Accepted)
    assert isinstance(at_alice, Accepted)


@pytest.mark.parametrize("security", Security)
def test_the_acceptor_learns_where_the_dialler_can_be_dialled(security):
    endpoint = Endpoint("10.0.0.1", 9443)

    at_bob, _ = meeting(replace(BOB, security=security), replace(ALICE, endpoint=endpoint, security=security))

    assert at_bob.peer.endpoint == endpoint


@pytest.mark.parametrize("text", ["user@host:1", "host:0", "a b", "host:99999", None])
def test_an_endpoint_that_cannot_be_dialled_is_as_good_as_none(text):
    connect = Connect(node_id=b"a", realm_id=REALM, capabilities=(), endpoint=text)

    end = end_of(answers_to(connect, OPEN_BOB))

    assert end.peer.endpoint is None


def test_the_endpoint_is_written_as_the_original_does_where_it_may_read_it():
    endpoint = Endpoint("10.0.0.1", 9443)
    (to_v08,) = sent(dialler(replace(OPEN_ALICE, endpoint=endpoint)).established(**certificate_of(BOB)))

    assert to_v08.endpoint == "https://10.0.0.1:9443"
    assert connect_of(replace(ALICE, endpoint=endpoint), BOB).endpoint == "10.0.0.1:9443"


# Realms


@pytest.mark.parametrize("security", Security)
def test_nodes_of_different_realms_part(security):
    at_bob, at_alice = meeting(replace(BOB, realm="com.example2", security=security), replace(ALICE, security=security))

    assert_refused(at_bob, RealmMismatchError, CloseCode.REALM_MISMATCH)
    assert_refused(at_alice, RealmMismatchError, CloseCode.NORMAL)
    assert (at_bob.error.ours, at_bob.error.theirs) == ("com.example2", REALM)
    assert (at_alice.error.ours, at_alice.error.theirs) == (REALM, None)


def test_a_stranger_is_not_told_the_realm():
    actions = answers_to(connect_of(replace(ALICE, realm="other"), BOB), BOB)

    assert sent(actions) == [Error(code="realm_mismatch", message="")]


@pytest.mark.parametrize(
    ("of_bob", "of_alice"), [(SECRET, b"another secret"), (SECRET, None), (None, SECRET)], ids=["wrong", "none", "one"]
)
def test_nodes_with_different_secrets_part(of_bob, of_alice):
    at_bob, at_alice = meeting(replace(BOB, realm_secret=of_bob), replace(ALICE, realm_secret=of_alice))

    assert_refused(at_bob, WrongRealmSecretError, CloseCode.WRONG_REALM_SECRET)
    assert_refused(at_alice, WrongRealmSecretError, CloseCode.NORMAL)


def test_the_code_of_a_wrong_secret_is_its_own():
    actions = answers_to(connect_of(ALICE, BOB), replace(BOB, realm_secret=SECRET))

    assert sent(actions) == [Error(code="wrong_realm_secret", message="")]


@pytest.mark.parametrize("mac", [None, bytes(32), "reflected"], ids=["none", "wrong", "reflected"])
def test_an_acceptor_that_does_not_know_the_secret_is_found_out(mac):
    machine, connect = challenged(replace(ALICE, realm_secret=SECRET))
    mac = {"reflected": connect.realm_mac}.get(mac, mac)

    (end,) = machine.received(Connected(node_id=BOB.identity.node_id, capabilities=(), realm_mac=mac), CLOCK)

    assert_refused(end, WrongRealmSecretError, CloseCode.WRONG_REALM_SECRET)


def test_an_acceptor_with_a_secret_is_not_of_a_realm_without():
    machine, _ = challenged()

    (end,) = machine.received(Connected(node_id=BOB.identity.node_id, capabilities=(), realm_mac=bytes(32)), CLOCK)

    assert_refused(end, WrongRealmSecretError, CloseCode.WRONG_REALM_SECRET)


@pytest.mark.parametrize("secret", [b"", SECRET])
def test_a_secret_that_would_not_be_kept_is_refused(secret):
    with pytest.raises(ValueError, match="secret"):
        replace(OPEN_BOB, realm_secret=secret)


def test_the_realm_in_the_settings_is_a_name():
    with pytest.raises(ValueError, match="realm"):
        replace(BOB, realm="a b")


def test_the_secret_is_not_shown():
    shown = repr(replace(BOB, realm_secret=SECRET))

    assert "random" not in shown
    assert str(BOB.identity.node_id) in shown


# Who it is


def test_another_node_than_the_expected_one_is_left_at_once():
    machine = dialler(ALICE, expected=BOB.identity.node_id)

    (end,) = machine.established(**certificate_of(MALLORY))

    assert_refused(end, IdentityMismatchError, CloseCode.IDENTITY_MISMATCH)
    assert (end.error.expected, end.error.actual) == (BOB.identity.node_id, MALLORY.identity.node_id)
    assert isinstance(closed_by_peer(end.close_code, ""), IdentityMismatchError)


def test_a_node_id_that_is_not_that_of_the_certificate_is_not_believed():
    machine = dialler(ALICE)
    machine.established(**certificate_of(MALLORY))

    (end,) = machine.received(Challenge(node_id=BOB.identity.node_id, nonce=NONCE), CLOCK)

    assert_refused(end, IdentityMismatchError, CloseCode.IDENTITY_MISMATCH)


@given(st.binary(min_size=1, max_size=255).filter(lambda node_id: node_id != BOB.identity.node_id))
def test_an_id_of_another_length_is_never_that_of_a_certificate(node_id):
    machine = dialler(ALICE)
    machine.established(**certificate_of(BOB))

    (end,) = machine.received(Challenge(node_id=node_id, nonce=NONCE), CLOCK)

    assert_refused(end, IdentityMismatchError, CloseCode.IDENTITY_MISMATCH)


@pytest.mark.parametrize("node_id", [MALLORY.identity.node_id, BOB.identity.node_id[:31], b"b"])
def test_an_acceptor_keeps_its_node_id(node_id):
    machine, _ = challenged()

    (end,) = machine.received(Connected(node_id=node_id, capabilities=()), CLOCK)

    assert_refused(end, IdentityMismatchError, CloseCode.IDENTITY_MISMATCH)


def test_a_certificate_without_a_key_of_ours_proves_nothing():
    (end,) = dialler(ALICE).established(fingerprint=bytes(32), public_key=None)

    assert_refused(end, BadProofError, CloseCode.BAD_PROOF)


@pytest.mark.parametrize("expected", [None, ALICE.identity.node_id])
def test_a_node_that_dials_itself_notices(expected):
    (end,) = dialler(ALICE, expected=expected).established(**certificate_of(ALICE))

    assert_refused(end, SelfDialError, CloseCode.SELF_DIAL)
    assert isinstance(closed_by_peer(end.close_code, ""), SelfDialError)


def test_a_dial_to_the_own_id_is_one_to_itself_whoever_answers():
    (end,) = dialler(ALICE, expected=ALICE.identity.node_id).established(**certificate_of(BOB))

    assert_refused(end, SelfDialError, CloseCode.SELF_DIAL)


def test_an_open_node_that_dials_itself_notices_at_both_ends():
    accepting, dialling = meeting(OPEN_ALICE, OPEN_ALICE)

    assert_refused(accepting, SelfDialError, CloseCode.SELF_DIAL)
    assert_refused(dialling, SelfDialError, CloseCode.NORMAL)


# Proofs


def test_a_recorded_connect_is_worthless_against_another_nonce():
    recorded = connect_of(ALICE, BOB, nonce=NONCE)

    assert isinstance(end_of(answers_to(recorded, BOB, nonce=NONCE)), Accepted)
    assert_refused(end_of(answers_to(recorded, BOB, nonce=NONCE[::-1])), BadProofError, CloseCode.BAD_PROOF)


def test_a_man_in_the_middle_cannot_pass_a_connect_on():
    """He shows his own certificate to Alice, and Bob's nonce; Bob sees another certificate than she did."""
    machine = dialler(ALICE)
    machine.established(**certificate_of(MALLORY))
    (connect,) = sent(machine.received(Challenge(node_id=MALLORY.identity.node_id, nonce=NONCE), CLOCK))

    assert_refused(end_of(answers_to(connect, BOB)), BadProofError, CloseCode.BAD_PROOF)


def test_a_connect_for_the_same_key_in_another_certificate_is_worthless():
    other = certificate_of(BOB) | {"fingerprint": bytes(32)}

    connect = connect_of(ALICE, BOB, certificate=other)

    assert_refused(end_of(answers_to(connect, BOB)), BadProofError, CloseCode.BAD_PROOF)


def test_both_sides_hear_of_a_bad_proof():
    accepting, dialling = meet(acceptor(BOB), dialler(ALICE), certificate_of(BOB) | {"fingerprint": bytes(32)})

    assert_refused(accepting, BadProofError, CloseCode.BAD_PROOF)
    assert_refused(dialling, BadProofError, CloseCode.NORMAL)


@pytest.mark.parametrize(
    "altered",
    [
        {"node_id": BOB.identity.node_id},
        {"node_id": MALLORY.identity.node_id},
        {"node_id": MALLORY.identity.node_id, "public_key": MALLORY.identity.public_key},
        {"node_id": ALICE.identity.node_id[:31]},
        {"node_id": ALICE.identity.node_id + b"x"},
        {"node_id": b"x"},
        {"public_key": MALLORY.identity.public_key},
        {"public_key": bytes(32)},
        {"signature": bytes(64)},
        {"signature": None},
        {"public_key": None},
        {"public_key": None, "signature": None},
        {"endpoint": "10.6.6.6:1"},
        {"capabilities": ("admin",)},
        {"version": "1.1"},
    ],
    ids=lambda altered: "-".join(altered),
)
def test_a_connect_that_was_altered_is_refused(altered):
    connect = replace(connect_of(ALICE, BOB), **altered)

    actions = answers_to(connect, BOB)

    assert_refused(end_of(actions), BadProofError, CloseCode.BAD_PROOF)
    assert sent(actions) == [Error(code="bad_proof", message=end_of(actions).error.detail)]


@pytest.mark.parametrize("node", [BOB, OPEN_BOB], ids=["verified", "open"])
def test_a_node_cannot_sign_for_the_id_of_another_with_its_own_key(node):
    nonce = {Security.VERIFIED: NONCE, Security.OPEN: NO_NONCE}[node.security]
    connect = Connect(
        node_id=ALICE.identity.node_id,
        realm_id=REALM,
        capabilities=(),
        public_key=MALLORY.identity.public_key,
    )

    end = end_of(answers_to(signed(connect, MALLORY, nonce), node))

    assert_refused(end, BadProofError, CloseCode.BAD_PROOF)


def test_a_copy_of_the_acceptors_key_is_itself():
    identity = BOB.identity
    connect = Connect(node_id=identity.node_id, realm_id=REALM, capabilities=(), public_key=identity.public_key)

    end = end_of(answers_to(signed(connect, BOB, NONCE), BOB))

    assert_refused(end, SelfDialError, CloseCode.SELF_DIAL)


def signed(connect, by, nonce):
    """Return ``connect`` to Bob with the signature of ``by``."""
    transcript = Transcript(
        fingerprint=certificate_of(BOB)["fingerprint"], acceptor=BOB.identity.node_id, nonce=nonce, connect=connect
    )
    return replace(connect, signature=transcript.signature(by.identity))


def test_a_proof_of_membership_cannot_be_moved_to_another_connect():
    alice, mallory = replace(ALICE, realm_secret=SECRET), replace(MALLORY, realm_secret=b"no secret")
    stolen = replace(connect_of(mallory, BOB), realm_mac=connect_of(alice, BOB).realm_mac)

    end = end_of(answers_to(stolen, replace(BOB, realm_secret=SECRET)))

    assert_refused(end, WrongRealmSecretError, CloseCode.WRONG_REALM_SECRET)


def test_a_challenge_is_answered_once():
    machine, _ = challenged()

    (end,) = machine.received(Challenge(node_id=BOB.identity.node_id, nonce=NONCE[::-1]), CLOCK)

    assert_refused(end, RemoteProtocolError, CloseCode.PROTOCOL_VIOLATION)


def test_a_challenge_before_the_certificate_is_known_is_not_answered():
    (end,) = dialler(ALICE).received(Challenge(node_id=BOB.identity.node_id, nonce=NONCE), CLOCK)

    assert_refused(end, RemoteProtocolError, CloseCode.PROTOCOL_VIOLATION)


def test_the_nonce_of_an_acceptor_is_the_one_it_was_given():
    assert sent(acceptor(BOB).established()) == [Challenge(node_id=BOB.identity.node_id, nonce=NONCE)]


@pytest.mark.parametrize("nonce", [b"", bytes(31), bytes(33)])
def test_a_nonce_of_another_length_is_refused(nonce):
    with pytest.raises(ValueError, match="32 bytes"):
        acceptor(BOB, nonce)


# Before CONNECT was accepted


@pytest.mark.parametrize("machine", [acceptor(BOB), acceptor(OPEN_BOB), dialler(ALICE), dialler(OPEN_ALICE)])
@pytest.mark.parametrize(("timestamp", "echoed"), [(5, 5), (0, 0), (None, CLOCK)])
def test_ping_is_answered_at_any_time(machine, timestamp, echoed):
    assert machine.received(Ping(timestamp=timestamp), CLOCK) == [Send(Pong(timestamp=echoed, server_time=CLOCK))]


def test_connect_is_accepted_after_a_ping():
    machine = acceptor(BOB)
    machine.established()
    machine.received(Ping(), CLOCK)

    assert isinstance(end_of(machine.received(connect_of(ALICE, BOB), CLOCK)), Accepted)


@pytest.mark.parametrize("node", [BOB, OPEN_BOB])
@pytest.mark.parametrize(
    "message",
    [
        CALL,
        Subscribe(topics=("a",)),
        Challenge(node_id=b"m", nonce=NONCE),
        Connected(node_id=b"m", capabilities=()),
        Pong(timestamp=0, server_time=0),
        Error(code="realm_mismatch", message=""),
    ],
    ids=lambda message: type(message).__name__,
)
def test_nothing_else_is_served_before_connect(node, message):
    actions = answers_to(message, node)

    assert_refused(end_of(actions), RemoteProtocolError, CloseCode.NOT_CONNECTED)
    assert [each.code for each in sent(actions)] == ["not_connected"]


@pytest.mark.parametrize(
    "message", [CALL, Connected(node_id=BOB.identity.node_id, capabilities=()), Pong(timestamp=0, server_time=0)]
)
def test_an_acceptor_that_serves_without_connect_is_left(message):
    machine = dialler(ALICE)
    machine.established(**certificate_of(BOB))

    (end,) = machine.received(message, CLOCK)

    assert_refused(end, RemoteProtocolError, CloseCode.NOT_CONNECTED)


def test_what_overtakes_the_answer_to_connect_is_kept_for_later():
    machine, _ = challenged()

    assert machine.received(CALL, CLOCK) == [Postpone()]
    assert isinstance(
        end_of(machine.received(Connected(node_id=BOB.identity.node_id, capabilities=()), CLOCK)), Accepted
    )


def test_not_more_is_kept_than_may_be():
    machine, _ = challenged()
    kept = [machine.received(CALL, CLOCK) for _ in range(MAX_POSTPONED)]

    (end,) = machine.received(CALL, CLOCK)

    assert kept == [[Postpone()]] * MAX_POSTPONED
    assert_refused(end, RemoteProtocolError, CloseCode.NOT_CONNECTED)


@pytest.mark.parametrize("machine", [acceptor(BOB), challenged()[0]], ids=["acceptor", "dialler"])
def test_a_peer_that_leaves_is_no_fault(machine):
    (end,) = machine.received(Disconnect(reason="shutdown", message="bye"), CLOCK)

    assert_refused(end, ConnectionLostError, CloseCode.NORMAL)
    assert (end.error.by, end.error.reason) == ("peer", "shutdown: bye")


def test_a_refusal_unknown_to_the_dialler_says_what_the_peer_said():
    machine, _ = challenged()

    (end,) = machine.received(Error(code="tired", message="of you"), CLOCK)

    assert_refused(end, ConnectionLostError, CloseCode.NORMAL)
    assert end.error.reason == "tired: of you"


@given(any_message, any_message)
def test_whatever_comes_first_an_acceptor_answers_and_after_its_end_no_more(first, second):
    machine = acceptor(BOB)
    machine.established()

    actions = machine.received(first, CLOCK)

    assert all(isinstance(action, Send | Refused) for action in actions)
    assert isinstance(first, Ping) or machine.received(second, CLOCK) == []


@given(any_message, any_message)
def test_whatever_comes_a_dialler_goes_on_or_refuses(first, second):
    machine, _ = challenged()

    actions = [*machine.received(first, CLOCK), *machine.received(second, CLOCK)]

    assert not any(isinstance(action, Accepted) for action in actions)
    assert all(isinstance(action.error, MaculaError) for action in actions if isinstance(action, Refused))


def test_nothing_has_an_effect_after_the_end():
    machine, _ = challenged()
    connected = Connected(node_id=BOB.identity.node_id, capabilities=())
    machine.received(connected, CLOCK)

    assert machine.received(connected, CLOCK) == machine.received(CALL, CLOCK) == []


# Open mode


def test_an_open_dialler_sends_connect_at_once_and_proves_nothing():
    actions = dialler(OPEN_ALICE).established(fingerprint=bytes(32), public_key=None)

    assert sent(actions) == [Connect(node_id=ALICE.identity.node_id, realm_id=REALM, capabilities=("of a",))]


def test_an_open_acceptor_answers_as_the_original():
    connect = Connect(node_id=bytes(32), realm_id=REALM, capabilities=("rpc",))

    actions = answers_to(connect, OPEN_BOB)

    assert acceptor(OPEN_BOB).established() == []
    assert sent(actions) == [Pong(timestamp=CLOCK, server_time=CLOCK)]
    assert end_of(actions) == Accepted(
        PeerInfo(node_id=NodeId(bytes(32)), public_key=None, endpoint=None, capabilities=("rpc",), verified=False)
    )


@given(st.binary(min_size=1, max_size=255))
def test_an_open_acceptor_places_an_id_where_the_original_does(node_id):
    connect = Connect(node_id=node_id, realm_id=REALM, capabilities=())

    assert end_of(answers_to(connect, OPEN_BOB)).peer.node_id == NodeId.normalize(node_id)


UNCONNECTED = [
    Store(key=b"k", value={}),
    FindNode(target=b"t"),
    FindValue(key=b"k"),
    RpcRoute(destination_node_id=b"d", source_node_id=b"s", payload_type="call", payload=CALL),
    PubsubRoute(
        destination_node_id=b"d",
        source_node_id=b"s",
        topic="t",
        payload=Publish(topic="t", payload=b"", message_id=bytes(16)),
    ),
]


@pytest.mark.parametrize("message", UNCONNECTED, ids=lambda message: type(message).__name__)
def test_an_open_acceptor_serves_without_connect_what_the_original_sends_so_and_bears_a_connect_after_it(message):
    machine = acceptor(OPEN_BOB)

    assert machine.received(message, CLOCK) == [Serve()]
    assert isinstance(end_of(machine.received(Connect(node_id=b"n", realm_id=REALM, capabilities=()), CLOCK)), Accepted)


@pytest.mark.parametrize("message", UNCONNECTED, ids=lambda message: type(message).__name__)
def test_a_verified_acceptor_serves_none_of_that(message):
    assert_refused(end_of(answers_to(message, BOB)), RemoteProtocolError, CloseCode.NOT_CONNECTED)


def test_open_nodes_meet():
    at_bob, at_alice = meeting(OPEN_BOB, OPEN_ALICE)

    assert (at_bob.peer.node_id, at_bob.peer.verified) == (ALICE.identity.node_id, False)
    assert (at_alice.peer.node_id, at_alice.peer.verified) == (None, False)


def test_an_open_acceptor_verifies_what_proof_it_is_given():
    connect = proven_to_open_bob()

    actions = answers_to(connect, OPEN_BOB)

    assert end_of(actions).peer.verified
    assert sent(actions) == [Connected(node_id=BOB.identity.node_id, capabilities=("of b",))]


@pytest.mark.parametrize(
    "altered", [{"signature": bytes(64)}, {"signature": None}, {"node_id": b"x"}, {"version": "2"}]
)
def test_an_open_acceptor_refuses_a_wrong_proof(altered):
    end = end_of(answers_to(replace(proven_to_open_bob(), **altered), OPEN_BOB))

    assert_refused(end, BadProofError, CloseCode.BAD_PROOF)


def proven_to_open_bob():
    identity = ALICE.identity
    connect = Connect(node_id=identity.node_id, realm_id=REALM, capabilities=(), public_key=identity.public_key)
    return signed(connect, ALICE, NO_NONCE)


def test_a_proof_without_a_challenge_is_worthless_where_there_is_one():
    end = end_of(answers_to(proven_to_open_bob(), BOB))

    assert_refused(end, BadProofError, CloseCode.BAD_PROOF)


def test_what_the_secret_of_a_realm_proves_an_open_node_cannot_know():
    connect = Connect(node_id=b"a", realm_id=REALM, capabilities=(), realm_mac=bytes(32))

    assert_refused(end_of(answers_to(connect, OPEN_BOB)), WrongRealmSecretError, CloseCode.WRONG_REALM_SECRET)


def dialled_open(answer, expected=None, certificate=None):
    machine = dialler(OPEN_ALICE, expected=expected)
    machine.established(**(certificate or {"fingerprint": bytes(32), "public_key": None}))
    return end_of(machine.received(answer, CLOCK))


def test_a_pong_is_of_the_node_that_was_expected_but_proves_nothing():
    end = dialled_open(Pong(timestamp=1, server_time=1), expected=BOB.identity.node_id)

    assert (end.peer.node_id, end.peer.verified) == (BOB.identity.node_id, False)


def test_the_certificate_of_the_expected_node_proves_it_to_an_open_node_too():
    end = dialled_open(Pong(timestamp=1, server_time=1), BOB.identity.node_id, certificate_of(BOB))

    assert (end.peer.node_id, end.peer.public_key) == (BOB.identity.node_id, BOB.identity.public_key)
    assert end.peer.verified


@pytest.mark.parametrize(("certificate", "verified"), [(certificate_of(BOB), True), (certificate_of(MALLORY), False)])
def test_connected_tells_an_open_node_who_answered(certificate, verified):
    end = dialled_open(Connected(node_id=BOB.identity.node_id, capabilities=("x",)), certificate=certificate)

    assert (end.peer.node_id, end.peer.capabilities, end.peer.verified) == (BOB.identity.node_id, ("x",), verified)


def test_an_open_node_leaves_who_says_to_be_another_than_expected():
    end = dialled_open(Connected(node_id=b"m", capabilities=()), expected=BOB.identity.node_id)

    assert_refused(end, IdentityMismatchError, CloseCode.IDENTITY_MISMATCH)


def test_an_open_dialler_and_a_verified_acceptor_part_both_knowing_why():
    at_bob, at_alice = meeting(BOB, OPEN_ALICE)

    assert_refused(at_bob, BadProofError, CloseCode.BAD_PROOF)
    assert_refused(at_alice, BadProofError, CloseCode.BAD_PROOF)
    assert "security is open" in at_alice.error.detail


def test_a_verified_dialler_waits_for_the_challenge_of_an_open_acceptor_in_vain():
    assert meeting(OPEN_BOB, ALICE) == [None, None]


@pytest.mark.parametrize("value", [BOB, Send(CALL), Postpone(), Accepted(None), Refused(None, CloseCode.NORMAL)])
def test_settings_and_actions_are_frozen(value):
    name = next(iter(value.__slots__), "message")

    with pytest.raises((FrozenInstanceError, TypeError)):
        setattr(value, name, None)


def test_an_acceptor_proves_its_membership_for_this_connection_only():
    alice, bob = replace(ALICE, realm_secret=SECRET), replace(BOB, realm_secret=SECRET)
    connect = connect_of(alice, bob)
    transcript = Transcript(
        fingerprint=certificate_of(bob)["fingerprint"], acceptor=bob.identity.node_id, nonce=NONCE, connect=connect
    )

    (connected,) = sent(answers_to(connect, bob))

    assert connected.realm_mac == transcript.realm_mac(SECRET, Purpose.ACCEPTOR_MEMBERSHIP)
    assert connected.realm_mac != connect.realm_mac
