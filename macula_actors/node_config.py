"""What a node is told: its mode, its realm, where it listens, whom it joins, and its limits.

Erlang: the application keys and environment variables of macula_root and macula_gateway_system, most of which nothing
reads there.

A `NodeConfig` made by its constructor holds what it is given, and defaults: it reads neither the environment nor any
file, so that a program or a test is the same everywhere. Only `NodeConfig.load` reads them, as ``macula node`` does:
options go before the environment, that before the TOML file, and that before the defaults.
"""

# ruff: noqa: RUF009 -- a call of `_key` is one of `field`

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

from typing_extensions import override

from macula_actors import config_values as kinds
from macula_actors.config_sources import Setting, Source, from_environment, from_toml, toml_line
from macula_actors.config_values import CALL_PATHS, DIALECTS, OFF, Kind, Mode, TopicDialect, is_wildcard
from macula_actors.core.endpoint import DEFAULT_PORT, Endpoint
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.topic import Dialect
from macula_actors.core.rpc.call_plan import Path as CallPath
from macula_actors.core.rpc.selector import Strategy
from macula_actors.core.secret import Secret, masked
from macula_actors.errors import ConfigError
from macula_actors.transport.engines import EngineName

__all__ = ["ADMIN_SOCKET_NAME", "Mode", "NodeConfig"]

T = TypeVar("T")

ADMIN_SOCKET_NAME: Final = "admin.sock"  # in data_dir

_HEALTH_PORT: Final = 8080  # macula_root
_MAX_SOCKET_PATH: Final = 103  # bytes; sun_path of unix(7) has 108, that of macOS 104, each with a NUL
_MAX_SECRET_BYTES: Final = 4096
_MAX_KEY: Final = 64  # characters of an unknown key that are shown
_ANYWHERE: Final = "0.0.0.0"  # noqa: S104 -- macula_gateway listens so


