"""A topology: several nodes that run together, and what must hold of them; read from TOML. Erlang: none.

::

    [topology]
    name = "two"
    description = "A gateway and an edge."

    [defaults]                            # keys of every node; see `macula config --keys`
    realm = "com.example"
    data_dir = "/var/lib/macula"          # of which each node has a directory of its name

    [[node]]                              # keys of one node
    name = "gateway"
    listen = "127.0.0.1:0"

    [[node]]
    name = "edge"
    mode = "edge"
    bootstrap = ["@gateway"]              # the endpoint of a node above, whatever it comes to

    [[check]]                             # in order; see `macula_actors.cli.checks`
    from = "edge"
    do = "call"
    procedure = "test.echo"
    expect_error = "NoProviderError"
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, TypeGuard

from macula_actors.config_sources import from_toml
from macula_actors.config_values import MAX_SECONDS, OFF
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.rpc.call_plan import Path as CallPath
from macula_actors.errors import ConfigError
from macula_actors.node_config import NodeConfig

__all__ = ["DOINGS", "Check", "NodeSpec", "Topology", "load_topology", "resolve", "waves"]

DOINGS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "advertise_echo": (frozenset({"procedure"}), frozenset({"withdraw"})),
    "call": (frozenset({"procedure"}), frozenset({"args", "node_id", "paths", "max_hops", "timeout", "trace"})),
    "deny": (frozenset({"networks"}), frozenset()),
    "discover": (frozenset({"procedure"}), frozenset({"refresh", "local", "timeout"})),
    "find": (frozenset({"key"}), frozenset({"timeout"})),
    "kill": (frozenset({"name"}), frozenset()),
    "status": (frozenset(), frozenset()),
    "store": (frozenset({"key", "value"}), frozenset({"ttl", "timeout"})),
}
"""What a check may do, with the arguments that each needs, and that it may have."""

_REF: Final = "@"
_MAX_NODES: Final = 256
_ANY_ENDPOINT: Final = "127.0.0.1:1"  # in place of one that is not known yet
_LISTS: Final = ("bootstrap", "gateways")  # keys that may name nodes
_CHECK_KEYS: Final = frozenset({"from", "do", "name", "expect", "expect_error", "within"})
_MAX_INTEGER: Final = 2**63 - 1  # of TOML; Python reads greater ones, and cannot write them
_TEXTS: Final = frozenset({"procedure", "key", "name", "node_id", "expect_error"})
_FLAGS: Final = frozenset({"withdraw", "refresh", "local", "trace"})
_SECONDS: Final = frozenset({"timeout", "ttl"})


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: its name, the keys of its configuration, and whom they name."""

    name: str
    options: Mapping[str, Any]

    @property
    def needs(self) -> frozenset[str]:
        """The nodes whose endpoints it must be told."""
        named = (each for key in _LISTS for each in _listed(self.options.get(key)))
        return frozenset(each.removeprefix(_REF) for each in named if _is_ref(each))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that a node is asked to do, and what must come of it.

    Args:
        name: what it shows, for people.
        from_: the node that is asked.
        do: one of `DOINGS`.
        arguments: of that.
        expect: the result, if there must be a certain one: of discover the providers' names, in any order; of find the
            values, in any order; of status some of its keys; of call what it returned.
        has_expect: whether there must be.
        expect_error: the type of the error that there must be; empty if there must be none.
        within: seconds in which it must come true; until then it is tried again.
    """

    name: str
    from_: str
    do: str
    arguments: Mapping[str, Any]
    expect: Any
    has_expect: bool
    expect_error: str
    within: float


@dataclass(frozen=True, slots=True)
class Topology:
    """Nodes in start order, and checks in order."""

    name: str
    description: str
    nodes: tuple[NodeSpec, ...]
    checks: tuple[Check, ...] = field(default=())


def load_topology(path: Path) -> Topology:
    """Return the topology in the file ``path``.

    Raises:
        ConfigError: it can't be read, or is none; it names the node or check, and the key.
    """
    table = dict(from_toml(path).values)
    _check_integers("topology", table)
    about = _table(table.pop("topology", {}), "topology", {"name", "description"})
    defaults = _table(table.pop("defaults", {}), "defaults", NodeConfig.keys())
    if "name" in defaults:
        raise ConfigError("defaults: name", defaults["name"], "allowed: none; each [[node]] has one of its own")
    nodes = tuple(_nodes(_tables(table.pop("node", []), "node"), defaults))
    names = {each.name for each in nodes}
    checks = tuple(_check(each, f"check {number}", names) for number, each in _numbered(table.pop("check", [])))
    for key, value in table.items():
        raise ConfigError(key, value, "no such table; allowed: topology, defaults, node, check")
    if not nodes:
        raise ConfigError("node", "", "allowed: one [[node]] at least")
    return Topology(_text(about, "name", path.stem), _text(about, "description", ""), nodes, checks)


def waves(nodes: Iterable[NodeSpec]) -> Iterator[tuple[NodeSpec, ...]]:
    """Return the nodes in groups that can be started together: each needs only nodes of groups before."""
    waiting, started = list(nodes), set[str]()
    while waiting:
        wave = tuple(each for each in waiting if each.needs <= started)
        yield wave
        started |= {each.name for each in wave}
        waiting = [each for each in waiting if each not in wave]


def resolve(options: Mapping[str, Any], endpoints: Mapping[str, str]) -> dict[str, Any]:
    """Return ``options`` with each ``@name`` replaced by that node's endpoint."""
    return {
        key: [endpoints[each.removeprefix(_REF)] if _is_ref(each) else each for each in value]
        if key in _LISTS and isinstance(value, list)
        else value
        for key, value in options.items()
    }


