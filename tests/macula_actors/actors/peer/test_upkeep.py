"""Whether one connection is still good."""

import pytest

from macula_actors.actors.peer.upkeep import MIN_PROGRESS_BYTES, Upkeep
from macula_actors.config import PeerConfig
from macula_actors.core.peer.close_codes import CloseCode
from macula_actors.core.peer.handshake import HandshakeSettings
from macula_actors.core.peer.identity import Identity

CONFIG = PeerConfig(handshake=HandshakeSettings(identity=Identity.generate(), realm="com.example"))
STALL = CONFIG.stall_timeout


class Link:
    """As much of a connection as is looked after."""

    def __init__(self):
        self.queued_bytes = 0
        self.unsent = 0
        self.pings = []

    def unsent_bytes(self):
        return self.unsent

    def ping(self, uid):
        self.pings.append(uid)


@pytest.fixture
def link():
    return Link()


def looked_after(link, now):
    """An upkeep whose ping at the beginning was answered."""
    upkeep = Upkeep(link, CONFIG, now)
    upkeep.look(now)
    upkeep.liveness.ponged(link.pings[0], now)
    return upkeep


def look_all_along(upkeep, until, *, step=1.0):
    """Look every second at a peer that is heard all the time; return what is said last."""
    now, verdict = 0.0, None
    while now < until and verdict is None:
        now += step
        upkeep.liveness.heard(now)
        verdict = upkeep.look(now)
    return verdict


def test_a_peer_that_takes_nothing_is_left_after_the_stall_time_out(link):
    upkeep = looked_after(link, 0.0)
    link.queued_bytes = link.unsent = 1_000_000

    assert look_all_along(upkeep, STALL - 1) is None
    assert look_all_along(upkeep, 2 * STALL).code == CloseCode.OVERLOADED


def test_a_peer_that_takes_a_trickle_is_left_too(link):
    upkeep = looked_after(link, 0.0)
    link.queued_bytes = link.unsent = 1_000_000
    now, verdict = 0.0, None

    while verdict is None and now < 10 * STALL:
        now += 1.0
        link.unsent -= MIN_PROGRESS_BYTES // STALL // 2
        upkeep.liveness.heard(now)
        verdict = upkeep.look(now)

    assert verdict.code == CloseCode.OVERLOADED


def test_a_slow_peer_that_takes_enough_is_kept(link):
    upkeep = looked_after(link, 0.0)
    link.queued_bytes = link.unsent = 10_000_000

    for now in range(1, 100):
        link.unsent -= 2 * MIN_PROGRESS_BYTES // int(STALL)
        upkeep.liveness.heard(float(now))
        assert upkeep.look(float(now)) is None


def test_a_provoking_ping_is_no_liveness_ping(link):
    upkeep = looked_after(link, 0.0)

    upkeep.provoke(1.0)
    upkeep.provoke(2.0)

    assert len(set(link.pings)) == 3
    assert upkeep.look(3.0) is None
