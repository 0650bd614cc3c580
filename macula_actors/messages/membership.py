"""What Membership is asked. Erlang: macula_membership_list, _detector (functions that nobody calls: D-51).

Its part of the wire is SWIM's three messages; those of peers come to it as `Inbound` calls.
"""

from dataclasses import dataclass
from typing import Final

from macula_actors.core.membership.member import Member
from macula_actors.core.wire.messages import Message, SwimPing, SwimPingReq
from macula_actors.messages.asking import ask
from macula_actors.messages.names import MEMBERSHIP
from supervisors import Server

__all__ = ["ROUTES", "SWIM_CAPABILITY", "GetMembers", "GetStats", "MembershipStats", "members", "stats"]

SWIM_CAPABILITY: Final = "swim"
"""Of a node that has a Membership, for `HandshakeSettings.capabilities`. Others are not asked."""

# For PeerConfig.routes: which messages of peers are Membership's.
ROUTES: Final[dict[type[Message], str]] = dict.fromkeys((SwimPing, SwimPingReq), MEMBERSHIP)


@dataclass(frozen=True, slots=True)
class GetMembers:
    """Answered with all members."""


@dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with `MembershipStats`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipStats:
    """What Membership counts. Numbers of the past are since it started last."""

    incarnation: int  # of this node
    alive: int
    suspect: int
    dead: int  # that are remembered
    connected: int  # members that this node has a connection to
    probing: int  # that are being asked
    relaying: int  # pings under way for other members
    gossip: int  # pieces of news that are still passed on
    pings: int  # that this node has sent, for others too
    deaths: int  # that it has heard of or found out


async def members(server: Server) -> tuple[Member, ...]:
    """Return the members that this node knows of: itself not, and the dead as long as they are remembered.

    Raises:
        CallTimeoutError: it took too long.
    """
    found: tuple[Member, ...] = await ask(server, GetMembers())
    return found


async def stats(server: Server) -> MembershipStats:
    """Return the server's counts. Raises what `members` does."""
    counts: MembershipStats = await ask(server, GetStats())
    return counts
