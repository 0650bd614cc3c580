"""Nodes as operating system processes, started by ``macula node`` and asked over their admin sockets."""

import asyncio
import json
import os
import selectors
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from macula_actors.admin.client import AdminClient
from macula_actors.config_sources import toml_line
from macula_actors.transport.key_store import load_or_create

PATIENCE = 30.0  # seconds that a process may take to start or to end
REPOSITORY = Path(__file__).parents[2]
NAMING = ("bootstrap", "gateways")  # options that may name nodes


class MeshProcess:
    """One node. `node_id` and `endpoint` are known once it is ready. ``inside`` is a command that runs another one."""

    def __init__(self, name, directory, *, app=None, inside=(), **options):
        self.name = name
        self.options = {"name": name, "data_dir": str(directory / name), "log_level": "WARNING", **options}
        self._admin = directory / name / "admin.sock"
        self._config = directory / f"{name}.toml"
        self._log = directory / f"{name}.log"
        self._app = [] if app is None else ["--app", app]
        self._inside = inside
        self._process = None

    @property
    def is_dialled(self):
        """Whether others can dial it."""
        return self.options.get("accept_peers", True)

    @property
    def host(self):
        return self.endpoint.rpartition(":")[0]

    def start(self):
        named = {key: [each.endpoint for each in self.options[key]] for key in NAMING if key in self.options}
        lines = (f"{toml_line(key, value)}\n" for key, value in {**self.options, **named}.items())
        self._config.write_text("".join(lines))
        command = [sys.executable, "-m", "macula_actors.cli", "node", "--config", str(self._config), "--json-logs"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._inside, *command, *self._app],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=REPOSITORY,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._config.parent)},
            )

    def wait_ready(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(PATIENCE) else b""
        assert line, self._log.read_text()
        ready = json.loads(line)["ready"]
        self.node_id, self.endpoint = ready["node_id"], ready["endpoint"]

    def stop(self):
        """Tell it to stop, and return its exit code."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE)
        self._process.stdout.close()
        return code

    async def ask(self, command, **arguments):
        async with AdminClient(self._admin) as client:
            return await client.ask(command, **arguments)

    async def call(self, procedure, args=None, **how):
        return await self.ask("call", procedure=procedure, args=args, **how)


def nearer_and_nearer(directory, *names):
    """Make keys for the nodes ``names``, so that each is nearer to the last one than the node before it."""
    made = {path: load_or_create(path).node_id for path in (directory / f"key of {name}" for name in names)}
    target = list(made.values())[-1]
    order = sorted(made, key=lambda path: made[path].distance(target), reverse=True)
    for path, name in zip(order, names, strict=True):
        path.rename(directory / name)


@contextmanager
def running(*waves):
    """Run the nodes of each wave at once; later ones may name earlier ones. Their exit codes must be 0."""
    started = []
    codes = []
    try:
        for wave in waves:
            for node in wave:
                node.start()
                started.append(node)
            for node in wave:
                node.wait_ready()
        yield [node for wave in waves for node in wave]
    finally:
        codes = [node.stop() for node in reversed(started)]
    assert set(codes) == {0}


async def cut(node, *others):
    """Let ``node`` and ``others`` reach one another no more."""
    for one, peers in ((node, others), *((other, (node,)) for other in others)):
        already = (await one.ask("status"))["denied"]
        await one.ask("deny", networks=[*already, *(f"{peer.host}/32" for peer in peers)])


async def mend(*nodes):
    """Let ``nodes`` reach one another again."""
    for node in nodes:
        await node.ask("deny", networks=[])


async def until(condition, timeout=PATIENCE, pause=0.05):
    """Ask ``condition`` again and again until what it returns is true, and return that."""
    async with asyncio.timeout(timeout):
        while not (found := await condition()):
            await asyncio.sleep(pause)
    return found
