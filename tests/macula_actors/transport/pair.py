"""Two engine connections joined in memory, in a time of their own: what the tests of both engines run on."""

import datetime as dt
import heapq
import random
from dataclasses import dataclass, field
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from macula_actors.transport.credentials import Credentials

DIALLER = ("192.0.2.1", 1000)
ACCEPTOR = ("192.0.2.2", 2000)
LATENCY = 0.01  # seconds, one way


def ed25519_key():
    return ed25519.Ed25519PrivateKey.generate()


def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def ec_key():
    return ec.generate_private_key(ec.SECP256R1())


def credentials(key):
    """Return a self-signed certificate of ``key`` that holds for a century."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "macula")])
    certificate = (
        x509
        .CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return Credentials(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


@dataclass
class Heard:
    """Remembers what a connection told."""

    established: int = 0
    data: dict[int, bytearray] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    resets: list[tuple[int, int]] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)
    pings: list[int] = field(default_factory=list)
    issued: list[bytes] = field(default_factory=list)
    retired: list[bytes] = field(default_factory=list)
    closed: list[tuple[int, str, bool]] = field(default_factory=list)
    terminated: int = 0

    def connection_id_issued(self, connection_id):
        self.issued.append(connection_id)

    def connection_id_retired(self, connection_id):
        self.retired.append(connection_id)

    def handshake_completed(self):
        self.established += 1

    def stream_data_received(self, stream_id, data, end_stream):
        assert type(data) is bytes
        self.data.setdefault(stream_id, bytearray()).extend(data)
        self.ended += [stream_id] * end_stream

    def stream_reset(self, stream_id, error_code):
        self.resets.append((stream_id, error_code))

    def stop_sending_received(self, stream_id, error_code):
        self.stops.append((stream_id, error_code))

    def ping_acknowledged(self, uid):
        self.pings.append(uid)

    def connection_closed(self, error_code, reason_phrase, *, application):
        self.closed.append((error_code, reason_phrase, application))

    def connection_terminated(self):
        self.terminated += 1

    @property
    def received_bytes(self):
        return sum(map(len, self.data.values()))


class End:
    """One of the two."""

    def __init__(self, connection, address):
        self.connection = connection
        self.address = address
        self.heard = Heard()


class Pair:
    """A dialler and an acceptor; ``run`` moves time from one timer or arrival to the next, to the instant.

    ``loss`` is the share of datagrams that vanish; ``change`` is applied to each datagram that is delivered, and
    returns those that arrive in its place.
    """

    def __init__(self, dialling, accepting, *, now=1000.0, loss=0.0, seed=0):
        dialler = dialling.dial(ACCEPTOR, now)
        first = dialler.datagrams_to_send(now)
        datagram = first[0][0]
        original = datagram[6 : 6 + datagram[5]]
        self._join(dialler, accepting.accept(original_destination_connection_id=original), now, loss, seed)
        self._send(self.dialler, first)

    @classmethod
    def of(cls, dialler, acceptor, *, now):
        """Join two connections that exist."""
        pair = cls.__new__(cls)
        pair._join(dialler, acceptor, now, 0.0, 0)
        return pair

    def _join(self, dialler, acceptor, now, loss, seed):
        self.now = now
        self.loss = loss
        self.rng = random.Random(seed)
        self.change = lambda datagram: [datagram]
        self.steps = 0
        self.dialler = End(dialler, DIALLER)
        self.acceptor = End(acceptor, ACCEPTOR)
        self._in_flight = []
        self._order = count()

    @property
    def ends(self):
        return (self.dialler, self.acceptor)

    def run(self, seconds=60.0, until=lambda: False):
        """Run until nothing more happens, ``until()`` holds, or ``seconds`` have passed."""
        deadline = self.now + seconds
        self.flush()
        while not until():
            instant = self._next_instant()
            if instant is None or instant > deadline:
                self.now = deadline
                break
            self.now = max(self.now, instant)
            self.step()

    def step(self):
        """Deliver what arrives now, and do what is due now."""
        self.steps += 1
        while self._in_flight and self._in_flight[0][0] <= self.now:
            *_, end, sender, datagram = heapq.heappop(self._in_flight)
            end.connection.receive(self.change(datagram), sender.address, self.now)
        for end in self.ends:
            timer = end.connection.timer()
            if timer is not None and timer <= self.now:
                end.connection.handle_timer(self.now)
        self.flush()

    def flush(self):
        for end in self.ends:
            end.connection.drain(end.heard)
            self._send(end, end.connection.datagrams_to_send(self.now))
            end.connection.drain(end.heard)

    def _send(self, sender, datagrams):
        receiver = self.acceptor if sender is self.dialler else self.dialler
        for datagram, address in datagrams:
            assert address == receiver.address
            if self.rng.random() >= self.loss:
                arrival = (self.now + LATENCY, next(self._order), receiver, sender, datagram)
                heapq.heappush(self._in_flight, arrival)

    def _next_instant(self):
        instants = [end.connection.timer() for end in self.ends] + [arrival[0] for arrival in self._in_flight[:1]]
        return min((instant for instant in instants if instant is not None), default=None)
