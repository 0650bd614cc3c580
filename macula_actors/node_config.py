"""What a node is told: its mode, its realm, where it listens, whom it joins, and its limits.

Erlang: the application keys and environment variables of macula_root and macula_gateway_system, most of which nothing
reads there.

A `NodeConfig` made by its constructor holds what it is given, and defaults: it reads neither the environment nor any
file, so that a program or a test is the same everywhere. Only `NodeConfig.load` reads them, as ``macula node`` does:
options go before the environment, that before the TOML file, and that before the defaults.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from typing_extensions import override

from macula_actors.config_sources import MASK, Setting, Source, from_environment, from_toml, toml_line
from macula_actors.config_values import (
    CALL_PATHS,
    DIALECTS,
    OFF,
    AppName,
    CallPaths,
    Count,
    EndpointOrAuto,
    EndpointOrOff,
    Endpoints,
    EndpointsOrAuto,
    Engine,
    FileOrNone,
    Flag,
    FlagOrAuto,
    HealthPort,
    Hops,
    Host,
    Kind,
    Lifetime,
    LogLevel,
    Mode,
    ModeName,
    Networks,
    NodeName,
    PathOrOff,
    PolicyName,
    RealmName,
    Seconds,
    Secret,
    SecurityName,
    SeparatorOrAuto,
    StrategyName,
    TopicDialect,
    TopicDialectName,
    WildcardOrAuto,
    is_wildcard,
)
from macula_actors.core.endpoint import DEFAULT_PORT, Endpoint
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.topic import Dialect
from macula_actors.core.rpc.selector import Strategy
from macula_actors.errors import ConfigError

__all__ = ["ADMIN_SOCKET_NAME", "Mode", "NodeConfig"]

ADMIN_SOCKET_NAME: Final = "admin.sock"  # in data_dir

_HEALTH_PORT: Final = 8080  # macula_root
_MAX_SOCKET_PATH: Final = 103  # bytes; sun_path of unix(7) has 108, that of macOS 104, each with a NUL
_MAX_SECRET_BYTES: Final = 4096
_MAX_KEY: Final = 64  # characters of an unknown key that are shown
_ANYWHERE: Final = "0.0.0.0"  # noqa: S104 -- macula_gateway listens so


def _key(default: Any, meaning: str, source: str = "ours") -> Any:
    return Field(default, description=meaning, json_schema_extra={"source": source})


class NodeConfig(BaseModel):  # noqa: PLW1641 -- pydantic hashes what is frozen
    """The configuration of one node; frozen. Values are given as they are, or as text: ``"127.0.0.1:0"``.

    ``"auto"`` or None leaves a key to the node, and the properties say what that comes to; ``"none"`` switches off what
    the key names. `describe` says of each key what it means, its unit, what is allowed, its default, and where that
    comes from. Durations are seconds. Relative paths are relative to the working directory.

    Raises:
        ConfigError: a key is unknown, or its value is not allowed. It names the first such key, and how many more.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )

    name: NodeName = _key("node", "what people call the node, in logs and tables", "NODE_NAME of macula_gateway")
    mode: ModeName = _key(Mode.GATEWAY, "what the node does for others", "mode of macula_root")
    realm: RealmName = _key("macula.default", "the mesh that the node is of", "MACULA_DEFAULT_REALM of macula.hrl")
    realm_secret: Secret = _key(None, "shared by the realm's members; others are not let in")
    realm_secret_file: FileOrNone = _key(None, "where the secret is, if it is not in realm_secret")
    security: SecurityName = _key(
        Security.VERIFIED, "verified: peers prove who they are; open: nobody does, for peers of v0.8"
    )
    data_dir: FileOrNone = _key(None, "keeps the node's key, contacts and records; none: in memory only")

    listen: EndpointOrAuto = _key(None, "the UDP socket; auto: 0.0.0.0:9443, of an edge 0.0.0.0:0", "gateway_port")
    advertise: EndpointOrOff = _key(
        None, "where others are told to dial; auto: as listen, but a wildcard is nowhere", "advertise_endpoint"
    )
    accept_peers: Flag = _key(default=True, meaning="whether others may dial the node")
    deny: Networks = _key((), "whose addresses are never dialled, and refused when they dial")
    engine: Engine = _key("aioquic", "the QUIC engine; qh3 is an extra; auto: qh3 where installed", "quicer")
    bootstrap: Endpoints = _key((), "nodes to join the mesh by", "bootstrap_nodes of sys.config, which nothing reads")
    gateways: EndpointsOrAuto = _key(None, "nodes to keep a session with, for relays; auto: those of bootstrap")
    start_gateway: FlagOrAuto = _key(None, "whether there is a gateway; auto: by mode", "start_gateway of macula_root")

    health_host: Host = _key("127.0.0.1", "where HTTP for health and metrics listens")
    health_port: HealthPort = _key(None, "its port; auto: 8080 with a gateway, else none", "health_port of macula_root")
    app: AppName = _key(None, "a program to run in the node, a def or async def that takes it")
    admin: PathOrOff = _key(None, "the Unix socket for the other commands; auto: admin.sock in data_dir")
    log_level: LogLevel = _key("INFO", "which log lines are written", "lager's of sys.config")

    strategy: StrategyName = _key(Strategy.RANDOM, "which provider is called first", "macula_provider_selector")
    paths: CallPaths = _key(CALL_PATHS, "the ways by which calls may go; tried in this order always")
    max_hops: Hops = _key(10, "of a call that is routed", "MACULA_MAX_HOPS of macula.hrl")
    max_attempts: Count = _key(3, "providers that one call tries", "macula_rpc_handler")
    rpc_timeout: Seconds = _key(5.0, "of a call that names none", "MACULA_RPC_CALL_TIMEOUT of macula.hrl")
    max_rpc_timeout: Seconds = _key(60.0, "that a peer's call may take")
    max_workers: Count = _key(256, "handlers and forwarded calls at once")
    max_waiting_calls: Count = _key(1024, "calls of others that wait for a worker; one more is refused")
    service_ttl: Lifetime = _key(300, "that an advertisement outlives its node", "macula_service_registry")
    cache_ttl: Seconds = _key(60.0, "that found providers are taken for true", "macula_service_registry")

    topic_dialect: TopicDialectName = _key(
        TopicDialect.DOTTED, "how topics are written: a.*.**, a.*.# or a/+/#; alike in the whole realm", "macula_client"
    )
    topic_separator: SeparatorOrAuto = _key(
        None, "between the segments of a topic; auto: as topic_dialect has it", "topic_separator of macula_client"
    )
    topic_wildcard_single: WildcardOrAuto = _key(
        None, "the segment of a pattern that is any one; auto: as topic_dialect has it", "topic_wildcard_single"
    )
    topic_wildcard_multi: WildcardOrAuto = _key(
        None, "the segment of a pattern that is any number; auto: as topic_dialect has it", "topic_wildcard_multi"
    )
    publish_timeout: Seconds = _key(5.0, "of a publication that names none; at most 30 count", "macula_pubsub_qos")
    ack_timeout: Seconds = _key(2.0, "in which a node acknowledges events, or they are sent again until the deadline")
    max_waiting_events: Count = _key(1024, "for one node; then who publishes waits, and a dead node is given up")
    max_queued_events: Count = _key(1024, "for a subscriber that names no bound; then slow_subscriber")
    slow_subscriber: PolicyName = _key(FullPolicy.DROP_OLDEST, "what is done then, if the subscriber names nothing")
    max_subscriptions: Count = _key(10_000, "of this node; one more is refused")
    subscription_ttl: Lifetime = _key(120, "that a subscription outlives its node", "240 in macula_pubsub_handler")
    max_retained: Count = _key(10_000, "topics whose last value is kept here")

    dht_k: Count = _key(20, "contacts in a bucket, and holders of a record", "dht_k; paper, 2.2")
    dht_alpha: Count = _key(3, "queries in flight in a lookup of nodes", "dht_alpha; paper, 2.3")
    dht_ttl: Lifetime = _key(300, "of records that are stored without one", "MACULA_DHT_TTL of macula.hrl")

    max_connections: Count = _key(10_000, "from others", "max_clients of sys.config, which nothing reads")
    max_connections_per_address: Count = _key(256, "from one IPv4 address or IPv6 /64")
    max_pool: Count = _key(1000, "connections kept to others", "max_mesh_connections of macula_gateway_mesh")
    max_clients: Count = _key(10_000, "of the gateway", "macula_gateway_clients")
    idle_timeout: Seconds = _key(60.0, "of QUIC: without any packet, the connection is gone")
    pool_idle_timeout: Seconds = _key(60.0, "of a connection without a message", "macula_connection_pool of v0.10")
    keepalive: Seconds = _key(15.0, "of silence, then a ping", "keepalive_interval, 30 s; NATs forget sooner")
    bootstrap_health_interval: Seconds = _key(60.0, "between two checks of a bootstrap node", "macula_root")

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _config_error(error) from None  # it quotes secrets
        self._origins = dict.fromkeys(values, "option")
        self._check()

    @classmethod
    def load(cls, path: Path | None = None, *, environ: Mapping[str, str] | None = None, **options: Any) -> Self:
        """Return the configuration of a node from all sources.

        Args:
            path: a TOML file of keys and values; None: there is none.
            environ: the environment variables; None: those of this process. See `from_environment`.
            options: they go before all others; those that are None are taken for not given.

        Raises:
            ConfigError: as the constructor; the file can't be read or is not TOML; a variable can't be.
        """
        file = Source({}, {}) if path is None else from_toml(path)
        variables = os.environ if environ is None else environ
        environment = from_environment(variables, frozenset(cls.model_fields), file.values.get("listen"))
        given = {key: value for key, value in options.items() if value is not None}
        config = cls(**{**file.values, **environment.values, **given})
        config._origins = {**file.origins, **environment.origins, **dict.fromkeys(given, "option")}
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
        return tuple(self._setting(key) for key in type(self).model_fields)

    def to_toml(self) -> str:
        """Return a TOML file of the same configuration, but for secrets, which are left out."""
        return "".join(f"{toml_line(each.key, each.value)}\n" for each in self.describe())

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeConfig) and dict(self) == dict(other)  # wherever the values are from

    @override
    def __repr__(self) -> str:
        given = (f"{each.key}={each.value!r}" for each in self.describe() if each.origin != "default")
        return f"NodeConfig({', '.join(given)})"

    __str__ = __repr__

    def _setting(self, key: str) -> Setting:
        field = type(self).model_fields[key]
        kind = _kind(key)
        extra = field.json_schema_extra
        return Setting(
            key=key,
            value=_plain(getattr(self, key)),
            origin=self._origins.get(key, "default"),
            meaning=field.description or "",
            unit=kind.unit,
            allowed=kind.allowed,
            default=_plain(field.default),
            source=str(extra["source"]) if isinstance(extra, dict) else "",
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
            wildcards = f"{self.topic_wildcard_single} {self.topic_wildcard_multi}"
            raise ConfigError("topic_wildcard_multi", wildcards, f"allowed: {error}") from error
        socket = self.admin_socket
        if socket is not None and len(os.fsencode(socket)) > _MAX_SOCKET_PATH:
            raise ConfigError("admin", socket, f"allowed: a path of at most {_MAX_SOCKET_PATH} bytes, none")


def _kind(key: str) -> Kind:
    return next(each for each in NodeConfig.model_fields[key].metadata if isinstance(each, Kind))


def _config_error(error: ValidationError) -> ConfigError:
    problems = error.errors(include_url=False, include_context=False)
    key, value = str(problems[0]["loc"][0]), problems[0]["input"]
    more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
    if key not in NodeConfig.model_fields:
        return ConfigError(_shown(key)[:_MAX_KEY], _shown(value), f"no such key{_meant(key)}{more}")
    shown = MASK if key == "realm_secret" else _shown(value)
    return ConfigError(key, shown, f"allowed: {_kind(key).allowed}{more}")


def _meant(key: str) -> str:
    close = get_close_matches(key, NodeConfig.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else "; `macula config --keys` lists them"


def _shown(value: object) -> str:
    try:
        return " ".join(str(value).split())
    except (ValueError, RecursionError):
        return "(too long a number)"  # int -> text has a limit


def _plain(value: object) -> Any:
    """Return ``value`` as TOML has it, and None."""
    match value:
        case None | bool() | int() | float():
            return value
        case SecretStr():
            return MASK
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
