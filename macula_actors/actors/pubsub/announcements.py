"""Who has subscribed, and waits until others can know: until its records are stored, and connected peers are told."""

from collections.abc import Collection
from dataclasses import dataclass
from math import inf
from typing import Final

from macula_actors.actors.pubsub.neighbours import Neighbours
from macula_actors.actors.pubsub.records import Records
from macula_actors.config import PubsubConfig
from supervisors import From, RequestId, System

__all__ = ["Announcements"]


@dataclass(slots=True, eq=False)
class _Announcement:
    """``requests``: to the peers, None before they were told."""

    from_: From
    patterns: Collection[str]
    prefixes: Collection[str]
    until: float
    requests: set[RequestId] | None = None


class Announcements:
    """Those that wait. Nobody waits for longer than the config's ``announce_timeout``.

    Args:
        config: bounds.
        records: of this node.
        neighbours: of this node.
    """

    def __init__(self, config: PubsubConfig, records: Records, neighbours: Neighbours) -> None:
        self._config: Final = config
        self._records: Final = records
        self._neighbours: Final = neighbours
        self._system: Final = System.current()
        self._waiting: Final[list[_Announcement]] = []
        self._asked: Final[dict[RequestId, _Announcement]] = {}

    @property
    def next_due(self) -> float:
        """When to call `look`, at the latest; never: infinity."""
        return min((each.until for each in self._waiting), default=inf)

    def add(self, patterns: Collection[str], from_: From) -> None:
        """Answer ``from_`` with None when others can know of ``patterns``; their records are being stored."""
        prefixes = set(map(self._records.prefix_of, patterns))
        until = self._system.now() + self._config.announce_timeout
        self._waiting.append(_Announcement(from_, patterns, prefixes, until))
        self.look()

    def is_one(self, request: RequestId) -> bool:
        """Tell whether ``request`` is of this one."""
        return request in self._asked

    def answered(self, request: RequestId) -> None:
        """Take note that a peer was told, or could not be."""
        announcement = self._asked.pop(request)
        if announcement.requests is not None:
            announcement.requests.discard(request)
        self.look()

    def look(self) -> None:
        """Answer those of whom all others know by now, or who have waited long enough."""
        now = self._system.now()
        for each in list(self._waiting):
            if each.requests is None and all(map(self._records.is_settled, each.prefixes)):
                each.requests = set(self._neighbours.tell_all(tuple(each.patterns)))
                self._asked.update(dict.fromkeys(each.requests, each))
            if each.requests == set() or each.until <= now:
                self._waiting.remove(each)
                each.from_.reply(None)
