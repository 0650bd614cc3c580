"""What a node does about peers that lie, flood, stall or send garbage: over real sockets, with both engines.

In every test a third node goes on calling the victim: all its calls are answered, over one connection.
"""

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager

import pytest

from macula_actors.core.peer.admission import AdmissionLimits
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire.encoder import encode
from macula_actors.core.wire.frame import HEADER_BYTES, MAX_PAYLOAD_BYTES, VERSION, encode_frame
from macula_actors.core.wire.messages import Call, Challenge, Connect, Connected, Error, Ping, Pong, Reply, Store
from macula_actors.core.wire.types import MessageType
from macula_actors.errors import (
    BadProofError,
    CallTimeoutError,
    ConnectionLostError,
    IdentityMismatchError,
    MaculaError,
    NoRouteError,
    OverloadedError,
    RealmMismatchError,
    RemoteProtocolError,
    SelfDialError,
    WrongRealmSecretError,
)
from macula_actors.transport.certificate import fingerprint, self_signed, to_der
from macula_actors.transport.connection import MAX_PARTIAL_BYTES, MAX_UNSENT_BYTES
from macula_actors.transport.engines import engine
from macula_actors.transport.interface import QuicSettings
from supervisors.testing import wait_until
from tests.macula_actors.peers import CALL_ID, REALM, Line, Mesh, a_call, connect_to, connected_of, echo, never
from tests.macula_actors.transport.pair import credentials, ec_key

pytestmark = pytest.mark.real_clock

MIB = 1_048_576
SECRET, OTHER_SECRET = b"s" * 32, b"o" * 32
ANSWERS = {
    Call: lambda inbound: {"never": never, "large": large}.get(inbound.message.procedure, echo)(inbound),
    Store: lambda _: None,
}


def large(_inbound):
    return Reply(call_id=CALL_ID, result=bytes(MIB - 100))


@pytest.fixture(params=["aioquic", "qh3"])
def siege(request):
    """Return a context of a mesh and a victim in it, which a third node calls all the time."""

    @asynccontextmanager
    async def begin(*, bystander=None, **victim):
        async with Mesh(engine_name=request.param) as mesh:
            node = await mesh.node(answers=ANSWERS, **victim)
            async with mesh.bystander(node, **(bystander or {})):
                yield mesh, node

    return begin


async def error_of(awaitable):
    """Return the error of the package that ``awaitable`` raises."""
    with pytest.raises(MaculaError) as caught:
        await awaitable
    return caught.value


# Who is there: what a node shows as an acceptor


async def test_an_acceptor_that_claims_another_node_s_id_is_left(siege):
    async with siege() as (mesh, victim):
        liar = mesh.attacker()
        call = asyncio.create_task(error_of(victim.call(Contact(liar.endpoint))))
        line = await liar.next_accepted()

        line.send(Challenge(node_id=Identity.generate().node_id, nonce=bytes(32)), end=False)

        assert isinstance(await call, IdentityMismatchError)
        assert isinstance(await line.lost_error(), IdentityMismatchError)
        assert victim.counted["closed_identity_mismatch"] == 1


async def test_an_acceptor_without_a_node_s_key_is_left(siege):
    async with siege() as (mesh, victim):
        liar = mesh.attacker(credentials=credentials(ec_key()), engine_name="aioquic")

        error = await error_of(victim.call(Contact(liar.endpoint)))

        assert isinstance(error, BadProofError)
        assert isinstance(await victim.end_of(), BadProofError)
        assert victim.counted["closed_bad_proof"] == 1


async def test_another_node_than_the_one_dialled_is_left(siege):
    async with siege() as (mesh, victim):
        one, stranger = await mesh.node(), Identity.generate().node_id

        error = await error_of(one.call(Contact(victim.endpoint, stranger)))

        assert (type(error), error.expected, error.actual) == (IdentityMismatchError, stranger, victim.identity.node_id)
        assert one.counted["closed_identity_mismatch"] == 1


