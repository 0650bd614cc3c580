"""What a program holds of its subscriptions. Erlang: the subscription reference of macula_client."""

import asyncio
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.event import Event
from macula_actors.core.pubsub.topic import DOTTED, Dialect
from macula_actors.errors import NotRunningError
from macula_actors.messages.pubsub import (
    MAX_QUEUED,
    RemoveSubscription,
    Subscriber,
    new_id,
    subscribe,
    unsubscribe,
    validate,
)
from supervisors import Server, cast

__all__ = ["EventStream", "Subscription"]


class Subscription:
    """A subscription, until `cancel`."""

    def __init__(self, server: Server, pattern: str) -> None:
        self._server = server
        self.id: Final = new_id(server)
        self.pattern: Final = pattern
        self._is_active = False

    @property
    def is_active(self) -> bool:
        """Whether it gets events: no more after `cancel`, nor when it was too slow and its policy is to disconnect."""
        return self._is_active

    async def begin(self, target: Subscriber, **how: Any) -> None:
        """Have ``target`` get the events. Arguments and errors are those of `pubsub.subscribe`."""
        self._is_active = True
        await subscribe(self._server, self.pattern, target, subscription_id=self.id, ended=self._ended, **how)

    async def cancel(self) -> bool:
        """Get no more events; return whether there was a subscription."""
        return await unsubscribe(self._server, self.id)

    def _ended(self) -> None:
        self._is_active = False


class EventStream:
    """The events of one subscription, one by one: an async context manager and an async iterator.

    ``async with`` subscribes at once, ``async for`` at its first step. The subscription ends with the ``with``, by
    `close`, or when a loop is left that nobody else holds the stream of. A loop over it ends, without an error, after
    `close`, when the node stops, and when the subscription was given up, since it was too slow and its policy is to
    disconnect. Several tasks may take events from it: each event comes to one of them.

    Args:
        server: the PubsubHandler.
        pattern: what is subscribed to.
        policy: what is done with an event when ``max_queued`` wait.
        max_queued: events that wait for the program.
        is_ordered: whether an event waits for those that its publisher published before.
        dialect: how the pattern is written.

    Raises:
        ValueError: as `pubsub.subscribe`.
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
        self._is_asked = False  # there may be a subscription; `__del__` looks at it even when this raises
        validate((pattern,), policy, max_queued, dialect)
        self._server = server
        self._pattern = pattern
        self._options: Final[dict[str, Any]] = {
            "policy": policy,
            "max_queued": max_queued,
            "is_ordered": is_ordered,
            "dialect": dialect,
        }
        self._inbox: Final = _Inbox()
        self._id: Final = new_id(server)
        self._is_open = False

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
        return await self._inbox.take()

    async def close(self) -> None:
        """Get no more events, for good. What has come and was not taken is dropped."""
        is_over = self._inbox.is_ended
        self._inbox.end()
        self._inbox.clear()
        if self._is_asked and not is_over:
            with suppress(NotRunningError):
                await unsubscribe(self._server, self._id)
            self._is_asked = False

    def end(self) -> None:
        """End without asking anybody: the node has stopped. What has come can still be taken."""
        self._inbox.end()

    def __del__(self) -> None:
        # also where a process was killed while it iterated: then nothing can be waited for
        if self._is_asked:
            cast(self._server, RemoveSubscription(self._id))

    async def _open(self) -> None:
        """Subscribe, unless it has. Whoever is cancelled in it, or does it again, has it done once: the id is one."""
        if self._is_open or self._inbox.is_ended:
            return
        self._is_asked = True
        inbox = self._inbox
        try:
            await subscribe(
                self._server, self._pattern, inbox.put, subscription_id=self._id, ended=inbox.end, **self._options
            )
            self._is_open = True
        finally:
            if inbox.is_ended:  # closed meanwhile: the request may have been sent again after that
                cast(self._server, RemoveSubscription(self._id))


class _Inbox:
    """Events that wait for the program: one, and one whose worker waits; the others are in the subscription's queue.

    The subscription holds this, not the stream, which nobody would ever drop otherwise.
    """

    def __init__(self) -> None:
        self.is_ended = False
        self._events: Final[deque[Event]] = deque()
        self._waiting: Final[deque[asyncio.Future[None]]] = deque()  # workers
        self._news: Final = asyncio.Event()

    def put(self, event: Event) -> asyncio.Future[None] | None:
        """Take ``event`` in; return what to wait for before the next one."""
        if self.is_ended:
            return None
        self._events.append(event)
        self._news.set()
        if len(self._events) == 1:
            return None
        room = asyncio.get_running_loop().create_future()
        self._waiting.append(room)
        return room

    async def take(self) -> Event:
        """Return the next event. Cancelled, it takes none.

        Raises:
            StopAsyncIteration: there is none, and none will come.
        """
        while not self._events:
            if self.is_ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        self._admit()
        return event

    def end(self) -> None:
        """Let nothing more in."""
        self.is_ended = True
        self._news.set()
        self._admit()

    def clear(self) -> None:
        """Forget what has not been taken."""
        self._events.clear()

    def _admit(self) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
