"""Runs the function of one subscription, one event after the other. Erlang: macula_pubsub_dispatcher.

There a process was spawned for each event, so that events overtook one another.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from loguru import logger
from typing_extensions import override

from macula_actors.core.pubsub.event import EncodedEvent
from macula_actors.errors import MaculaError
from macula_actors.messages.names import PUBSUB_HANDLER
from macula_actors.messages.pubsub import Subscriber
from supervisors import GenServer, Normal, Ref, Stop, UnexpectedRequestError, call, cast

__all__ = ["Batch", "Done", "Finish", "SubscriptionWorker"]


class Batch:
    """A cast to a worker: events for it, each with the pattern that it matches; it says by `Done` when it is through.

    Its handler reads here, when the worker or the handler before has ended, how far the worker came: as with OTP's
    ``counters``, both see the same numbers.
    """

    __slots__ = ("begun", "events", "failed", "is_done")

    def __init__(self, events: tuple[tuple[EncodedEvent, str], ...]) -> None:
        self.events = events
        self.begun = 0  # events that the function was called with, or could not be
        self.failed = 0  # of those
        self.is_done = False


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """A cast to PubsubHandler: ``batch`` of the subscription ``id`` is through."""

    id: str
    batch: Batch


@dataclass(frozen=True, slots=True)
class Finish:
    """A cast to a worker: end when the function has returned, which has asked for it itself."""


class SubscriptionWorker(GenServer):
    """Calls ``target``, and waits for it where it waits. What it raises is logged and counted, and it goes on.

    Args of `init`:
        id: of the subscription.
        target: who gets the events.
        json: whether payloads are JSON.
        is_encoded: whether they are given on as they are, in an `EncodedEvent`.
    """

    @override
    def init(self, id_: str, target: Subscriber, json: bool, is_encoded: bool = False) -> None:
        self._id = id_
        self._target = target
        self._is_coroutine = isinstance(target, Ref) or iscoroutinefunction(target)
        self._json = json
        self._is_encoded = is_encoded

    @override
    def handle_cast(self, request: object) -> Awaitable[None] | Stop | None:
        match request:
            case Batch():
                return self._run(request)
            case Finish():
                return Stop(Normal())
            case _:
                raise UnexpectedRequestError(request)

    def _run(self, batch: Batch) -> Awaitable[None] | None:
        """Give on all events of ``batch``; from one that has to be waited for on, in a coroutine."""
        if self._is_coroutine:
            return self._await(batch, None)  # which may not be begun, if this ends: then no event is begun, either
        while batch.begun < len(batch.events):
            outcome = self._give(batch)
            if hasattr(type(outcome), "__await__"):
                return self._await(batch, outcome)
        self._done(batch)
        return None

    async def _await(self, batch: Batch, outcome: Any) -> None:
        while True:
            try:
                if hasattr(type(outcome), "__await__"):
                    await outcome
            except Exception as error:  # the subscriber's own
                _failed(batch, error)
            if batch.begun == len(batch.events):
                break
            outcome = self._give(batch)
        self._done(batch)

    def _give(self, batch: Batch) -> Any:
        """Give on the next event; return what the function returned."""
        event, pattern = batch.events[batch.begun]
        batch.begun += 1
        try:
            given = event if self._is_encoded else event.decoded(pattern, json=self._json)
            return call(self._target, given, None) if isinstance(self._target, Ref) else self._target(given)
        except MaculaError as error:
            _failed(batch, error)
        except Exception as error:  # the subscriber's own
            _failed(batch, error)
        return None

    def _done(self, batch: Batch) -> None:
        batch.is_done = True
        cast(PUBSUB_HANDLER, Done(self._id, batch))


def _failed(batch: Batch, error: Exception) -> None:
    batch.failed += 1
    event, pattern = batch.events[batch.begun - 1]
    logger.opt(exception=error).warning("the subscriber of {} failed on an event on {}", pattern, event.topic)
