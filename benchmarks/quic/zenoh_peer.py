"""Zenoh (Rust): a get on a queryable, peer to peer over one TCP connection, not encrypted; no scouting.

Its Python API blocks, so workers are threads; with callbacks on asyncio's loop it does fewer requests.
"""
# zenoh is not installed where only `make check` runs.
# mypy: disable-error-code="import-untyped, import-not-found"

import json
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event
from time import sleep
from typing import Any

import zenoh

__all__ = ["connect", "serve"]

KEY = "echo"
REPLY_BYTES = 100
PATIENCE = 50  # times that a get is tried until the queryable is known
SETTINGS: dict[str, object] = {
    "mode": "peer",
    "scouting/multicast/enabled": False,
    "scouting/gossip/enabled": False,
    "transport/shared_memory/enabled": False,  # else large messages would not go over the network
}


def serve(announce: Callable[[str], None]) -> None:
    """Answer each get; where it is: its endpoint."""
    endpoint = f"tcp/127.0.0.1:{_free_port()}"
    with _open({"listen/endpoints": [endpoint]}) as session:
        queryable = session.declare_queryable(KEY, _answer)
        announce(endpoint)
        Event().wait()
        queryable.undeclare()


def _answer(query: Any) -> None:
    query.reply(KEY, query.payload.to_bytes()[:REPLY_BYTES])


@contextmanager
def connect(where: str) -> Generator[Callable[[bytes], bytes]]:
    """Connect, and give the function that sends a request."""
    with _open({"connect/endpoints": [where], "listen/endpoints": []}) as session:

        def request(message: bytes) -> bytes:
            for reply in session.get(KEY, payload=message):
                answer: bytes = reply.ok.payload.to_bytes()
                return answer
            raise ConnectionError("no reply")

        _wait_until_known(request)
        yield request


def _wait_until_known(request: Callable[[bytes], bytes]) -> None:
    for _ in range(PATIENCE):
        try:
            request(b"?")
        except ConnectionError:
            sleep(0.1)
        else:
            return


def _open(settings: dict[str, object]) -> Any:
    config = zenoh.Config()
    for path, value in (SETTINGS | settings).items():
        config.insert_json5(path, json.dumps(value))
    return zenoh.open(config)


def _free_port() -> int:
    """Return a port that was free just now: zenoh does not tell which one it was given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
