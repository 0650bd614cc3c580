"""Receivers for tests of the simulated network."""

import asyncio


class Recorder:
    """Remembers what came, in batches, and when."""

    def __init__(self):
        self.batches = []
        self.times = []
        self.returned = []

    def datagrams_received(self, batch):
        self.batches.append(list(batch))
        self.times.append(asyncio.get_running_loop().time())

    def unreachable(self, address):
        self.returned.append(address)

    @property
    def received(self):
        return [datagram for batch in self.batches for datagram, _ in batch]

    @property
    def sources(self):
        return [source for batch in self.batches for _, source in batch]


class Reflector:
    """Answers each datagram with the address that it came from."""

    def __init__(self, host, port):
        self.socket = host.open(("0.0.0.0", port), self)

    def datagrams_received(self, batch):
        for _, source in batch:
            self.socket.send([f"{source[0]} {source[1]}".encode()], source)

    def unreachable(self, address):
        pass


class Puncher:
    """Punches a hole to a peer, as netlab's natprobe does: "1" until it hears the peer, then "2"."""

    def __init__(self, host, *, adopts_source):
        self.socket = host.open(("0.0.0.0", 0), self)
        self.outer = None  # as the reflector sees it
        self.peer = None
        self.heard = 0
        self.path = "d"
        self._adopts_source = adopts_source

    def datagrams_received(self, batch):
        for data, source in batch:
            self._received(data, source)

    def unreachable(self, address):
        pass

    async def observe(self, reflector):
        self.socket.send([b"who"], reflector)
        await asyncio.sleep(1.0)

    async def punch(self, peer, *, seconds=1.0, every=0.02):
        self.peer = peer
        for _ in range(round(seconds / every)):
            self.socket.send([b"2" if self.heard else b"1"], self.peer)
            await asyncio.sleep(every)

    def _received(self, data, source):
        if self.outer is None:
            ip, port = data.decode().split()
            self.outer = (ip, int(port))
        elif source == self.peer or self._adopts_source:
            self.path = "d" if source == self.peer and self.path == "d" else "r"
            self.peer = source
            self.heard = max(self.heard, int(data))


async def punched(one, other, reflector):
    """Return how ``one`` and ``other`` reach each other: d, r or FAIL."""
    for puncher in (one, other):
        await puncher.observe(reflector)
    await asyncio.gather(one.punch(other.outer), other.punch(one.outer))
    return max(one.path, other.path) if one.heard == other.heard == 2 else "FAIL"