async def test_a_node_that_was_taken_for_another_hears_of_it(siege):
    async with siege() as (mesh, victim):
        one = await mesh.node()

        await error_of(one.call(Contact(victim.endpoint, Identity.generate().node_id)))

        await wait_until(lambda: victim.counted["lost_identity_mismatch"], timeout=1.0)
        assert isinstance(await victim.end_of(), IdentityMismatchError)


async def test_who_is_refused_is_told_why_in_a_message_too(siege):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        (refusal,) = await line.answers(line.send(a_call()), timeout=0.5)

        assert (type(refusal), refusal.code) == (Error, "not_connected")


async def test_a_node_that_is_dialled_by_itself_says_so(siege):
    async with siege() as (_, victim):
        error = await error_of(victim.call(Contact(victim.endpoint)))

        assert isinstance(error, SelfDialError)
        assert victim.counted["closed_self_dial"] == 1


async def test_a_node_with_a_copy_of_the_key_is_refused(siege):
    async with siege() as (mesh, victim):
        copy = await mesh.node(identity=victim.identity)

        assert isinstance(await error_of(copy.call(Contact(victim.endpoint))), SelfDialError)
        assert isinstance(await error_of(victim.call(Contact(copy.endpoint))), SelfDialError)


async def test_a_dialler_that_claims_the_id_of_the_acceptor_is_refused(siege):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)
        stream, challenge = await line.first(Challenge)

        line.send(connect_to(challenge, line.fingerprint, victim.identity), stream_id=stream)

        await assert_refused(line, victim, SelfDialError, CloseCode.SELF_DIAL)


# Who is there: what a dialler proves


async def assert_refused(line, victim, error, code):
    """Assert that the attacker of ``line`` and the victim both know why it was refused."""
    assert type(await line.lost_error()) is type(await victim.end_of()) is error
    assert victim.counted[f"closed_{code.label}"] == 1


async def test_a_replayed_connect_proves_nothing(siege):
    async with siege() as (mesh, victim):
        attacker = mesh.attacker()
        first, second = await attacker.dial(victim), await attacker.dial(victim)
        _, challenge = await first.first(Challenge)
        recorded = connect_to(challenge, first.fingerprint, Identity.generate())

        assert isinstance(await first.ask(recorded), Connected)
        second.send(recorded)

        await assert_refused(second, victim, BadProofError, CloseCode.BAD_PROOF)
        assert isinstance(await first.ask(a_call()), Reply)


async def test_a_connect_with_the_id_of_another_key_proves_nothing(siege):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)
        _, challenge = await line.first(Challenge)
        honest = connect_to(challenge, line.fingerprint, Identity.generate())

        line.send(Connect(**{**fields_of(honest), "node_id": Identity.generate().node_id}))

        await assert_refused(line, victim, BadProofError, CloseCode.BAD_PROOF)


async def test_a_connect_without_a_proof_is_refused(siege):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        line.send(Connect(node_id=bytes(32), realm_id=REALM, capabilities=()))

        await assert_refused(line, victim, BadProofError, CloseCode.BAD_PROOF)


def fields_of(message):
    return {name: getattr(message, name) for name in message.__slots__}


async def between(mesh, victim):
    """Have a node dial a man in the middle; return its call, and the man's lines to it and to the victim."""
    man, dialler = mesh.attacker(), await mesh.node()
    call = asyncio.create_task(error_of(dialler.call(Contact(man.endpoint))))
    return man, call, await man.next_accepted(), await man.dial(victim)


async def test_a_man_in_the_middle_cannot_pass_on_the_challenge(siege):
    async with siege() as (mesh, victim):
        _, call, to_dialler, to_victim = await between(mesh, victim)
        _, challenge = await to_victim.first(Challenge)

        to_dialler.send(challenge, end=False)

        assert isinstance(await call, IdentityMismatchError)
        assert isinstance(await to_dialler.lost_error(), IdentityMismatchError)


