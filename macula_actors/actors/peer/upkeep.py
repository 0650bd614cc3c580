"""Whether one connection is still good: pings, and a peer that takes nothing. Decides; the connection acts."""

from itertools import count
from typing import Final

from macula_actors.config import PeerConfig
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.liveness import Liveness, Lost, Nothing, SendPing
from macula_actors.errors import ConnectionLostError
from macula_actors.transport.connection import Connection

__all__ = ["Upkeep"]

MIN_PROGRESS_BYTES: Final = 65_536  # that a peer must take in each `PeerConfig.stall_timeout`
PROBES: Final = 2**32  # the first uid of pings that nobody waits for


class Upkeep:
    """Looks after ``link`` from ``now`` on; all instants are of the System's clock."""

    def __init__(self, link: Connection, config: PeerConfig, now: float) -> None:
        self.liveness = Liveness(config.liveness, now)
        self._link = link
        self._stall_timeout = config.stall_timeout
        self._taken = 0
        self._taken_at = now
        self._uids = count(PROBES)

    def look(self, now: float) -> ConnectionLostError | None:
        """Ping the peer if it is time; return why the connection is to be closed, if it is."""
        match self.liveness.due(now):
            case SendPing(uid):
                self._link.ping(uid)
                self.liveness.ping_sent(uid, now)
            case Lost(reason):
                return ConnectionLostError("network", CloseCode.UNRESPONSIVE, f"the peer is {reason}")
            case Nothing():
                pass
        if self._is_stalled(now):
            return ConnectionLostError("local", CloseCode.OVERLOADED, "the peer takes too little of what is sent to it")
        return None

    def provoke(self, now: float) -> None:
        """Send something to a peer whose answer is awaited: if it has crashed, the packet brings a hint at once."""
        uid = next(self._uids)
        self._link.ping(uid)
        self.liveness.measuring(uid, now)

    def _is_stalled(self, now: float) -> bool:
        unsent = self._link.unsent_bytes()
        taken = self._link.queued_bytes - unsent
        if not unsent or taken - self._taken >= MIN_PROGRESS_BYTES:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at >= self._stall_timeout
