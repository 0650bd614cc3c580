"""What a program holds of its subscriptions. Erlang: the subscription reference of macula_client."""

import asyncio
from types import TracebackType
from typing import Any, Final, Self

from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.event import Event
from macula_actors.core.pubsub.topic import DOTTED, Dialect
from macula_actors.messages.pubsub import MAX_QUEUED, RemoveSubscription, subscribe, unsubscribe
from supervisors import Server, cast

__all__ = ["EventStream", "Subscription"]


class Subscription:
    """A subscription, until `cancel`."""

    def __init__(self, server: Server, subscription_id: str, pattern: str) -> None:
        self._server = server
        self.id: Final = subscription_id
        self.pattern: Final = pattern

    async def cancel(self) -> bool:
        """Get no more events; return whether there was a subscription."""
        return await unsubscribe(self._server, self.id)


class EventStream:
    """The events of one subscription, one by one: an async context manager and an async iterator.

    ``async with`` subscribes at once, ``async for`` at its first step. The subscription ends with the ``with``, by
    `close`, or when a loop is left that nobody else holds the stream of.

    Args:
        server: the PubsubHandler.
        pattern: validated already.
        policy: what is done with an event when ``max_queued`` wait.
        max_queued: events that wait for the program.
        is_ordered: whether an event waits for those that its publisher published before.
        dialect: how the pattern is written.
    """

    def __init__(
        self,
        server: Server,
        pattern: str,
        *,
        policy: FullPolicy = FullPolicy.DROP_OLDEST,
        max_queued: int = MAX_QUEUED,
        is_ordered: bool = True,
        dialect: Dialect = DOTTED,
    ) -> None:
        self._server = server
        self._pattern = pattern
        self._options: Final[dict[str, Any]] = {
            "policy": policy,
            "max_queued": max_queued,
            "is_ordered": is_ordered,
            "dialect": dialect,
        }
        # what comes meanwhile waits in the subscription's queue
        self._events: Final[asyncio.Queue[Event]] = asyncio.Queue(1)
        self._id: str | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        await self._open()
        return await self._events.get()

    async def close(self) -> None:
        """Get no more events."""
        if self._id is not None:
            await unsubscribe(self._server, self._id)
            self._id = None

    def __del__(self) -> None:
        # also where a process was killed while it iterated: then nothing can be waited for
        if self._id is not None:
            cast(self._server, RemoveSubscription(self._id))

    async def _open(self) -> None:
        if self._id is None:
            self._id = await subscribe(self._server, self._pattern, self._events.put, **self._options)