async def test_a_man_in_the_middle_cannot_pass_on_the_connect(siege):
    async with siege() as (mesh, victim):
        man, call, to_dialler, to_victim = await between(mesh, victim)
        _, challenge = await to_victim.first(Challenge)
        to_dialler.send(Challenge(node_id=man.identity.node_id, nonce=challenge.nonce), end=False)
        stream, connect = await to_dialler.first(Connect)

        to_victim.send(connect)
        await assert_refused(to_victim, victim, BadProofError, CloseCode.BAD_PROOF)
        to_dialler.send(Error(code="bad_proof", message=""), stream_id=stream)

        assert isinstance(await call, BadProofError)


async def test_a_man_in_the_middle_is_not_the_node_that_was_dialled(siege):
    async with siege() as (mesh, victim):
        man, dialler = mesh.attacker(), await mesh.node()

        error = await error_of(dialler.call(Contact(man.endpoint, victim.identity.node_id)))

        assert (type(error), error.actual) == (IdentityMismatchError, man.identity.node_id)


# Realms


async def test_a_node_of_another_realm_is_refused(siege):
    async with siege() as (mesh, victim):
        stranger = await mesh.node(realm="com.elsewhere")

        error = await error_of(stranger.call(victim))

        theirs = await victim.end_of()
        assert (type(error), error.ours, error.theirs) == (RealmMismatchError, "com.elsewhere", None)
        assert (type(theirs), theirs.theirs) == (RealmMismatchError, "com.elsewhere")
        assert victim.counted["closed_realm_mismatch"] == 1


async def test_a_stranger_is_not_told_the_realm(siege):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        stream, challenge = await line.first(Challenge)

        line.send(connect_to(challenge, line.fingerprint, Identity.generate(), realm="com.elsewhere"), stream_id=stream)

        await line.lost_error()
        assert REALM not in f"{line.link._quic._quic.close_event()} {line.messages}"


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SECRET, OTHER_SECRET), (SECRET, None), (None, SECRET)], ids=["other", "none", "surplus"]
)
async def test_a_dialler_with_another_realm_secret_is_refused(siege, ours, theirs):
    async with siege(realm_secret=ours, bystander={"realm_secret": ours}) as (mesh, victim):
        stranger = await mesh.node(realm_secret=theirs)

        error = await error_of(stranger.call(victim))

        assert type(error) is type(await victim.end_of()) is WrongRealmSecretError
        assert victim.counted["closed_wrong_realm_secret"] == 1


@pytest.mark.parametrize("theirs", [OTHER_SECRET, None], ids=["other", "none"])
async def test_an_acceptor_that_does_not_know_the_realm_secret_is_left(siege, theirs):
    async with siege(realm_secret=SECRET, bystander={"realm_secret": SECRET}) as (mesh, victim):
        liar = mesh.attacker()
        call = asyncio.create_task(error_of(victim.call(Contact(liar.endpoint))))
        line = await liar.next_accepted()
        challenge = Challenge(node_id=liar.identity.node_id, nonce=bytes(32))
        line.send(challenge, end=False)
        stream, connect = await line.first(Connect)

        shown = fingerprint(to_der(liar.credentials.certificate))
        line.send(connected_of(challenge, shown, connect, secret=theirs), stream_id=stream)

        assert isinstance(await call, WrongRealmSecretError)
        assert isinstance(await line.lost_error(), WrongRealmSecretError)
        assert victim.counted["closed_wrong_realm_secret"] == 1


# Too early, or never


@pytest.mark.parametrize(
    "message",
    [a_call(b"early"), Store(key=bytes(32), value=b"x"), Reply(call_id=CALL_ID, result=b"")],
    ids=["call", "store", "reply"],
)
async def test_a_message_before_connect_is_refused(siege, message):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        line.send(message)
        await line.lost_error()

        theirs = await victim.end_of()
        assert (type(line.error), line.error.code) == (ConnectionLostError, CloseCode.NOT_CONNECTED)
        assert (type(theirs), theirs.code) == (RemoteProtocolError, "not_connected")
        assert victim.handled.count(message) == 0
        assert victim.counted["closed_not_connected"] == 1


