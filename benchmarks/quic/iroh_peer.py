"""iroh (Rust, bound by UniFFI): a bidirectional stream a request, over its QUIC; no relay, no discovery."""
# iroh is not installed where only `make check` runs.
# mypy: disable-error-code="import-untyped, import-not-found"

from asyncio import TaskGroup
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from iroh.iroh_ffi import Endpoint, EndpointAddr, EndpointId, EndpointOptions, IrohError, RelayMode, preset_minimal

from benchmarks.quic.systems import Request

__all__ = ["connect", "serve"]

ALPN = b"echo"
REPLY_BYTES = 100
MAX_MESSAGE_BYTES = 2 * 1_048_576
MAX_STREAMS = 256  # in flight; as many as the load's most


async def serve(announce: Callable[[str], None]) -> None:
    """Answer each stream; where it is: its id and its address."""
    endpoint = await _bind(alpns=[ALPN])
    announce(f"{endpoint.id()} {endpoint.bound_sockets()[0]}")
    async with TaskGroup() as tasks:
        while (incoming := await endpoint.accept_next()) is not None:
            tasks.create_task(_serve_connection(await incoming.accept(), tasks))


async def _serve_connection(accepting: Any, tasks: TaskGroup) -> None:
    connection = await accepting.connect()
    connection.set_max_concurrent_bi_streams(MAX_STREAMS)
    with suppress(IrohError):  # it has ended
        while True:
            tasks.create_task(_answer(await connection.accept_bi()))


async def _answer(stream: Any) -> None:
    message = await stream.recv().read_to_end(MAX_MESSAGE_BYTES)
    sending = stream.send()
    await sending.write_all(message[:REPLY_BYTES])
    await sending.finish()


@asynccontextmanager
async def connect(where: str) -> AsyncGenerator[Request]:
    """Connect, and give the function that sends a request."""
    server_id, address = where.split()
    endpoint = await _bind()
    connection = await endpoint.connect(EndpointAddr(EndpointId.from_string(server_id), None, [address]), ALPN)

    async def request(message: bytes) -> bytes:
        stream = await connection.open_bi()
        sending = stream.send()
        await sending.write_all(message)
        await sending.finish()
        reply: bytes = await stream.recv().read_to_end(REPLY_BYTES)
        return reply

    try:
        yield request
    finally:
        connection.close(0, b"")
        await endpoint.close()


async def _bind(**options: Any) -> Any:
    no_relay: dict[str, Any] = {"preset": preset_minimal(), "relay_mode": RelayMode.disabled()}
    return await Endpoint.bind(EndpointOptions(bind_addr="127.0.0.1:0", **no_relay, **options))
