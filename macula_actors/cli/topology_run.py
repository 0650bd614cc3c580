"""One run of a topology: its nodes are started, checked and stopped, and what they log is shown."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Collection, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from macula_actors.cli.checks import CheckResult, Member, run_check
from macula_actors.cli.launch import InProcessNode, Launched, LaunchError, ProcessNode, until_answering
from macula_actors.cli.logs import configure_logs
from macula_actors.cli.loops import Loop, loop_factory
from macula_actors.cli.output import console, error_console, progress, short, show_json, show_table
from macula_actors.cli.topology import NodeSpec, Topology, load_topology, resolve, waves
from macula_actors.node_config import NodeConfig

__all__ = ["run_topology"]

_COLOURS: Final = ("cyan", "green", "yellow", "magenta", "blue", "red")
_POLL: Final = 0.1  # seconds


def run_topology(
    path: Path, timeout: float, *, check: bool, in_process: bool, log_level: str, loop: Loop, as_json: bool
) -> str:
    """Run the topology in the file ``path`` until its checks are done, or a signal comes; return what failed.

    Args:
        path: a TOML file.
        timeout: seconds in which all nodes must be up.
        check: whether to do the checks, and end then.
        in_process: whether all nodes run in this process.
        log_level: of what the nodes log.
        loop: the nodes' event loop.
        as_json: whether what is written is for programs.

    Raises:
        ConfigError: the file is no topology, or ``log_level`` no level.
        LaunchError: a node did not start, or ended by itself.
    """
    described = load_topology(path)
    log_level = NodeConfig(log_level=log_level).log_level
    if in_process:
        configure_logs(log_level, as_json=False)

    async def run() -> str:
        run = _Run(described, in_process=in_process, log_level=log_level, loop=loop, as_json=as_json)
        return await run.run(timeout, check=check)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        return runner.run(run())


class _Run:
    """One run of a topology."""

    def __init__(self, topology: Topology, *, in_process: bool, log_level: str, loop: Loop, as_json: bool) -> None:
        self._topology = topology
        self._in_process = in_process
        self._log_level = log_level
        self._loop = loop
        self._as_json = as_json
        self._nodes: list[Launched] = []
        self._waves: list[list[Launched]] = []
        self._statuses: dict[str, dict[str, Any]] = {}
        self._watchers: list[asyncio.Future[str]] = []
        self._stopping = asyncio.Event()
        self._ended: asyncio.Future[LaunchError] = asyncio.get_running_loop().create_future()
        colours = {each.name: _COLOURS[n % len(_COLOURS)] for n, each in enumerate(topology.nodes)}
        width = max(map(len, colours))
        out = error_console() if as_json else console()
        self._show = partial(_show_line, out, colours, width)

    async def run(self, timeout: float, *, check: bool) -> str:
        """Start all, wait for the end or do the checks, and stop all. Return what failed, if something did.

        Raises:
            LaunchError: a node did not start, or ended by itself.
        """
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, self._stopping.set)
        with tempfile.TemporaryDirectory(prefix="macula-") as directory:
            try:
                return await self._unless_stopped(self._work(Path(directory), timeout, check=check))
            finally:
                await self._stop_all()

    async def _work(self, directory: Path, timeout: float, *, check: bool) -> str:
        await self._start_all(directory, timeout)
        self._show_nodes()
        if check:
            return await self._check_all()
        await self._stopping.wait()
        return ""

    async def _unless_stopped(self, work: Coroutine[Any, Any, str]) -> str:
        """Return what ``work`` does; give it up when this process is told to stop, or a node ends by itself."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        waited: set[asyncio.Future[Any]] = {working, stopping, self._ended}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                raise self._ended.result()
            return working.result() if working.done() else ""
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.wait(waited - {self._ended})

    async def _start_all(self, directory: Path, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                with progress(f"{self._topology.name}: starting nodes ...") as status:
                    for wave in waves(self._topology.nodes):
                        await self._start(wave, directory, timeout)
                        status.update(Text(f"{self._topology.name}: {self._count(self._statuses)} started ..."))
                    await self._until_joined(status)
        except TimeoutError as error:
            missing = [each.name for each in self._topology.nodes if not self._has_joined(each.name)]
            raise LaunchError(", ".join(missing), f"did not join within {timeout:g} s") from error

    async def _start(self, wave: Iterable[NodeSpec], directory: Path, timeout: float) -> None:
        endpoints = {name: status["endpoint"] for name, status in self._statuses.items()}
        started = [self._launched(each, directory, endpoints) for each in wave]
        self._waves.append(started)
        for node in started:
            self._nodes.append(node)
            await node.start()
            self._watch(node)
        for node, status in zip(
            started, await asyncio.gather(*(until_answering(each, timeout) for each in started)), strict=True
        ):
            self._statuses[node.name] = status

    def _launched(self, spec: NodeSpec, directory: Path, endpoints: dict[str, str]) -> Launched:
        admin = directory / f"{spec.name}.sock"
        options = {
            "log_level": self._log_level,
            "data_dir": str(directory / spec.name),
            **resolve(spec.options, endpoints),
            "admin": str(admin),
        }
        if self._in_process:
            return InProcessNode(spec.name, options, admin)
        return ProcessNode(spec.name, options, directory, admin, loop=self._loop, show=self._show)

    async def _until_joined(self, status: Any) -> None:
        while not all(self._has_joined(each.name) for each in self._nodes):
            await asyncio.sleep(_POLL)
            for node in self._nodes:
                self._statuses[node.name] = await until_answering(node, _POLL * 100)
            joined = [each for each in self._statuses if self._has_joined(each)]
            status.update(Text(f"{self._topology.name}: {self._count(joined)} joined ..."))

    def _count(self, nodes: Collection[str]) -> str:
        return f"{len(nodes)} of {len(self._topology.nodes)} nodes"

    def _has_joined(self, name: str) -> bool:
        return bool(self._statuses.get(name, {}).get("has_joined"))

    def _show_nodes(self) -> None:
        statuses = [self._statuses[each.name] for each in self._nodes]
        if self._as_json:
            admins = {each.name: str(each.admin) for each in self._nodes}
            show_json({"nodes": [{**each, "admin": admins[each["name"]]} for each in statuses]})
            sys.stdout.flush()
            return
        show_table(
            ("name", "mode", "realm", "node", "endpoint", "pid", "admin"),
            (
                (
                    each["name"],
                    each["mode"],
                    each["realm"],
                    short(each["node_id"]),
                    each["endpoint"],
                    each["pid"],
                    node.admin,
                )
                for each, node in zip(statuses, self._nodes, strict=True)
            ),
            title=f"{self._topology.name}: {len(statuses)} nodes are up",
        )
        sys.stdout.flush()

    async def _check_all(self) -> str:
        members = {each.name: Member(self._statuses[each.name]["node_id"], each.admin) for each in self._nodes}
        results: list[CheckResult] = []
        for number, check in enumerate(self._topology.checks, 1):
            with progress(f"check {number} of {len(self._topology.checks)}: {check.name} ..."):
                results.append(await run_check(check, members))
            if not self._as_json:
                _show_result(results[-1])
        failed = [each.check.name for each in results if each.problem]
        if self._as_json:
            show_json({
                "checks": [
                    {
                        "name": each.check.name,
                        "ok": not each.problem,
                        "problem": each.problem,
                        "seconds": round(each.took, 3),
                    }
                    for each in results
                ]
            })
        return f"{len(failed)} of {len(results)} checks failed: {'; '.join(failed)}" if failed else ""

    async def _stop_all(self) -> None:
        for wave in reversed(self._waves):
            await asyncio.gather(*(node.stop() for node in wave))
        if self._watchers:
            await asyncio.wait(self._watchers)  # they show the last lines

    def _watch(self, node: Launched) -> None:
        watcher = asyncio.ensure_future(node.wait())
        watcher.add_done_callback(partial(self._note_end, node))
        self._watchers.append(watcher)

    def _note_end(self, node: Launched, watcher: "asyncio.Future[str]") -> None:
        if not self._ended.done() and not watcher.cancelled():
            self._ended.set_result(LaunchError(node.name, watcher.result()))


def _show_line(out: Any, colours: dict[str, str], width: int, name: str, line: str) -> None:
    out.print(Text.assemble((f"{name:{width}} | ", colours[name]), Text.from_ansi(line)), soft_wrap=True)


def _show_result(result: CheckResult) -> None:
    verdict = ("ok    ", "green") if not result.problem else ("FAILED", "bold red")
    text = Text.assemble(verdict, f"  {result.check.from_}: {result.check.name}  ({1000 * result.took:.0f} ms)")
    if result.problem:
        text.append(f"\n        {result.problem}")
    console().print(text, soft_wrap=True)
