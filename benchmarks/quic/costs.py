"""What an idle connection keeps, and what a stranger's first packet costs.

The command: ``python -m benchmarks.quic.costs [--quick]``.

Memory: a node accepts connections from many dialling endpoints of another process, so its growth is that of accepted
connections with their processes; beside it, the engine's bare connection objects. Flood: spoofed Initials, each from
another address, given to an endpoint as its socket would.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from multiprocessing import get_context
from typing import Final, TypeVar

from rich.console import Console
from rich.table import Table
from typing_extensions import override

from benchmarks.memory import resident_bytes
from benchmarks.quic.ours import find, make_config, node
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.admission import AdmissionLimits
from macula_actors.core.peer.contact import Contact
from macula_actors.core.peer.identity import Identity
from macula_actors.core.wire.messages import Ping
from macula_actors.messages.names import ENDPOINT, PEER_CONNECTOR, PEERS_SUP
from macula_actors.messages.peer import GetAddress, request
from macula_actors.transport.certificate import self_signed
from macula_actors.transport.connection import Connection
from macula_actors.transport.endpoint import QuicEndpoint
from macula_actors.transport.engines import EngineName, engine
from macula_actors.transport.interface import (
    Address,
    DatagramReceiver,
    DatagramSocket,
    Engine,
    EngineEvents,
    Network,
    QuicSettings,
)
from supervisors import count_children

__all__: list[str] = []

T = TypeVar("T")

ENGINES: Final[Sequence[EngineName]] = ("aioquic", "qh3")
HERE: Final = ("127.0.0.1", 1)
KIB: Final = 1024
MICROSECONDS: Final = 1e6


def main() -> None:
    """Measure both, and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.quic.costs", description="What connections cost.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--dial", nargs=3, metavar=("ENGINE", "WHERE", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.dial:
        asyncio.run(_dial(*arguments.dial))
        return
    connections, initials = (20, 200) if arguments.quick else (1_000, 10_000)
    table = Table("", *ENGINES, box=None)
    bare = [f"{_alone(_bare, name, connections) / KIB:.1f} KiB" for name in ENGINES]
    table.add_row(f"the engine's two ends of a connection, bare, over {connections}", *bare)
    ours = [f"{_alone(_accepted, name, connections) / KIB:.1f} KiB" for name in ENGINES]
    table.add_row(f"an accepted connection with its process, idle, over {connections}", *ours)
    for label, retry_above in (("always taken", 1e9), ("with Retry", 1e-9)):
        costs = [_alone(_flood, name, initials, retry_above) for name in ENGINES]
        table.add_row(
            f"a spoofed Initial, {label}", *(f"{cpu:.0f} us, {kept / KIB:.1f} KiB kept" for cpu, kept in costs)
        )
    Console(width=160).print(table)


def _alone(function: Callable[..., T], *args: object) -> T:
    """Return what ``function`` does in a process of its own: memory that was freed before would hide what is taken."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


# Memory


def _accepted(name: EngineName, count: int) -> float:
    """Return the bytes that each of ``count`` accepted connections keeps."""
    return asyncio.run(_accept(name, count))


async def _accept(name: EngineName, count: int) -> float:
    limits = AdmissionLimits(max_connections_per_address=2 * count, max_handshakes_per_address=count, retry_above=1e9)
    async with node(replace(make_config(name), admission=limits)) as system:
        where = await find(system, ENDPOINT).call(GetAddress())
        before = resident_bytes()
        command = [sys.executable, "-m", "benchmarks.quic.costs", "--dial", name, str(where), str(count)]
        dialler = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert dialler.stdout is not None
        await dialler.stdout.readline()
        counted = await count_children(find(system, PEERS_SUP))
        each = (resident_bytes() - before) / counted.active
        dialler.kill()
        await dialler.wait()
    return each


async def _dial(name: EngineName, where: str, count: str) -> None:
    """Connect ``count`` nodes, say so, and wait to be killed."""
    contact = Contact(Endpoint.parse(where))
    async with AsyncExitStack() as stack:
        for _ in range(int(count)):
            system = await stack.enter_async_context(node(make_config(name)))
            await request(find(system, PEER_CONNECTOR), contact, Ping(timestamp=0), 60.0)
        print("connected", flush=True)
        await asyncio.Event().wait()


def _bare(name: EngineName, count: int) -> float:
    """Return the bytes of the connection objects of both ends after a handshake in memory, without sockets."""
    made = engine(name, self_signed(Identity.generate()), QuicSettings())
    _handshake(made)  # whatever is made once
    before = resident_bytes()
    kept = [_handshake(made) for _ in range(count)]
    return (resident_bytes() - before) / len(kept)


class _Silent(EngineEvents):
    """Hears and does nothing."""


def _handshake(made: Engine) -> object:
    """Return the two ends of a connection, carried by hand."""
    dialler = made.dial(HERE, 0.0)
    flight = [datagram for datagram, _ in dialler.datagrams_to_send(0.0)]
    acceptor = made.accept(original_destination_connection_id=flight[0][6 : 6 + flight[0][5]])
    ends, silent = (acceptor, dialler), _Silent()  # type: ignore[abstract]
    for turn in range(8):
        end, now = ends[turn % 2], 0.01 * turn
        end.receive(flight, HERE, now)
        end.drain(silent)
        flight = [datagram for datagram, _ in end.datagrams_to_send(now)]
    return ends


# Flood


class _Nowhere(Network, DatagramSocket):
    """A network that takes everything and delivers nothing."""

    @override
    def now(self) -> float:
        return time.monotonic()

    @override
    def open(self, address: Address, receiver: DatagramReceiver) -> DatagramSocket:
        return self

    @override
    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        return [(host, port)]

    @property
    @override
    def address(self) -> Address:
        return HERE

    @override
    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        pass

    @override
    def close(self) -> None:
        pass


def _flood(name: EngineName, count: int, retry_above: float) -> tuple[float, float]:
    """Return the microseconds of CPU and the bytes kept for each of ``count`` Initials of as many addresses."""
    return asyncio.run(_receive(name, count, retry_above))


async def _receive(name: EngineName, count: int, retry_above: float) -> tuple[float, float]:
    made = engine(name, self_signed(Identity.generate()), QuicSettings())
    limits = AdmissionLimits(max_connections=10 * count, max_handshakes=10 * count, retry_above=retry_above)
    endpoint = QuicEndpoint(_Nowhere(), made, HERE, accept=_refuse, limits=limits)
    initials = [made.dial(HERE, 0.0).datagrams_to_send(0.0)[0][0] for _ in range(count)]
    before, began = resident_bytes(), time.process_time()
    for number, initial in enumerate(initials):
        endpoint.datagrams_received([(initial, (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 9))])
        if not number % 100:
            await asyncio.sleep(0)
    cpu, kept = time.process_time() - began, resident_bytes() - before
    endpoint.close()
    return cpu / count * MICROSECONDS, max(kept / count, 0)


def _refuse(connection: Connection) -> None:
    connection.close()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