def _nodes(tables: list[dict[str, Any]], defaults: Mapping[str, Any]) -> Iterator[NodeSpec]:
    if len(tables) > _MAX_NODES:
        raise ConfigError("node", len(tables), f"allowed: {_MAX_NODES} nodes")
    above: dict[str, str] = {}
    taken: dict[tuple[str, object], str] = {}
    for number, table in enumerate(tables, 1):
        name = table.get("name", f"node{number}")
        if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum() or name in above:
            raise ConfigError(f"node {number}: name", name, "allowed: letters, digits, - and _; each name once")
        spec = NodeSpec(name, {**_defaults_of(name, defaults), **table, "name": name})
        config = _checked_options(spec, above)
        for key, value in _exclusive(config):
            other = taken.setdefault((key, value), name)
            if other != name:
                raise ConfigError(f"node {name}: {key}", value, f"allowed: another than node {other} has")
        above[name] = _ANY_ENDPOINT
        yield spec


def _exclusive(config: NodeConfig) -> Iterator[tuple[str, object]]:
    """Return the keys that are given, with what two nodes of one machine can't share."""
    if config.data_dir is not None:
        yield "data_dir", config.data_dir.resolve()
    if config.listen is not None and config.listen.port:
        yield "listen", config.listen
    if config.health_port is not None and config.has_gateway and config.http_port:
        yield "health_port", Endpoint(config.health_host, config.http_port)


def _defaults_of(name: str, defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keys of ``[defaults]`` for the node ``name``: two nodes can't share a data_dir."""
    data_dir = defaults.get("data_dir")
    if not isinstance(data_dir, str) or data_dir in {"", OFF}:
        return defaults
    return {**defaults, "data_dir": str(Path(data_dir) / name)}


def _checked_options(spec: NodeSpec, above: Mapping[str, str]) -> NodeConfig:
    where = f"node {spec.name}"
    for key in _LISTS:
        _check_references(f"{where}: {key}", spec.options.get(key), above)
    if "admin" in spec.options:
        raise ConfigError(f"{where}: admin", spec.options["admin"], "leave it out: macula up makes one and shows it")
    try:
        return NodeConfig(**resolve(spec.options, above))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.key}", error.value, error.allowed) from error


def _check_references(where: str, value: object, above: Mapping[str, str]) -> None:
    if _is_ref(value):
        raise ConfigError(where, value, "allowed: a list, such as ['@gateway']")
    for each in _listed(value):
        if _is_ref(each) and each.removeprefix(_REF) not in above:
            raise ConfigError(where, each, f"allowed: nodes above: {', '.join(above) or 'none'}")


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_ref(value: object) -> bool:
    return isinstance(value, str) and value.startswith(_REF)