async def test_a_ping_before_connect_is_answered(siege):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        pong = await line.ask(Ping(timestamp=7))

        assert (type(pong), pong.timestamp) == (Pong, 7)
        assert isinstance(await line.shake_hands(Identity.generate()), Connected)


async def test_a_handshake_that_is_never_finished_is_given_up(siege):
    async with siege(peer={"handshake_timeout": 0.3}) as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        error = await line.lost_error()

        theirs = await victim.end_of()
        assert error.code == theirs.code == CloseCode.HANDSHAKE_TIMEOUT
        assert (error.by, theirs.by) == ("peer", "local")
        assert victim.counted["closed_handshake_timeout"] == 1


async def test_pings_do_not_put_off_the_end_of_a_handshake(siege):
    async with siege(peer={"handshake_timeout": 0.3}) as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        with pytest.raises(TimeoutError):
            while True:
                await asyncio.wait_for(line.ask(Ping(timestamp=7)), 0.2)

        assert (await line.lost_error()).code == CloseCode.HANDSHAKE_TIMEOUT


async def test_an_acceptor_that_never_challenges_is_given_up(siege):
    async with siege(peer={"handshake_timeout": 0.3}) as (mesh, victim):
        deaf = mesh.attacker()

        error = await error_of(victim.call(Contact(deaf.endpoint), timeout=0.6))

        assert isinstance(error, NoRouteError | CallTimeoutError)
        assert (await (await deaf.next_accepted()).lost_error()).code == CloseCode.HANDSHAKE_TIMEOUT
        assert victim.counted["closed_handshake_timeout"] == 1


# What cannot be read


def header_of(length, type_id=MessageType.CALL):
    return bytes([VERSION, type_id, 0, 0]) + length.to_bytes(4)


