"""What AdvertisementManager is asked: services that others can find. Erlang: macula_advertisement_manager.

All functions but the cast ask again while the server is being restarted, as long as there is time. Each raises
`CallTimeoutError` when that is over.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.record import DEFAULT_TTL
from macula_actors.core.peer.contact import Contact
from macula_actors.core.rpc.names import validate_procedure
from macula_actors.core.wire.values import Value
from macula_actors.errors import LocalProtocolError
from macula_actors.messages.asking import ask
from macula_actors.messages.service_registry import LocalHandler, validate_handler
from supervisors import CallTimeoutError as NoAnswerError
from supervisors import Server, ServerDownError, call, cast

__all__ = [
    "Advertise",
    "Advertisement",
    "Changed",
    "GetActive",
    "Unadvertise",
    "WithdrawAll",
    "active",
    "advertise",
    "changed",
    "unadvertise",
    "withdraw_all",
]

WITHDRAW_TIMEOUT: Final = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """What this node has others told of one of its services.

    Args:
        procedure: what it is called by.
        ttl: seconds that it holds if this node disappears.
        metadata: what its program says of it.
        endpoint: where this node can be dialled, as the record says; None: nowhere.
        gateways: nodes that can reach it, as the record says.
        token: that of the `Advertise` by which it came.
        is_stored: whether the record is with RoutingServer, which stores it at others again and again.
    """

    procedure: str
    ttl: int
    metadata: Mapping[str, Value]
    endpoint: Endpoint | None
    gateways: tuple[Contact, ...]
    token: object = None
    is_stored: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Advertise:
    """Handle calls of ``procedure`` with ``handler``, and have others find it. Answered with None.

    ``token`` tells it from the advertisements of the procedure before and after it.
    """

    procedure: str
    handler: LocalHandler
    ttl: int
    metadata: Mapping[str, Value] = field(default_factory=dict)
    token: object = field(default_factory=object)


@dataclass(frozen=True, slots=True)
class Unadvertise:
    """Handle calls of ``procedure`` no more, and have others forget it. Answered with whether it was advertised.

    ``token``: of the `Advertise` that is meant; what came after it stays. None: whichever it was.
    """

    procedure: str
    token: object = None


@dataclass(frozen=True, slots=True)
class WithdrawAll:
    """Handle calls no more, and have others forget all services: this node is to end. Answered when that is done."""


@dataclass(frozen=True, slots=True)
class GetActive:
    """Answered with a tuple of `Advertisement`."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A cast: a service of this node has ended, or its gateways may be others. What differs is stored again."""


async def advertise(
    server: Server,
    procedure: str,
    handler: LocalHandler,
    *,
    ttl: int = DEFAULT_TTL,
    metadata: Mapping[str, Value] | None = None,
) -> object:
    """Have calls of ``procedure`` handled by ``handler``, from this node and from all others, until `unadvertise`.

    It takes the place of an earlier handler. It is done once other nodes keep the advertisement, or none is there, or
    none has taken it yet: it is offered to them again and again.

    Args:
        server: the AdvertisementManager.
        procedure: its name.
        handler: a callable, ``def`` or ``async def``, that takes the arguments; or a process, whose end withdraws it.
        ttl: seconds, 1 to 86,400, that it is found for if this node disappears.
        metadata: what others are to read of it.

    Returns:
        A token, for `unadvertise` to withdraw nothing else.

    Raises:
        ValueError: ``procedure`` is no name of a procedure, ``handler`` can't be called, or ``metadata`` is no map.
        LocalProtocolError: ``metadata`` or ``ttl`` is none that a record may have.
        OverloadedError: there are too many services here.
    """
    validate_procedure(procedure)
    validate_handler(handler)
    told = {} if metadata is None else metadata
    if not isinstance(told, Mapping):
        raise ValueError(f"metadata is {told!r:.80}; allowed is a map with texts as keys")  # noqa: TRY004 -- as of all
    if not all(isinstance(key, str) for key in told):
        raise LocalProtocolError("bad_value", "the keys of metadata are texts")
    request = Advertise(procedure=procedure, handler=handler, ttl=ttl, metadata=dict(told))
    await ask(server, request)
    return request.token


async def unadvertise(server: Server, procedure: str, token: object = None) -> bool:
    """Have calls of ``procedure`` handled no more, and others forget it; return whether it was advertised.

    With the ``token`` that an `advertise` returned, only what that has begun is withdrawn.
    """
    return bool(await ask(server, Unadvertise(procedure, token)))


async def withdraw_all(server: Server) -> None:
    """Have others know, before this node ends, that it provides nothing any more: who calls goes to others at once.

    If that is not to be, since it takes too long or the server is not there, they find out by themselves.
    """
    with suppress(ServerDownError, NoAnswerError):
        await call(server, WithdrawAll(), WITHDRAW_TIMEOUT)


async def active(server: Server) -> tuple[Advertisement, ...]:
    """Return what is advertised, in no order."""
    advertisements: tuple[Advertisement, ...] = await ask(server, GetActive())
    return advertisements


def changed(server: Server) -> None:
    """Tell that a service of this node has ended, or that its gateways may be others."""
    cast(server, Changed())
