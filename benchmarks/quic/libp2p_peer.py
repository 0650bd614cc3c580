"""py-libp2p, on trio: a stream a request, each negotiated, over its QUIC (which is aioquic)."""
# libp2p is not installed where only `make check` runs.
# mypy: disable-error-code="import-untyped, import-not-found"

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from struct import Struct
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from benchmarks.quic.systems import Request

__all__ = ["connect", "serve"]

PROTOCOL = "/echo/1.0.0"
LOOPBACK = "/ip4/127.0.0.1/udp/0/quic-v1"
REPLY_BYTES = 100
LENGTH = Struct("!I")  # before a request: to end a stream one way costs it half of its speed


async def serve(announce: Callable[[str], None]) -> None:
    """Answer each stream; where it is: its multiaddress."""
    host = _new_host()
    async with host.run(listen_addrs=[Multiaddr(LOOPBACK)]):
        host.set_stream_handler(PROTOCOL, _answer)
        announce(str(host.get_addrs()[0]))
        await trio.sleep_forever()


async def _answer(stream: Any) -> None:
    length = LENGTH.unpack(await _read_exactly(stream, LENGTH.size))[0]
    message = await _read_exactly(stream, length)
    await stream.write(message[:REPLY_BYTES])
    await stream.close()


async def _read_exactly(stream: Any, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        data += await stream.read(length - len(data))
    return bytes(data)


@asynccontextmanager
async def connect(where: str) -> AsyncGenerator[Request]:
    """Connect, and give the function that sends a request."""
    server = info_from_p2p_addr(Multiaddr(where))
    host = _new_host()
    async with host.run(listen_addrs=[]):
        await host.connect(server)

        async def request(message: bytes) -> bytes:
            stream = await host.new_stream(server.peer_id, [PROTOCOL])
            await stream.write(LENGTH.pack(len(message)) + message)
            reply = await _read_exactly(stream, REPLY_BYTES)
            await stream.close()
            return reply

        yield request


def _new_host() -> Any:
    return new_host(enable_quic=True, key_pair=create_new_key_pair())
