"""Random killing, the same for the same seed.

Model: Netflix's Chaos Monkey.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from supervisors.errors import NotFoundError, UnexpectedRequestError
from supervisors.exit_reason import Kill
from supervisors.faults.target import Path, Target, find, kill, walk
from supervisors.gen import ancestors, call, exit_signal
from supervisors.gen_server import GenServer
from supervisors.messages import From, NoReply, Refuse, Reply
from supervisors.names import Server
from supervisors.ref import Ref
from supervisors.system import System
from supervisors.timer import send_after

__all__ = ["Monkey", "MonkeyKill", "kills", "replay"]


@dataclass(frozen=True, slots=True)
class MonkeyKill:
    """One kill: of the process at ``path``, due ``at`` seconds (the loop's) after the monkey began."""

    at: float
    path: Path


class _Strike:
    """It is time for the next kill."""


class _Kills:
    """Return the kills so far."""


class Monkey(GenServer):
    """Kills a process below a supervisor at a time, each as likely as the others, ``rate`` a second on average.

    The gaps are exponential, so the kills are a Poisson process. It spares itself, its ancestors and that supervisor.
    A kill that finds nobody is skipped.

    Args of `start_link`:
        supervisor: whose subtree; found anew for each kill.
        rate: kills per second, > 0.
        seed: of the gaps and the choices, and of nothing else.
        supervisors: whether supervisors are killed too, or workers only.
        limit: after so many kills it rests; bounds its log.
    """

    @override
    def init(
        self, supervisor: Target, *, rate: float, seed: int = 0, supervisors: bool = False, limit: int = 100_000
    ) -> None:
        """Wait for the first kill."""
        self.supervisor = supervisor
        self.rate = rate
        self.random = random.Random(seed)
        self.supervisors = supervisors
        self.limit = limit
        self.kills: list[MonkeyKill] = []
        self.spared = {self.actor_ref, *ancestors()}
        self.began = System.current().now()
        self.due = 0.0
        self._plan_next()

    @override
    def handle_call(self, request: Any, from_: From) -> Reply | Refuse:
        if isinstance(request, _Kills):
            return Reply(list(self.kills))
        return Refuse(UnexpectedRequestError(request, self.actor_ref))

    @override
    def handle_info(self, info: Any) -> NoReply:
        if isinstance(info, _Strike):
            self._strike()
            self._plan_next()
        else:
            super().handle_info(info)
        return NoReply()

    def _plan_next(self) -> None:
        """Wait for the next kill: by the plan, so that being late now makes none of the later ones late."""
        if len(self.kills) < self.limit:
            self.due += self.random.expovariate(self.rate)
            send_after(max(0.0, self.began + self.due - System.current().now()), self.actor_ref, _Strike())

    def _strike(self) -> None:
        victims = self._victims()
        if victims:
            path, ref = self.random.choice(victims)
            self.kills.append(MonkeyKill(self.due, path))
            exit_signal(ref, Kill())

    def _victims(self) -> Sequence[tuple[Path, Ref]]:
        try:
            supervisor = find(self.supervisor)
        except NotFoundError:
            return []
        for path, node in walk(System.current().tree()):
            if node.ref is supervisor:
                below = [(at, one.ref) for at, one in walk(node, path) if self.supervisors or one.kind == "worker"]
                return [(at, ref) for at, ref in below if isinstance(ref, Ref) and ref not in self.spared]
        return []


async def kills(monkey: Server) -> list[MonkeyKill]:
    """Return what ``monkey`` has killed, the first first.

    Raises:
        ServerDownError: there is no such monkey.
    """
    log: list[MonkeyKill] = await call(monkey, _Kills())
    return log


async def replay(log: Sequence[MonkeyKill]) -> list[MonkeyKill]:
    """Kill again what is in the ``log``: the same paths, at the same offsets from now, in the current System.

    Returns:
        The kills that found nobody; none for the same tree in virtual time.
    """
    now = System.current().now
    began = now()
    missed = []
    for entry in log:
        await asyncio.sleep(began + entry.at - now())
        try:
            kill(entry.path)
        except NotFoundError:
            missed.append(entry)
    return missed