GARBAGE = {
    "unknown_type": encode_frame(0x77, b""),
    "bad_field": encode_frame(MessageType.CALL, b"\x81\xa9procedure\x07"),
    "not msgpack": encode_frame(MessageType.CALL, b"\xc1\xc1"),
    "frame_too_large": header_of(MAX_PAYLOAD_BYTES + 1),
    "unsupported_version": b"\x63" + encode(a_call())[1:],
    "incomplete_payload": encode(a_call())[:-1],
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_answered_with_an_error_and_counted(siege, data):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().join(victim)

        answer = await line.ask(data)

        assert isinstance(answer, Error)
        assert victim.counted[answer.code] == 1
        assert isinstance(await line.ask(a_call()), Reply)


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_who_goes_on_with_garbage_is_left(siege, data):
    async with siege(peer={"max_violations": 16}) as (mesh, victim):
        line = await mesh.attacker().join(victim)

        for _ in range(16):
            line.send(data)

        assert ((await line.lost_error()).code, type(await victim.end_of())) == (
            CloseCode.PROTOCOL_VIOLATION,
            RemoteProtocolError,
        )
        assert victim.counted["closed_protocol_violation"] == 1


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_before_connect_ends_the_connection(siege, data):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().dial(victim)

        line.send(data)

        assert (await line.lost_error()).code == CloseCode.PROTOCOL_VIOLATION
        assert isinstance(await victim.end_of(), RemoteProtocolError)
        assert victim.counted["closed_protocol_violation"] == 1


async def test_an_oversized_answer_is_the_caller_s_error(siege):
    async with siege() as (mesh, victim):
        attacker = mesh.attacker()
        line = await attacker.join(victim)
        call = asyncio.create_task(error_of(victim.call(Contact(node_id=attacker.identity.node_id))))
        stream, _ = await line.first(Call)

        line.send(header_of(2 * MAX_PAYLOAD_BYTES), stream_id=stream, end=False)

        assert (await call).code == "frame_too_large"
        assert victim.counted["frame_too_large"] == 1
        assert isinstance(await line.ask(a_call()), Reply)


async def test_answers_that_nobody_asked_for_are_refused(siege):
    async with siege() as (mesh, victim):
        line = await mesh.attacker().join(victim)

        answers = [await line.ask(message) for message in (Reply(call_id=CALL_ID, result=b""), connected_again())]

        assert [answer.code for answer in answers] == ["unsupported", "unsupported"]


def connected_again():
    return Connected(node_id=bytes(32), capabilities=())


# Too slow


async def test_frames_that_never_end_are_cut_and_their_sender_is_left(siege):
    async with siege(peer={"partial_timeout": 0.2, "max_violations": 4}) as (mesh, victim):
        line = await mesh.attacker().join(victim)

        streams = [line.send(header_of(1000), end=False) for _ in range(4)]
        trickle = asyncio.create_task(trickle_on(line, streams))
        await line.lost_error(timeout=4.0)

        assert (await trickle, line.error.code) == (None, CloseCode.PROTOCOL_VIOLATION)
        assert (await victim.end_of()).code == "incomplete_payload"
        assert victim.counted["incomplete_payload"] == 4


async def test_one_frame_that_never_ends_is_cut_and_its_connection_goes_on(siege):
    async with siege(peer={"partial_timeout": 0.2}) as (mesh, victim):
        line = await mesh.attacker().join(victim)

        stream = line.send(header_of(1000), end=False)
        await line.until(lambda: line.failed, timeout=3.0)

        assert line.failed[0][0] == stream
        assert isinstance(await line.ask(a_call()), Reply)


async def trickle_on(line, streams):
    while line.error is None:
        for stream_id in streams:
            line.send(b"x", stream_id=stream_id, end=False)
        await asyncio.sleep(0.05)


async def test_who_asks_for_much_and_reads_nothing_is_left(siege):
    async with siege(peer={"stall_timeout": 0.5}) as (mesh, victim):
        line = await mesh.attacker().join(victim)
        line.link._quic.pause_reading()
        (link,) = [link for link in victim.quic.connections if link.address == mesh_address(line)]
        most = 0

        async with asyncio.timeout(15.0):  # until the peer's windows are full
            while not link.is_closed:
                line.send(a_call(procedure="large"))
                most = max(most, link.unsent_bytes())
                await asyncio.sleep(0.01)

        theirs = await victim.end_of()
        assert MIB < most <= MAX_UNSENT_BYTES + MIB
        assert (type(theirs), theirs.by, theirs.code) == (ConnectionLostError, "local", CloseCode.OVERLOADED)
        assert ((await line.lost_error()).by, line.error.code) == ("peer", CloseCode.OVERLOADED)
        assert victim.counted["closed_overloaded"] == 1


def mesh_address(line):
    return line.link._endpoint.address


# Too much


def open_all(line):
    """Open as many streams as the victim grants, past the bound that our own transport keeps."""
    quic = line.link._quic
    streams = []
    while (stream_id := quic.open_stream()) is not None:
        streams.append(stream_id)
    return streams


async def test_a_flood_of_requests_that_are_never_answered_is_bounded(siege):
    async with siege(peer={"max_handling": 16}) as (mesh, victim):
        line = await mesh.attacker().join(victim)
        streams = open_all(line)

        for stream_id in streams:
            line.send(a_call(procedure="never"), stream_id=stream_id)
        refused = len(streams) - 16
        await line.until(lambda: sum(isinstance(message, Error) for _, message, _ in line.messages) == refused)

        assert len(streams) > 64
        assert {message.code for _, message, _ in line.messages if isinstance(message, Error)} == {"overloaded"}
        assert sum(message.procedure == "never" for message in victim.handled) == 16


async def test_a_flood_of_requests_that_are_given_up_at_once_is_bounded(siege):
    async with siege(peer={"max_handling": 16}) as (mesh, victim):
        line = await mesh.attacker().join(victim)

        for _ in range(5):
            for stream_id in open_all(line):
                line.send(a_call(procedure="never"), stream_id=stream_id)
                line.link.abandon_stream(stream_id, CloseCode.NORMAL)
            await asyncio.sleep(0.05)

        assert sum(isinstance(message, Call) and message.procedure == "never" for message in victim.handled) <= 16


async def test_a_flood_of_unfinished_requests_is_bounded_and_ends(siege):
    async with siege(peer={"partial_timeout": 0.3}) as (mesh, victim):
        line = await mesh.attacker().join(victim)
        (link,) = [link for link in victim.quic.connections if link.address == mesh_address(line)]

        for stream_id in open_all(line):
            line.send(header_of(MAX_PAYLOAD_BYTES) + bytes(200_000), stream_id=stream_id, end=False)
        most = 0
        async with asyncio.timeout(10.0):
            while not link.is_closed:
                most = max(most, link._partial_bytes)
                await asyncio.sleep(0.01)

        assert most <= MAX_PARTIAL_BYTES + MIB
        assert isinstance(await victim.end_of(), RemoteProtocolError | OverloadedError | ConnectionLostError)
        assert isinstance(await line.lost_error(), ConnectionLostError)


async def test_a_flood_of_forged_first_packets_keeps_nobody_out(siege):
    async with siege(mesh={"admission": AdmissionLimits(retry_above=20.0)}) as (mesh, victim):
        made = engine("aioquic", self_signed(Identity.generate()), QuicSettings())
        with contextlib.ExitStack() as stack:
            for number in range(200):
                forged = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                forged.bind((f"127.0.1.{number + 1}", 0))
                ((datagram, _), *_) = made.dial(victim.address, 0.0).datagrams_to_send(0.0)
                forged.sendto(datagram, victim.address)
            await wait_until(lambda: victim.counted["retry"] > 100)

            newcomer = await mesh.node()
            assert await newcomer.call(victim, timeout=2.0) == b"x"

        admitted = victim.quic._admission.stats()
        assert admitted.retried >= 100
        assert admitted.handshakes < 100


async def test_more_connections_from_one_address_than_allowed_are_refused(siege):
    limits = AdmissionLimits(max_connections_per_address=2)
    async with siege(mesh={"admission": limits}) as (mesh, victim):
        second, third = await mesh.nodes(2)
        await second.call(victim)

        error = await error_of(third.call(victim, timeout=0.3))

        ((_, why),) = error.tried
        assert (type(error), type(why)) == (NoRouteError, ConnectionLostError)
        assert (why.by, why.code) == ("peer", CloseCode.OVERLOADED)
        assert victim.counted["connections_per_address"] >= 1


async def test_room_is_given_back_when_a_connection_ends(siege):
    limits = AdmissionLimits(max_connections_per_address=2)
    async with siege(mesh={"admission": limits}) as (mesh, victim):
        first = mesh.attacker()
        line = await first.join(victim)
        line.link.close()
        await wait_until(lambda: victim.quic._admission.stats().connections == 1)

        assert isinstance(await mesh.attacker().join(victim), Line)


async def test_datagrams_of_noise_change_nothing(siege):
    async with siege() as (_, victim):
        noise = [bytes([first]) * length for first in range(0, 256, 5) for length in (1, 20, 100, 1200)]

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as strange:
            for datagram in noise:
                strange.sendto(datagram, victim.address)
        await asyncio.sleep(0.1)

        assert victim.quic._admission.stats().connections <= 3


def test_a_header_announces_what_follows():
    assert header_of(7) + bytes(7) == encode_frame(MessageType.CALL, bytes(7))
    assert len(header_of(7)) == HEADER_BYTES
