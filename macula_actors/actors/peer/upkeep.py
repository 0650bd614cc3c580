"""Whether one connection is still good: pings, and a peer that takes nothing. Decides; the connection acts."""

from macula_actors.config import PeerConfig
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.liveness import Liveness, Lost, Nothing, SendPing
from macula_actors.errors import ConnectionLostError
from macula_actors.transport.connection import Connection

__all__ = ["Upkeep"]


class Upkeep:
    """Looks after ``link`` from ``now`` on; all instants are of the System's clock."""

    def __init__(self, link: Connection, config: PeerConfig, now: float) -> None:
        self.liveness = Liveness(config.liveness, now)
        self._link = link
        self._stall_timeout = config.stall_timeout
        self._unsent = 0
        self._unsent_since = now

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
            return ConnectionLostError("local", CloseCode.OVERLOADED, "the peer takes nothing of what is sent to it")
        return None

    def _is_stalled(self, now: float) -> bool:
        before, self._unsent = self._unsent, self._link.unsent_bytes()
        if not before or not self._unsent or self._unsent < before:
            self._unsent_since = now
        return now - self._unsent_since >= self._stall_timeout
