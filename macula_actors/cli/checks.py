"""What must hold of a topology that runs: its checks, done one after the other."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from macula_actors.admin.client import ask
from macula_actors.admin.protocol import AdminError
from macula_actors.cli.topology import Check

__all__ = ["CheckResult", "Member", "problem_of", "run_check"]

_PAUSE: Final = 0.2  # seconds between two tries


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the topology that runs: its id, and where to ask it."""

    node_id: str
    admin: Path


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of ``check``: no ``problem`` if it held. ``took`` is seconds, all tries together."""

    check: Check
    problem: str
    took: float


async def run_check(check: Check, members: Mapping[str, Member]) -> CheckResult:
    """Do ``check``, again and again as long as it may take to come true."""
    begun = time.monotonic()
    while True:
        problem = await _try(check, members)
        took = time.monotonic() - begun
        if not problem or took + _PAUSE > check.within:
            return CheckResult(check, problem, took)
        await asyncio.sleep(_PAUSE)


async def _try(check: Check, members: Mapping[str, Member]) -> str:
    arguments = dict(check.arguments)
    if "node_id" in arguments:
        arguments["node_id"] = members[arguments["node_id"].removeprefix("@")].node_id
    try:
        result = await ask(members[check.from_].admin, check.do, **arguments)
    except AdminError as error:
        return problem_of(check, None, error, {})
    return problem_of(check, result, None, {member.node_id: name for name, member in members.items()})


def problem_of(check: Check, result: Any, error: AdminError | None, names: Mapping[str, str]) -> str:
    """Return what is wrong with an outcome of ``check``; nothing if that is as it must be.

    Args:
        check: what was done.
        result: what came of it.
        error: or that it failed.
        names: the nodes' names by their ids.
    """
    if error is not None:
        return "" if error.kind == check.expect_error else f"{error.kind}: {error}"
    if check.expect_error:
        return f"{check.expect_error} was expected; the result was {result}"
    if not check.has_expect:
        return ""
    actual, expected = _comparable(check.do, result, names), check.expect
    if check.do == "status" and isinstance(expected, dict):
        actual = {key: actual.get(key) for key in expected}
    if check.do in {"discover", "find"} and isinstance(expected, list):
        actual, expected = sorted(actual, key=repr), sorted(expected, key=repr)
    return "" if actual == expected else f"{actual}; expected was {expected}"


def _comparable(do: str, result: Any, names: Mapping[str, str]) -> Any:
    match do:
        case "discover":
            return [names.get(each["node_id"], each["node_id"]) for each in result]
        case "find":
            return result["values"]
        case _:
            return result
