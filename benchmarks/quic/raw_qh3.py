"""qh3, bare, with its own batched socket calls."""
# mypy: disable-error-code="import-untyped, import-not-found"

import ssl
from functools import partial

from qh3.quic import events
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection

from benchmarks.quic import raw
from benchmarks.quic.certificate import NAME, make_certificate
from benchmarks.quic.udp import Address, BatchSocket

__all__ = ["connect", "dialling", "serve"]

SIGNATURE_ALGORITHMS = [0x0807, 0x0403, 0x0804]  # RFC 8446, 4.2.3: Ed25519, which it does not offer by itself; two more


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
        configuration.signature_algorithms = SIGNATURE_ALGORITHMS
    else:
        configuration.load_cert_chain(*make_certificate())
    return configuration


DIALLER = _configuration(is_client=True)
ACCEPTOR = _configuration(is_client=False)


def _dial() -> QuicConnection:
    return QuicConnection(configuration=DIALLER)


def _accept(connection_id: bytes) -> QuicConnection:
    return QuicConnection(configuration=ACCEPTOR, original_destination_connection_id=connection_id)


def _receive(quic: QuicConnection, datagrams: list[bytes], address: Address, now: float) -> None:
    quic.receive_many_datagrams(datagrams, address, now)


def _can_open_stream(quic: QuicConnection) -> bool:
    """Return what its `send_stream_data` would raise for: it keeps no queue of its own."""
    return bool(quic.get_next_available_stream_id() // 4 < quic.max_concurrent_bidi_streams)


ENGINE = raw.Engine(
    open_socket=BatchSocket,
    dial=_dial,
    accept=_accept,
    receive=_receive,
    can_open_stream=_can_open_stream,
    events=events,
)

serve = partial(raw.serve, ENGINE)
connect = partial(raw.connect, ENGINE)
dialling = partial(raw.dialling, ENGINE)