def _check(table: dict[str, Any], where: str, names: set[str]) -> Check:
    do, from_, within = table.get("do"), table.get("from"), table.get("within", 0)
    if not isinstance(do, str) or do not in DOINGS:
        raise ConfigError(f"{where}: do", do, f"allowed: {', '.join(DOINGS)}")
    if not isinstance(from_, str) or from_ not in names:
        raise ConfigError(f"{where}: from", from_, f"allowed: {', '.join(sorted(names))}")
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0 <= within <= 3600:  # noqa: PLR2004
        raise ConfigError(f"{where}: within", within, "allowed: 0 to 3600 seconds")
    needed, possible = DOINGS[do]
    arguments = {key: value for key, value in table.items() if key not in _CHECK_KEYS - needed}
    for key in sorted(arguments.keys() - needed - possible):
        has = ", ".join(sorted(needed | possible)) or "none"
        raise ConfigError(f"{where}: {key}", arguments[key], f"no such key; {do} has {has}")
    for key, value in table.items():
        allowed = _allowed(key, value)
        if allowed:
            raise ConfigError(f"{where}: {key}", value, f"allowed: {allowed}")
    node_id = arguments.get("node_id")
    if node_id is not None and (not isinstance(node_id, str) or node_id.removeprefix(_REF) not in names):
        raise ConfigError(f"{where}: node_id", node_id, f"allowed: {', '.join(_REF + name for name in sorted(names))}")
    for key in sorted(needed - arguments.keys()):
        raise ConfigError(f"{where}: {key}", "", f"{do} needs it")
    title = " ".join([do, *(str(each) for each in arguments.values())])
    return Check(
        name=title if "name" in needed else table.get("name", title),
        from_=from_,
        do=do,
        arguments=arguments,
        expect=table.get("expect"),
        has_expect="expect" in table,
        expect_error=str(table.get("expect_error", "")),
        within=float(within),
    )


def _allowed(key: str, value: object) -> str:
    """Return what ``key`` of a check must be, in words, if ``value`` is something else."""
    is_ok, allowed = True, ""
    if key in _TEXTS:
        is_ok, allowed = isinstance(value, str) and bool(value), "a text"
    elif key in _FLAGS:
        is_ok, allowed = isinstance(value, bool), "true, false"
    elif key in _SECONDS:
        is_ok, allowed = _is_number(value) and 0 < value <= MAX_SECONDS, "seconds above 0"
    elif key == "max_hops":
        is_ok, allowed = isinstance(value, int) and _is_number(value) and value >= 0, "a whole number from 0"
    elif key == "paths":
        is_ok = isinstance(value, list) and bool(value) and set(map(str, value)) <= set(CallPath)
        allowed = f"a list of {', '.join(CallPath)}"
    elif key == "networks":
        is_ok, allowed = isinstance(value, list) and all(map(_is_network, value)), "a list such as ['10.0.0.0/8']"
    return "" if is_ok else allowed


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_network(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(ip_network(text))
    except ValueError:
        return False


def _check_integers(key: str, value: object) -> None:
    match value:
        case dict():
            for name, each in value.items():
                _check_integers(name, each)
        case list():
            for each in value:
                _check_integers(key, each)
        case int() if abs(value) > _MAX_INTEGER:
            raise ConfigError(key, f"{value:#x}", f"allowed: whole numbers up to {_MAX_INTEGER}")


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"topology: {key}", value, "allowed: a text")
    return value


def _numbered(tables: object) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from enumerate(_tables(tables, "check"), 1)


def _tables(value: object, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ConfigError(key, value, f"allowed: tables, written [[{key}]]")
    return value


def _table(value: object, key: str, allowed: Iterable[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(key, value, f"allowed: a table, written [{key}]")
    for each in value.keys() - set(allowed):
        raise ConfigError(f"{key}: {each}", value[each], "no such key")
    return value
