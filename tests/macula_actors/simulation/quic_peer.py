"""Two QUIC peers on simulated hosts, with as little around the engines as works."""

import asyncio
import sys

from macula_actors.core.peer.identity import Identity
from macula_actors.simulation import Link, SimNetwork, Trace, deterministic
from macula_actors.transport.certificate import self_signed
from macula_actors.transport.engines import engine
from macula_actors.transport.interface import EngineEvents, QuicSettings
from supervisors.testing import run

STREAMS = 12
STREAM_BYTES = 20_000
LOSSY = Link(latency=0.02, jitter=0.005, loss=0.05, duplication=0.02, reordering=0.05)


class QuicPeer(EngineEvents):
    """One connection at most; an acceptor sends back what comes on a stream."""

    def __init__(self, host, engine_name, port=0):
        self.host = host
        self.socket = host.open(("0.0.0.0", port), self)
        self.engine = engine(engine_name, self_signed(Identity.generate()), QuicSettings())
        self.connection = None
        self.is_acceptor = False
        self.established = asyncio.Event()
        self.done = asyncio.Event()
        self.received_bytes = 0
        self._timer = None

    def dial(self, address):
        self.connection = self.engine.dial(address, self.host.now())
        self.pump()

    def close(self):
        if self._timer is not None:
            self._timer.cancel()
        self.socket.close()

    def datagrams_received(self, batch):
        for data, address in batch:
            if self.connection is None:
                self.is_acceptor = True
                # RFC 8999, 5.1: the length of the destination connection id, then that
                self.connection = self.engine.accept(original_destination_connection_id=data[6 : 6 + data[5]])
            self.connection.receive([data], address, self.host.now())
        self.pump()

    def unreachable(self, address):
        pass

    def pump(self):
        self.connection.drain(self)
        for data, address in self.connection.datagrams_to_send(self.host.now()):
            self.socket.send([data], address)
        if self._timer is not None:
            self._timer.cancel()
        at = self.connection.timer()
        self._timer = None if at is None else asyncio.get_running_loop().call_at(at, self._timer_fired)

    def _timer_fired(self):
        self.connection.handle_timer(self.host.now())
        self.pump()

    def handshake_completed(self):
        self.established.set()

    def stream_data_received(self, stream_id, data, end_stream):
        if self.is_acceptor:
            self.connection.send_stream_data(stream_id, data, end_stream=end_stream)
        self.received_bytes += len(data)
        if self.received_bytes == STREAMS * STREAM_BYTES:
            self.done.set()


async def echo(network, engine_name):
    """Have streams echoed between two hosts; return how many bytes came back."""
    acceptor = QuicPeer(network.host("acceptor"), engine_name, port=9443)
    dialler = QuicPeer(network.host("dialler"), engine_name)
    (address, *_) = await dialler.host.resolve("acceptor", 9443)
    dialler.dial(address)
    await dialler.established.wait()
    for _ in range(STREAMS):
        dialler.connection.send_stream_data(dialler.connection.open_stream(), bytes(STREAM_BYTES), end_stream=True)
    dialler.pump()
    await dialler.done.wait()
    for peer in (dialler, acceptor):
        peer.close()
    return dialler.received_bytes


def traced_echo(engine_name, seed, *, contents):
    """Run `echo` in virtual time and return the network and the bytes that came back."""
    with deterministic(seed):
        network = SimNetwork(seed=seed, link=LOSSY, trace=Trace(contents=contents))
        came_back = run(echo(network, engine_name))
    return network, came_back


if __name__ == "__main__":
    traced, _ = traced_echo(sys.argv[1], int(sys.argv[2]), contents="contents" in sys.argv)
    sys.stdout.write(traced.trace.digest())
