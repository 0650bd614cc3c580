"""aioquic, bare."""
# mypy: disable-error-code="import-untyped, import-not-found"

import ssl
from functools import partial

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from benchmarks.quic import raw
from benchmarks.quic.certificate import NAME, make_certificate
from benchmarks.quic.udp import Address, PlainSocket

__all__ = ["connect", "dialling", "serve"]


def _configuration(*, is_client: bool) -> QuicConfiguration:
    configuration = QuicConfiguration(
        alpn_protocols=[NAME],
        is_client=is_client,
        idle_timeout=raw.IDLE_TIMEOUT,
        max_data=raw.MAX_DATA,
        max_stream_data=raw.MAX_STREAM_DATA,
    )
    if is_client:
        configuration.verify_mode = ssl.CERT_NONE
        configuration.server_name = NAME
    else:
        certificate, key = make_certificate()
        configuration.certificate = load_pem_x509_certificate(certificate)
        configuration.private_key = load_pem_private_key(key, None)
    return configuration


DIALLER = _configuration(is_client=True)
ACCEPTOR = _configuration(is_client=False)


def _dial() -> QuicConnection:
    return QuicConnection(configuration=DIALLER)


def _accept(connection_id: bytes) -> QuicConnection:
    return QuicConnection(configuration=ACCEPTOR, original_destination_connection_id=connection_id)


def _receive(quic: QuicConnection, datagrams: list[bytes], address: Address, now: float) -> None:
    for datagram in datagrams:
        quic.receive_datagram(datagram, address, now)


def _can_open_stream(_: QuicConnection) -> bool:
    """Return True: it queues by itself what the peer does not allow yet."""
    return True


ENGINE = raw.Engine(
    open_socket=PlainSocket,
    dial=_dial,
    accept=_accept,
    receive=_receive,
    can_open_stream=_can_open_stream,
    events=events,
)

serve = partial(raw.serve, ENGINE)
connect = partial(raw.connect, ENGINE)
dialling = partial(raw.dialling, ENGINE)