def _key(kind: Kind[T], default: T, meaning: str, source: str = "ours") -> T:
    return field(default=default, metadata={"kind": kind, "meaning": meaning, "source": source})


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class NodeConfig:
    """The configuration of one node; frozen. Values are given as they are, or as text: ``"127.0.0.1:0"``.

    ``"auto"`` or None leaves a key to the node, and the properties say what that comes to; ``"none"`` switches off what
    the key names. `describe` says of each key what it means, its unit, what is allowed, its default, and where that
    comes from. Durations are seconds. Relative paths are relative to the working directory.

    Raises:
        ConfigError: a key is unknown, or its value is not allowed. It names the first such key, and how many more.
    """

    name: str = _key(kinds.NAME, "node", "what people call the node, in logs and tables", "NODE_NAME of macula_gateway")
    mode: Mode = _key(kinds.MODE, Mode.GATEWAY, "what the node does for others", "mode of macula_root")
    realm: str = _key(
        kinds.REALM, "macula.default", "the mesh that the node is of", "MACULA_DEFAULT_REALM of macula.hrl"
    )
    realm_secret: Secret | None = _key(kinds.SECRET, None, "shared by the realm's members; others are not let in")
    realm_secret_file: Path | None = _key(kinds.FILE_OR_NONE, None, "where the secret is, if it is not in realm_secret")
    security: Security = _key(
        kinds.SECURITY, Security.VERIFIED, "verified: peers prove who they are; open: nobody does, for peers of v0.8"
    )
    data_dir: Path | None = _key(
        kinds.FILE_OR_NONE, None, "keeps the node's key, contacts and records; none: in memory only"
    )

    listen: Endpoint | None = _key(
        kinds.ENDPOINT_OR_AUTO, None, "the UDP socket; auto: 0.0.0.0:9443, of an edge 0.0.0.0:0", "gateway_port"
    )
    advertise: Endpoint | Literal["none"] | None = _key(
        kinds.ENDPOINT_OR_OFF,
        None,
        "where others are told to dial; auto: as listen, but a wildcard is nowhere",
        "advertise_endpoint",
    )
    accept_peers: bool = _key(kinds.FLAG, True, "whether others may dial the node")  # noqa: FBT003 -- a default
    deny: tuple[IPv4Network | IPv6Network, ...] = _key(
        kinds.NETWORKS, (), "whose addresses are never dialled, and refused when they dial"
    )
    engine: EngineName = _key(
        kinds.ENGINE, "aioquic", "the QUIC engine; qh3 is an extra; auto: qh3 where installed", "quicer"
    )
    bootstrap: tuple[Endpoint, ...] = _key(
        kinds.ENDPOINTS, (), "nodes to join the mesh by", "bootstrap_nodes of sys.config, which nothing reads"
    )
    gateways: tuple[Endpoint, ...] | None = _key(
        kinds.ENDPOINTS_OR_AUTO, None, "nodes to keep a session with, for relays; auto: those of bootstrap"
    )
    start_gateway: bool | None = _key(
        kinds.FLAG_OR_AUTO, None, "whether there is a gateway; auto: by mode", "start_gateway of macula_root"
    )

    health_host: str = _key(kinds.HOST, "127.0.0.1", "where HTTP for health and metrics listens")
    health_port: int | Literal["none"] | None = _key(
        kinds.HEALTH_PORT, None, "its port; auto: 8080 with a gateway, else none", "health_port of macula_root"
    )
    app: str | None = _key(kinds.APP, None, "a program to run in the node, a def or async def that takes it")
    admin: Path | Literal["none"] | None = _key(
        kinds.PATH_OR_OFF, None, "the Unix socket for the other commands; auto: admin.sock in data_dir"
    )
    log_level: str = _key(kinds.LOG_LEVEL, "INFO", "which log lines are written", "lager's of sys.config")

    strategy: Strategy = _key(
        kinds.STRATEGY, Strategy.RANDOM, "which provider is called first", "macula_provider_selector"
    )
    paths: tuple[CallPath, ...] = _key(
        kinds.PATHS, CALL_PATHS, "the ways by which calls may go; tried in this order always"
    )
    max_hops: int = _key(kinds.HOPS, 10, "of a call that is routed", "MACULA_MAX_HOPS of macula.hrl")
    max_attempts: int = _key(kinds.COUNT, 3, "providers that one call tries", "macula_rpc_handler")
    rpc_timeout: float = _key(kinds.SECONDS, 5.0, "of a call that names none", "MACULA_RPC_CALL_TIMEOUT of macula.hrl")
    max_rpc_timeout: float = _key(kinds.SECONDS, 60.0, "that a peer's call may take")
    max_workers: int = _key(kinds.COUNT, 256, "handlers and forwarded calls at once")
    max_waiting_calls: int = _key(kinds.COUNT, 1024, "calls of others that wait for a worker; one more is refused")
    service_ttl: int = _key(kinds.LIFETIME, 300, "that an advertisement outlives its node", "macula_service_registry")
    cache_ttl: float = _key(kinds.SECONDS, 60.0, "that found providers are taken for true", "macula_service_registry")

    topic_dialect: TopicDialect = _key(
        kinds.TOPIC_DIALECT,
        TopicDialect.DOTTED,
        "how topics are written: a.*.**, a.*.# or a/+/#; alike in the whole realm",
        "macula_client",
    )
    topic_separator: str | None = _key(
        kinds.SEPARATOR_OR_AUTO,
        None,
        "between the segments of a topic; auto: as topic_dialect has it",
        "topic_separator of macula_client",
    )
    topic_wildcard_single: str | None = _key(
        kinds.WILDCARD_OR_AUTO,
        None,
        "the segment of a pattern that is any one; auto: as topic_dialect has it",
        "topic_wildcard_single",
    )
    topic_wildcard_multi: str | None = _key(
        kinds.WILDCARD_OR_AUTO,
        None,
        "the segment of a pattern that is any number; auto: as topic_dialect has it",
        "topic_wildcard_multi",
    )
    publish_timeout: float = _key(
        kinds.SECONDS, 5.0, "of a publication that names none; at most 30 count", "macula_pubsub_qos"
    )
    ack_timeout: float = _key(
        kinds.SECONDS, 2.0, "in which a node acknowledges events, or they are sent again until the deadline"
    )
    max_waiting_events: int = _key(
        kinds.COUNT, 1024, "for one node; then who publishes waits, and a dead node is given up"
    )
    max_queued_events: int = _key(kinds.COUNT, 1024, "for a subscriber that names no bound; then slow_subscriber")
    slow_subscriber: FullPolicy = _key(
        kinds.POLICY, FullPolicy.DROP_OLDEST, "what is done then, if the subscriber names nothing"
    )
    max_subscriptions: int = _key(kinds.COUNT, 10_000, "of this node; one more is refused")
    subscription_ttl: int = _key(
        kinds.LIFETIME, 120, "that a subscription outlives its node", "240 in macula_pubsub_handler"
    )
    max_retained: int = _key(kinds.COUNT, 10_000, "topics whose last value is kept here")

    dht_k: int = _key(kinds.COUNT, 20, "contacts in a bucket, and holders of a record", "dht_k; paper, 2.2")
    dht_alpha: int = _key(kinds.COUNT, 3, "queries in flight in a lookup of nodes", "dht_alpha; paper, 2.3")
    dht_ttl: int = _key(kinds.LIFETIME, 300, "of records that are stored without one", "MACULA_DHT_TTL of macula.hrl")

    max_connections: int = _key(kinds.COUNT, 10_000, "from others", "max_clients of sys.config, which nothing reads")
    max_connections_per_address: int = _key(kinds.COUNT, 256, "from one IPv4 address or IPv6 /64")
    max_pool: int = _key(kinds.COUNT, 1000, "connections kept to others", "max_mesh_connections of macula_gateway_mesh")
    max_clients: int = _key(kinds.COUNT, 10_000, "of the gateway", "macula_gateway_clients")
    idle_timeout: float = _key(kinds.SECONDS, 60.0, "of QUIC: without any packet, the connection is gone")
    pool_idle_timeout: float = _key(
        kinds.SECONDS, 60.0, "of a connection without a message", "macula_connection_pool of v0.10"
    )
    keepalive: float = _key(
        kinds.SECONDS, 15.0, "of silence, then a ping", "keepalive_interval, 30 s; NATs forget sooner"
    )
    bootstrap_health_interval: float = _key(
        kinds.INTERVAL, 60.0, "between two checks of a bootstrap node", "macula_root"
    )

    _origins: dict[str, str] = field(init=False, compare=False)  # by key; of those that are not defaults

    def __init__(self, /, **values: Any) -> None:
        for key, value in _read(values).items():
            object.__setattr__(self, key, value)
        given = (key for key in values if getattr(self, key) != _KEYS[key].default)  # `dataclasses.replace` gives all
        object.__setattr__(self, "_origins", dict.fromkeys(given, "option"))
        self._check()

    @staticmethod
    def keys() -> tuple[str, ...]:
        """Return the names of all keys, in the order of `describe`."""
        return tuple(_KEYS)

    @classmethod
    def load(cls, path: Path | str | None = None, *, environ: Mapping[str, str] | None = None, **options: Any) -> Self:
        """Return the configuration of a node from all sources.

        Args:
            path: a TOML file of keys and values; None: there is none.
            environ: the environment variables; None: those of this process. See `from_environment`.
            options: they go before all others; those that are None are taken for not given.

        Raises:
            ConfigError: as the constructor; the file can't be read or is not TOML; a variable can't be.
        """
        file = Source({}, {}) if path is None else from_toml(Path(path))
        variables = os.environ if environ is None else environ
        listen = file.values.get("listen")
        environment = from_environment(variables, frozenset(_KEYS), None if listen == kinds.AUTO else listen)
        given = {key: value for key, value in options.items() if value is not None}
        try:
            config = cls(**{**file.values, **environment.values, **given})
        except ConfigError as error:
            origin = None if error.key in given else environment.origins.get(error.key)
            if origin is None:
                raise
            raise ConfigError(error.key, error.value, f"{error.allowed} ({origin})") from error
        config._origins.update({**file.origins, **environment.origins, **dict.fromkeys(given, "option")})
        return config

    # What "auto" comes to

    @property
    def has_gateway(self) -> bool:
        """Whether the node runs the gateway system."""
        return self.mode.is_gateway if self.start_gateway is None else self.start_gateway

    @property
    def listen_endpoint(self) -> Endpoint:
        """Where the node's socket is to be bound."""
        return self.listen or Endpoint(_ANYWHERE, 0 if self.mode is Mode.EDGE else DEFAULT_PORT)

    @property
    def gateway_endpoints(self) -> tuple[Endpoint, ...]:
        """The nodes to keep a session with."""
        return self.bootstrap if self.gateways is None else self.gateways

    @property
    def dialect(self) -> Dialect:
        """How topics and patterns are written."""
        usual = DIALECTS[self.topic_dialect]
        return Dialect(
            self.topic_separator or usual.separator,
            self.topic_wildcard_single or usual.one,
            self.topic_wildcard_multi or usual.many,
        )

    @property
    def http_port(self) -> int | None:
        """The port of HTTP; 0 for a free one, None for no HTTP."""
        if self.health_port is None:
            return _HEALTH_PORT if self.has_gateway else None
        return None if self.health_port == OFF else self.health_port

    @property
    def admin_socket(self) -> Path | None:
        """The path of the admin socket; None: there is none."""
        if self.admin is None:
            return None if self.data_dir is None else self.data_dir / ADMIN_SOCKET_NAME
        return None if self.admin == OFF else self.admin

    def advertised(self, bound: Endpoint) -> Endpoint | None:
        """Return where others are told to dial this node, whose socket is ``bound``; None: nowhere.

        A wildcard never comes to loopback: that is advertised only where ``listen`` or ``advertise`` names it.
        """
        if not self.accept_peers and not self.has_gateway:
            return None
        if self.advertise is None:
            return None if is_wildcard(self.listen_endpoint.host) else bound
        if self.advertise == OFF:
            return None
        return Endpoint(self.advertise.host, self.advertise.port or bound.port)

    def read_realm_secret(self) -> bytes | None:
        """Return the realm's secret; None: it has none.

        Raises:
            ConfigError: the file with it can't be read, is empty or too long.
        """
        if self.realm_secret is not None:
            return self.realm_secret.get_secret_value().encode()
        return None if self.realm_secret_file is None else _read_secret(self.realm_secret_file)

    # For people

    def describe(self) -> tuple[Setting, ...]:
        """Return all keys, in a fixed order, with what is known of them; secrets are masked."""
        return tuple(self._setting(key) for key in _KEYS)

    def to_toml(self) -> str:
        """Return a TOML file of the same configuration, but for secrets, which are left out."""
        return "".join(f"{toml_line(each.key, each.value)}\n" for each in self.describe())

    @override
    def __repr__(self) -> str:
        given = (f"{each.key}={each.value!r}" for each in self.describe() if each.origin != "default")
        return f"NodeConfig({', '.join(given)})"

    def _setting(self, key: str) -> Setting:
        known = _KEYS[key]
        kind = known.metadata["kind"]
        return Setting(
            key=key,
            value=_plain(getattr(self, key)),
            origin=self._origins.get(key, "default"),
            meaning=known.metadata["meaning"],
            unit=kind.unit,
            allowed=kind.allowed,
            default=_plain(known.default),
            source=known.metadata["source"],
        )

    def _check(self) -> None:
        """Check what concerns more than one key."""
        if self.realm_secret is not None and self.realm_secret_file is not None:
            raise ConfigError("realm_secret_file", self.realm_secret_file, "allowed: none, for there is a realm_secret")
        has_secret = self.realm_secret is not None or self.realm_secret_file is not None
        if has_secret and self.security is Security.OPEN:
            raise ConfigError("security", self.security, "allowed: verified, for the realm has a secret")
        try:
            _ = self.dialect
        except ValueError as error:
            keys = ("topic_wildcard_multi", "topic_wildcard_single", "topic_separator")
            key = next(key for key in keys if getattr(self, key) is not None)
            raise ConfigError(key, getattr(self, key), f"allowed: what goes with the others ({error})") from error
        socket = self.admin_socket
        if socket is not None and len(os.fsencode(socket)) > _MAX_SOCKET_PATH:
            where = " (auto is in data_dir)" if self.admin is None else ""
            raise ConfigError("admin", socket, f"allowed: a path of at most {_MAX_SOCKET_PATH} bytes, none{where}")


