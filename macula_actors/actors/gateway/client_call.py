"""One call that the gateway makes for a client: a process of its own. Erlang: refused, ``gateway_bootstrap_only``."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from typing_extensions import override

from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.core.rpc.arguments import decode, encode
from macula_actors.core.rpc.failure import Code, failure, failure_of, through
from macula_actors.core.wire.messages import Call, Failure, Reply
from macula_actors.errors import MaculaError
from supervisors import CallError, Continue, From, GenServer, Normal, Ref, Stop, link

__all__ = ["ClientCall", "MakeCall", "Order"]


class MakeCall(Protocol):
    """`macula_actors.messages.calling.call`."""

    def __call__(self, procedure: str, args: Any, *, timeout: float) -> Awaitable[Any]:
        """Return the result of the call; ``timeout`` in seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What is to be done. ``node_id`` is this node's; ``json`` how arguments and result are encoded."""

    call: Call
    from_: From
    timeout: float
    json: bool
    node_id: NodeId
    make: MakeCall


class ClientCall(GenServer):
    """Makes the call, answers it and ends. It is linked to ``owner``, and ends with it."""

    @override
    def init(self, order: Order, owner: Ref) -> Continue:
        link(owner)
        return Continue(order)

    @override
    async def handle_continue(self, term: Any) -> Stop:
        term.from_.reply(await _outcome(term))
        return Stop(Normal())


async def _outcome(order: Order) -> Reply:
    call_id = order.call.call_id
    try:
        args = decode(order.call.args, json=order.json)
        result = await order.make(order.call.procedure, args, timeout=order.timeout)
        return Reply(call_id=call_id, result=encode(result, json=order.json))
    except (MaculaError, CallError, ValueError) as error:
        return Reply(call_id=call_id, error=through(_failure_of(error), order.node_id))


def _failure_of(error: Exception) -> Failure:
    match error:
        case MaculaError():
            return failure_of(error)
        case ValueError():
            return failure(Code.NO_PROVIDER, str(error))  # no service can have such a name
        case _:
            return failure(Code.UNAVAILABLE, "the gateway is being restarted")
