"""`make demo`: five nodes, each a process: a bootstrap node, a gateway and three edges, as in the seed document.

edge3 provides a calculator; edge2 finds it and calls it, directly, over edge1 and the gateway, and by relay. Then every
process inside edge3 is killed in turn while edge2 goes on calling. The exit code is 0 if all of it went as it should.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from macula_actors.admin.client import ask
from macula_actors.admin.protocol import AdminError
from macula_actors.cli.launch import ProcessNode, until_answering
from macula_actors.cli.loops import Loop
from macula_actors.transport.key_store import load_or_create

ADD, SLOWLY = "test.calculator.add", "test.calculator.slowly"
NAMES = ("bootstrap", "gateway", "edge1", "edge2", "edge3")
PATIENCE = 30.0  # seconds
CALLERS = 4
PAUSE = 0.7  # seconds between two kills

console = Console(width=118, highlight=False, soft_wrap=True)


@dataclass
class Member:
    """One of the nodes."""

    name: str
    node: ProcessNode
    facts: dict[str, Any] = field(default_factory=dict)
    output: asyncio.Task[str] | None = None  # reads what it writes

    @property
    def host(self) -> str:
        """Its loopback address."""
        return str(self.facts["endpoint"]).rpartition(":")[0]

    async def ask(self, command: str, **arguments: Any) -> Any:
        """Have it do ``command``."""
        return await ask(self.node.admin, command, **arguments)


@dataclass
class Verdict:
    """What was shown so far."""

    failed: int = 0

    def tell(self, *, is_good: bool, what: str) -> None:
        """Print one finding."""
        self.failed += not is_good
        console.print(f"  [{'green' if is_good else 'red'}]{'ok' if is_good else 'FAILED':<6}[/] {what}")

    async def error(self, kind: str, what: str, attempt: Awaitable[Any]) -> None:
        """Expect ``attempt`` to fail with an error of the type ``kind``."""
        try:
            await attempt
        except AdminError as error:
            self.tell(is_good=error.kind == kind, what=f"{what}: {error.kind}: {error.message[:90]}")
        else:
            self.tell(is_good=False, what=f"{what}: it did not fail")


@asynccontextmanager
async def five_nodes(directory: Path) -> AsyncGenerator[Sequence[Member]]:
    """Start the five, the later ones with the endpoints of the first two."""
    keys = sorted((load_or_create(directory / f"key{n}").node_id, directory / f"key{n}") for n in range(5))
    target = keys[0][0]
    nearing = sorted(keys, key=lambda each: each[0].distance(target), reverse=True)
    for name, (_, path) in zip(("bootstrap", "edge2", "edge1", "gateway", "edge3"), nearing, strict=True):
        path.rename(directory / name)  # so that each hop leads nearer to edge3
    members: list[Member] = []
    try:
        for wave in (NAMES[:1], NAMES[1:2], NAMES[2:]):
            known = {member.name: member.facts["endpoint"] for member in members}
            started = [member(name, directory, known) for name in wave]
            members += started
            for each in started:
                await each.node.start()
                each.output = asyncio.create_task(each.node.wait())
            with console.status(f"starting {', '.join(wave)} ..."):
                for each in started:
                    each.facts = await until_answering(each.node, PATIENCE)
        yield members
    finally:
        await asyncio.gather(*(each.node.stop() for each in members))


def member(name: str, directory: Path, known: dict[str, str]) -> Member:
    """Return the node ``name``, not started; ``known`` are the endpoints of those that run."""
    options: dict[str, Any] = {
        "name": name,
        "mode": "edge" if name.startswith("edge") else name,
        "realm": "com.example.demo",
        "listen": f"127.0.0.{NAMES.index(name) + 11}:0",
        "data_dir": str(directory / name),
        "log_level": "CRITICAL",
        "health_port": 0,
    }
    if name != "bootstrap":
        options["bootstrap"] = [known["bootstrap"]]
    if name.startswith("edge"):
        options["gateways"] = [known["gateway"]]
    if name == "edge3":
        options["app"] = "examples.calculator:provide"
    admin = directory / name / "admin.sock"
    return Member(name, ProcessNode(name, options, directory, admin, loop=Loop.AUTO, show=lambda *_: None))


async def show_discovery(members: Sequence[Member], verdict: Verdict) -> None:
    """Show that all nodes keep the advertisement, and that edge2 finds it."""
    *others, provider = members
    for each in others:
        kept = await eventually(each.ask, "discover", procedure=ADD, local=True)
        verdict.tell(is_good=bool(kept), what=f"{each.name} keeps the record that {provider.name} provides {ADD}")
    found = await others[-1].ask("discover", procedure=ADD)
    is_it = [each["node_id"] for each in found] == [provider.facts["node_id"]]
    verdict.tell(is_good=is_it, what=f"edge2 finds {provider.name} at {found[0]['endpoint'] if found else '-'}")


async def show_paths(members: Sequence[Member], verdict: Verdict) -> None:
    """Show a call by each path, and the errors that calls end with."""
    bootstrap, gateway, edge1, edge2, edge3 = members
    names = {each.facts["node_id"]: each.name for each in members}

    async def call(how: str, expected: list[Member], **arguments: Any) -> None:
        began = time.perf_counter()
        try:
            traced = await edge2.ask("call", procedure=ADD, args={"a": 20, "b": 22}, trace=True, **arguments)
        except AdminError as error:
            verdict.tell(is_good=False, what=f"{how}: {error.message}")
            return
        took = (time.perf_counter() - began) * 1000
        is_good = traced["result"] == 42 and traced["path"] == [each.facts["node_id"] for each in expected]
        way = " > ".join(["edge2", *(names[each] for each in traced["path"])])
        verdict.tell(is_good=is_good, what=f"{how}: 20 + 22 = {traced['result']}, {way}, {took:.1f} ms")

    await call("directly", [edge3], paths=["direct"])
    await call("by relay", [gateway, edge3], paths=["relay"])
    await verdict.error("NoProviderError", "what nobody provides", edge2.ask("call", procedure="test.nothing"))
    slow = edge2.ask("call", procedure=SLOWLY, args=30, timeout=0.5)
    await verdict.error("CallTimeoutError", "a handler that takes 30 s, with 0.5 s of time", slow)
    console.print("  [dim]now edge2 is cut off from all but edge1, and edge1 from edge3[/]")
    await cut(edge2, bootstrap, gateway, edge3)
    await cut(edge1, edge3)
    await call("over hops", [edge1, gateway, edge3], timeout=10.0)
    short = edge2.ask("call", procedure=ADD, args={"a": 1, "b": 2}, paths=["routed"], max_hops=1)
    await verdict.error("MaxHopsExceededError", "over hops, with one hop allowed", short)
    for each in members:
        await each.ask("deny", networks=[])


async def cut(one: Member, *others: Member) -> None:
    """Let ``one`` and ``others`` reach one another no more."""
    for node, peers in ((one, others), *((other, (one,)) for other in others)):
        denied = (await node.ask("status"))["denied"]
        await node.ask("deny", networks=[*denied, *(f"{peer.host}/32" for peer in peers)])


async def show_kills(caller: Member, victim: Member, verdict: Verdict) -> None:
    """Kill each process of ``victim`` while ``caller`` calls it."""
    await eventually(caller.ask, "call", procedure=ADD, args={"a": 0, "b": 1}, paths=["direct"])
    is_over = asyncio.Event()
    times: list[float] = []
    problems: list[str] = []
    before = await attempts(caller)

    async def keep_calling() -> None:
        while not is_over.is_set():
            began = time.perf_counter()
            try:
                await caller.ask("call", procedure=ADD, args={"a": 1, "b": 2}, timeout=5.0)
            except AdminError as error:
                problems.append(error.message)
            times.append(time.perf_counter() - began)

    calling = [asyncio.create_task(keep_calling()) for _ in range(CALLERS)]
    names = [name for name in processes(await victim.ask("tree")) if name != "macula_root"]
    for name in names:
        await victim.ask("kill", name=name)
        await asyncio.sleep(PAUSE)
        console.print(f"  [dim]killed[/] {name:<24} [dim]{len(times)} calls so far, {len(problems)} failed[/]")
    is_over.set()
    await asyncio.gather(*calling)
    retried = await attempts(caller) - before - len(times)
    summary = f"{len(times)} calls, {len(problems)} failed, {retried} attempts more, slowest {max(times):.2f} s"
    verdict.tell(is_good=not problems, what=f"{len(names)} processes killed: {summary}")
    for problem in sorted(set(problems))[:3]:
        console.print(f"         {problem}")


def processes(tree: dict[str, Any]) -> list[str]:
    """Return the names of the fixed processes of a tree, parents first; those of connections come and go."""
    return [tree["name"], *(name for child in tree["children"] for name in processes(child))] if tree["name"] else []


async def attempts(node: Member) -> int:
    """Return how many attempts of calls ``node`` has made."""
    paths = (await node.ask("stats"))["rpc_handler"]["paths"]
    return sum(each["carried"] + each["failed"] for each in paths.values())


async def eventually(ask_it: Any, *arguments: Any, **named: Any) -> Any:
    """Ask until there is an answer that is something, or no patience left; return the last answer."""
    deadline = time.monotonic() + PATIENCE / 3
    answer = None
    while not answer and time.monotonic() < deadline:
        try:
            answer = await ask_it(*arguments, **named)
        except AdminError:
            answer = None
        if not answer:
            await asyncio.sleep(0.1)
    return answer


async def main() -> int:
    """Run the demo; return the exit code."""
    verdict = Verdict()
    began = time.perf_counter()
    console.rule("five nodes, five processes, one mesh")
    with TemporaryDirectory(prefix="macula-") as temporary:
        async with five_nodes(Path(temporary)) as members:
            table = Table("node", "mode", "node id", "endpoint", "pid", box=None)
            for each in members:
                facts = each.facts
                table.add_row(each.name, facts["mode"], facts["node_id"][:16], facts["endpoint"], str(facts["pid"]))
            console.print(table)
            console.rule("edge3 advertises, all hear of it, edge2 finds it", align="left")
            await show_discovery(members, verdict)
            console.rule("edge2 calls edge3", align="left")
            await show_paths(members, verdict)
            console.rule("every process of edge3 is killed while edge2 calls", align="left")
            await show_kills(members[3], members[4], verdict)
    took = time.perf_counter() - began
    console.rule(f"{'all held' if not verdict.failed else f'{verdict.failed} did not hold'}, {took:.0f} s")
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
