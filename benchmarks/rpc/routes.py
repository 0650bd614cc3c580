"""What each hop costs: five nodes in five OS processes, whose links are cut but for those to the neighbours."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.rows import Row, verdict
from benchmarks.rpc.far import Far
from benchmarks.rpc.length import Length
from benchmarks.rpc.mesh import Nodes
from benchmarks.rpc.ours import ECHO
from macula_actors.transport.key_store import load_or_create

__all__ = ["ENGINES", "HOSTS", "MOST", "nearer_and_nearer", "not_neighbours", "routes"]

ENGINES: Final = ("aioquic", "qh3")
HOSTS: Final = tuple(f"127.0.0.{number}" for number in range(51, 56))  # the caller farthest from the provider first
IN_FLIGHT: Final = (1, 16)
MOST: Final = 1.3  # x the direct latency, that a hop may add
MILLISECONDS: Final = 1e3


def routes(length: Length) -> Iterator[Row]:
    """Measure calls over 0 to 3 nodes between, then through a gateway."""
    found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for _ in range(length.rounds):
        for engine in ENGINES:
            print(f"routes on {engine}", file=sys.stderr, flush=True)
            for way, figures in [*_routed(engine, length), ("relayed by a gateway", _relayed(engine, length))]:
                found[engine, way].append(figures)
    for (engine, way), rounds in found.items():
        yield _row(engine, way, rounds)


def _routed(engine: str, length: Length) -> Iterator[tuple[str, dict[str, float]]]:
    with ExitStack() as stack, TemporaryDirectory() as directory:
        fars = [stack.enter_context(Far(Nodes)) for _ in HOSTS]
        nearer_and_nearer(Path(directory))
        joined: list[str] = []
        ids: list[str] = []
        for number, (far, host) in reversed(list(enumerate(zip(fars, HOSTS, strict=True)))):
            options = {"host": host, "engine": engine, "bootstrap": joined[-1:], "data_dir": f"{directory}/{number}"}
            endpoint, node_id = far.ask("start", {**options, "admin": "none"})
            joined.append(endpoint)
            ids.insert(0, node_id)
        fars[-1].ask("provide", ECHO)
        for far in fars[:-1]:
            far.ask("find")
        _cut(fars)
        before = direct = 0.0
        for between in range(len(HOSTS) - 1):
            caller = len(HOSTS) - 2 - between
            way = "routed" if between else "direct"
            taken = fars[caller].ask("trace", [way])
            if taken != ids[caller + 1 :]:
                raise RuntimeError(f"the call went over {taken}, not {ids[caller + 1 :]}")
            figures = _load(fars, fars[caller], way, length)
            direct = figures["p50"] if not between else direct
            figures["more"] = (figures["p50"] - before) / direct
            before = figures["p50"]
            yield f"{between} between" if between else "direct", figures


def _cut(fars: Sequence[Far]) -> None:
    """Leave only the links to neighbours. The nodes still know of each other."""
    for number, far in enumerate(fars):
        far.ask("deny", not_neighbours(number))


def _relayed(engine: str, length: Length) -> dict[str, float]:
    """Measure calls of a node that nobody can dial, through the gateway that it keeps a session with."""
    with Far(Nodes) as gateway, Far(Nodes) as provider, Far(Nodes) as caller:
        where, gateway_id = gateway.ask("start", {"engine": engine, "start_gateway": True})
        options = {"engine": engine, "bootstrap": [where], "gateways": [where]}
        _, provider_id = provider.ask("start", {**options, "accept_peers": False})
        caller.ask("start", options)
        provider.ask("provide", ECHO)
        caller.ask("find")
        taken = caller.ask("trace", ["relay"])
        if taken != [gateway_id, provider_id]:
            raise RuntimeError(f"the call went over {taken}")
        return _load([gateway, provider, caller], caller, "relay", length)


def not_neighbours(number: int) -> list[str]:
    """Return the networks that a node must not reach, so that calls go over the nodes between."""
    return [f"{host}/32" for at, host in enumerate(HOSTS) if abs(at - number) > 1]


def nearer_and_nearer(directory: Path) -> None:
    """Make keys, so that each node is nearer to the last one than the one before it."""
    made = [directory / f"key{number}" for number, _ in enumerate(HOSTS)]
    ids = {path: load_or_create(path).node_id for path in made}
    order = sorted(made, key=lambda path: ids[path].distance(ids[made[-1]]), reverse=True)
    for number, path in enumerate(order):
        path.rename(directory / str(number))


def _load(fars: Sequence[Far], caller: Far, way: str, length: Length) -> dict[str, float]:
    figures: dict[str, float] = {}
    for in_flight in IN_FLIGHT:
        caller.ask("load", in_flight, length.warm_up, [way])
        before = sum(far.cpu() for far in fars)
        load = caller.ask("load", in_flight, length.measured, [way])
        cpu = (sum(far.cpu() for far in fars) - before) / (load.rate * length.measured)
        if in_flight == 1:
            figures |= {"p50": load.p50 / MILLISECONDS, "p99": load.p99 / MILLISECONDS}
        figures |= {f"{in_flight} rate": load.rate, f"{in_flight} cpu": cpu * MILLISECONDS}
    return figures


def _row(engine: str, way: str, rounds: Sequence[dict[str, float]]) -> Row:
    middle = {key: median(figures[key] for figures in rounds) for key in rounds[0]}
    is_hop = "more" in middle and way != "direct"
    return {
        "engine": engine,
        "way": way,
        "median": f"{middle['p50']:.2f} ms",
        "99 %": f"{middle['p99']:.2f} ms",
        "one hop more, x direct": f"{middle['more']:.2f}" if is_hop else "",
        "bar": f"<= {MOST}" if is_hop else "",
        "ok?": verdict(middle["more"] <= MOST) if is_hop else "",
        **{f"{n} in flight": f"{middle[f'{n} rate']:,.0f} /s" for n in IN_FLIGHT},
        **{f"CPU of all, {n} in flight": f"{middle[f'{n} cpu']:.2f} ms" for n in IN_FLIGHT},
    }
