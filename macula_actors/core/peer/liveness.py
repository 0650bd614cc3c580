"""Whether the peer at the other end of a connection is still there: when to ping it, when to give it up.

Erlang: macula_connection (a ping on a timer, its answer ignored; later versions counted two missed ones, but noted the
time of each ping over that of the one before). RFC: 9000, section 10.1.2 (keep-alive by PING).
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

__all__ = ["Liveness", "LivenessConfig", "Lost", "LostReason", "Nothing", "SendPing"]

_MAX_SENT: Final = 8  # pings whose answer still tells the round-trip time
_RTT_GAIN: Final = 1 / 8  # RFC 9002, 5.3
_RTT_MULTIPLE: Final = 4  # round trips that an answer to a probe may take


class LostReason(StrEnum):
    """Why a peer is given up."""

    SILENT = "silent"  # it answered no ping
    FORGOTTEN = "forgotten"  # somebody said that it does not know the connection, and it answered no probe


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping with this id, and tell `Liveness.ping_sent`."""

    uid: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Close the connection: the peer is gone."""

    reason: LostReason


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do before `Liveness.next_due`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessConfig:
    """Tunables, the same for all connections of a node. Durations are seconds.

    Raises:
        ValueError: a number is not above 0.
    """

    keepalive: float = 15.0  # of silence before a ping; below what NATs keep a UDP mapping for (RFC 4787, REQ-5: 30 s)
    pong_timeout: float = 5.0
    max_missed: int = 2  # pings in a row; 2, so that a lost packet or a stalled process costs no connection
    min_probe_timeout: float = 0.25  # after a hint
    hint_interval: float = 1.0  # hints are not signed: one probe in this time is what a forger can cost us

    def __post_init__(self) -> None:
        numbers = (self.keepalive, self.pong_timeout, self.max_missed, self.min_probe_timeout, self.hint_interval)
        if min(numbers) <= 0:
            raise ValueError(f"{self}: all numbers are above 0")


class Liveness:
    """The pings of one connection; a new connection has a new one, so no time of the old one is left.

    Ask `due` at `next_due`, and after a `hint`. All instants are of one monotonic clock, in seconds.
    A peer whose answers take less than ``pong_timeout`` is never lost; one that is silent is lost
    ``keepalive + max_missed * pong_timeout`` after it was last heard, at the latest.
    """

    def __init__(self, config: LivenessConfig, now: float) -> None:
        self._config = config
        self._uid = 1
        self._sent: OrderedDict[int, float] = OrderedDict()
        self._rtt: float | None = None
        self._min_rtt: float | None = None
        self._lost: LostReason | None = None
        self._hinted_at = -inf
        self._ping_at = now  # at once, to measure the round trip; infinity: a ping is out
        self._deadline = inf  # of the ping that is out
        self._timeout = config.pong_timeout  # of the next ping
        self._missed = 0
        self._suspected = False
        self._unanswered_since: float | None = None

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds; None before the first answer."""
        return self._rtt

    @property
    def unanswered_since(self) -> float | None:
        """When the first ping was sent since which nothing was heard; None if none is waited for."""
        return self._unanswered_since

    def heard(self, now: float) -> None:
        """Note that something authentic came from the peer."""
        if self._lost is not None:
            return
        self._ping_at = now + self._config.keepalive
        self._deadline = inf
        self._timeout = self._config.pong_timeout
        self._missed = 0
        self._suspected = False
        self._unanswered_since = None

    def ping_sent(self, uid: int, now: float) -> None:
        """Note that the ping that `due` asked for was sent."""
        self._uid = uid + 1
        self.measuring(uid, now)
        if self._unanswered_since is None:
            self._unanswered_since = now
        # a probe never puts off the deadline of the ping before it
        self._deadline = min(self._deadline, now + self._timeout)
        self._ping_at = inf

    def measuring(self, uid: int, now: float) -> None:
        """Note that a ping was sent that `due` did not ask for: its answer tells the round trip, its loss nothing."""
        self._sent[uid] = now
        if len(self._sent) > _MAX_SENT:
            self._sent.popitem(last=False)

    def ponged(self, uid: int, now: float) -> float | None:
        """Note the answer to a ping; return its round-trip time in seconds, None if that is not known any more."""
        self.heard(now)
        sent_at = self._sent.pop(uid, None)
        if sent_at is None:
            return None
        rtt = now - sent_at
        self._min_rtt = rtt if self._min_rtt is None else min(rtt, self._min_rtt)
        self._rtt = rtt if self._rtt is None else self._rtt + _RTT_GAIN * (rtt - self._rtt)
        return rtt

    def hint(self, now: float) -> None:
        """Hear from somebody, perhaps a forger, that the peer is gone or has forgotten the connection.

        It is probed at once, and given up only if as many probes as otherwise pings stay unanswered for some round
        trips each. A hint soon after the last one, or while that one's probes are out, is ignored.
        """
        too_soon = now - self._hinted_at < self._config.hint_interval
        if self._lost is not None or self._suspected or too_soon:
            return
        self._suspected = True
        self._hinted_at = now
        self._timeout = self._probe_timeout()
        self._ping_at = now

    def due(self, now: float) -> SendPing | Lost | Nothing:
        """Return what to do at ``now``; the same again until it is done. Lost is for ever."""
        if now >= self._deadline:
            self._miss(now)
        if self._lost is not None:
            return Lost(self._lost)
        return SendPing(self._uid) if now >= self._ping_at else Nothing()

    def next_due(self) -> float:
        """Return the instant at which `due` has something to say; infinity once the peer is lost."""
        return min(self._ping_at, self._deadline)

    def _miss(self, now: float) -> None:
        self._missed += 1
        self._deadline = inf
        self._ping_at = now
        if self._missed >= self._config.max_missed:
            self._lost = LostReason.FORGOTTEN if self._suspected else LostReason.SILENT
            self._ping_at = inf

    def _probe_timeout(self) -> float:
        # of a peer that was never measured nothing is known: it may be a satellite's hop away
        if self._min_rtt is None:
            return self._config.pong_timeout
        return min(max(_RTT_MULTIPLE * self._min_rtt, self._config.min_probe_timeout), self._config.pong_timeout)