_KEYS: Final = {each.name: each for each in fields(NodeConfig) if each.metadata}


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each key, given or not."""
    read, wrong = dict[str, Any](), dict[str, Any]()
    for key, known in _KEYS.items():
        value = values.get(key, known.default)
        try:
            read[key] = known.metadata["kind"].read(value)
        except ValueError:  # it may quote a secret
            wrong[key] = value
    wrong |= {key: value for key, value in values.items() if key not in _KEYS}
    if wrong:
        raise _config_error(wrong)
    return read


def _config_error(wrong: Mapping[str, Any]) -> ConfigError:
    key, value = next(iter(wrong.items()))
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    if key not in _KEYS:
        return ConfigError(_shown(key)[:_MAX_KEY], masked(key, _shown(value)), f"no such key{_meant(key)}{more}")
    shown, kind = masked(key, _shown(value)), _KEYS[key].metadata["kind"]
    return ConfigError(key, shown, f"allowed: {kind.allowed}{more}")


def _meant(key: str) -> str:
    close = get_close_matches(key, _KEYS, n=1)
    return f"; did you mean {close[0]}?" if close else "; `macula config --keys` lists them"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"  # which may hold a secret
    try:
        return " ".join(str(value).split())
    except (ValueError, RecursionError):
        return "(too long a number)"  # int -> text has a limit


def _plain(value: object) -> Any:
    """Return ``value`` as TOML has it, and None."""
    match value:
        case None | bool() | int() | float():
            return value
        case StrEnum():
            return value.value
        case tuple():
            return [_plain(each) for each in value]
        case _:
            return str(value)


def _read_secret(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            secret = file.read(_MAX_SECRET_BYTES + 1).strip()
    except OSError as error:
        raise ConfigError("realm_secret_file", path, f"allowed: a file that can be read ({error.strerror})") from error
    if not 0 < len(secret) <= _MAX_SECRET_BYTES:
        raise ConfigError("realm_secret_file", path, f"allowed: a file of 1 to {_MAX_SECRET_BYTES} bytes")
    return secret
