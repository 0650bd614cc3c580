"""One question that several servers answer together, for a server that must not wait. Erlang: none; it waited."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from macula_actors.errors import MaculaError, OverloadedError
from supervisors import CallError, From, NoReply, Refuse, RequestId, Response, send_request

__all__ = ["Answers", "Gatherings"]

MAX_GATHERINGS: Final = 64  # at once; one more is refused

Answers: TypeAlias = Mapping[str, Any]
"""What each server answered, by its name; one that is missing did not."""


@dataclass(slots=True, eq=False)
class _Gathering:
    from_: From
    finish: Callable[[Answers], object]
    waiting: dict[RequestId, str]
    answers: dict[str, Any] = field(default_factory=dict)


class Gatherings:
    """The questions that are being answered. Give `takes` what comes to ``handle_info``."""

    def __init__(self) -> None:
        self._of: dict[RequestId, _Gathering] = {}

    def begin(
        self, from_: From, questions: Mapping[str, object], finish: Callable[[Answers], object]
    ) -> NoReply | Refuse:
        """Ask each server its question, and answer ``from_`` with ``finish(answers)`` when the last has answered."""
        self._forget_unwanted()
        gathering = _Gathering(from_, finish, {})
        if len({id(other) for other in self._of.values()}) >= MAX_GATHERINGS:
            return Refuse(OverloadedError("questions being answered", MAX_GATHERINGS))
        for server, question in questions.items():
            request = send_request(server, question)
            gathering.waiting[request] = server
            self._of[request] = gathering
        return NoReply()

    def takes(self, info: object) -> bool:
        """Take ``info`` if it is an answer to one of these questions; return whether it was."""
        if not isinstance(info, Response) or info.reqid not in self._of:
            return False
        gathering = self._of.pop(info.reqid)
        server = gathering.waiting.pop(info.reqid)
        with suppress(CallError, MaculaError):  # it is not there, or has no answer at the moment
            gathering.answers[server] = info.reqid.result()
        if not gathering.waiting:
            gathering.from_.reply(gathering.finish(gathering.answers))
        return True

    def _forget_unwanted(self) -> None:
        """Forget what nobody waits for any more: a server that never answers must not fill this up."""
        unwanted = [request for request, gathering in self._of.items() if not gathering.from_.is_waiting]
        for request in unwanted:
            del self._of[request]
