"""Nodes as operating system processes, started by ``macula node`` and asked over their admin sockets."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from macula_actors.admin.client import AdminClient
from macula_actors.config_sources import toml_line
from macula_actors.core.kademlia.node_id import NodeId
from macula_actors.transport.key_store import load_or_create

PATIENCE = 20.0  # seconds that a process may take to start or to end
ROOT = Path(__file__).parents[2]


class MeshProcess:
    """One node. `node_id`, `endpoint` and `host` are known once it is started."""

    def __init__(self, name, directory, **options):
        self.name = name
        self.directory = directory
        self.data_dir = directory / name
        self.options = {"name": name, "data_dir": str(self.data_dir), "log_level": "WARNING", **options}
        self.process = None
        self.ready = None

    @property
    def node_id(self):
        return self.ready["node_id"]

    @property
    def endpoint(self):
        return self.ready["endpoint"]

    @property
    def host(self):
        return self.endpoint.rpartition(":")[0]

    async def start(self, app=None):
        path = self.directory / f"{self.name}.toml"
        path.write_text("".join(f"{toml_line(key, value)}\n" for key, value in self.options.items()))
        self.log = (self.directory / f"{self.name}.log").open("ab")
        extra = [] if app is None else ["--app", app]
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "macula_actors.cli", "node", "--config", str(path), "--json-logs", *extra),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=self.log,
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.directory)},
        )
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        assert line, (self.directory / f"{self.name}.log").read_text()
        self.ready = json.loads(line)["ready"]

    async def ask(self, command, **arguments):
        async with AdminClient(self.data_dir / "admin.sock") as client:
            return await client.ask(command, **arguments)

    async def call(self, procedure, args=None, **how):
        return await self.ask("call", procedure=procedure, args=args, **how)

    async def stop(self):
        if self.process is None or self.process.returncode is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
        self.log.close()
        return code


def nearer_and_nearer(directory, *names):
    """Make keys for the nodes ``names``, so that each is nearer to the last one than the node before it."""
    made = [directory / f"key{number}" for number, _ in enumerate(names)]
    ids = {path: load_or_create(path).node_id for path in made}
    target = made[-1]
    order = sorted(made, key=lambda path: ids[path].distance(ids[target]), reverse=True)
    for path, name in zip(order, names, strict=True):
        path.rename(directory / name)


@asynccontextmanager
async def running(*nodes, apps=None):
    """Run ``nodes``, one after the other; a bootstrap or gateway may be given as the `MeshProcess` itself."""
    async with AsyncExitStack() as stack:
        for node in nodes:
            for key in ("bootstrap", "gateways"):
                if key in node.options:
                    node.options[key] = [each.endpoint for each in node.options[key]]
            stack.push_async_callback(node.stop)
            await node.start((apps or {}).get(node.name))
        yield nodes


async def until(condition, timeout=PATIENCE, pause=0.05):
    """Ask ``condition`` again and again until what it returns is true, and return that."""
    async with asyncio.timeout(timeout):
        while not (found := await condition()):
            await asyncio.sleep(pause)
    return found


def distance(one, other):
    return NodeId.from_hex(one).distance(NodeId.from_hex(other))
