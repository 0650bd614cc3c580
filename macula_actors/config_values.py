"""The kinds of values that a configuration may have: each is read as it is or from text, and says what it allows.

Each reader takes any value and raises ``ValueError`` alone, with a text that says what is allowed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

from macula_actors.core import realm
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.kademlia.record import MAX_TTL, MIN_TTL
from macula_actors.core.names import is_segment
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.topic import DOTTED, HASH, MQTT, Dialect, is_separator
from macula_actors.core.rpc.call_plan import Path as CallPath
from macula_actors.core.rpc.routing import MAX_HOPS
from macula_actors.core.rpc.selector import Strategy
from macula_actors.core.secret import Secret
from macula_actors.transport.engines import EngineName

__all__ = [
    "APP",
    "AUTO",
    "CALL_PATHS",
    "COUNT",
    "DIALECTS",
    "ENDPOINTS",
    "ENDPOINTS_OR_AUTO",
    "ENDPOINT_OR_AUTO",
    "ENDPOINT_OR_OFF",
    "ENGINE",
    "FILE_OR_NONE",
    "FLAG",
    "FLAG_OR_AUTO",
    "HEALTH_PORT",
    "HOPS",
    "HOST",
    "INTERVAL",
    "LIFETIME",
    "LOG_LEVEL",
    "MAX_SECONDS",
    "MODE",
    "NAME",
    "NETWORKS",
    "OFF",
    "PATHS",
    "PATH_OR_OFF",
    "POLICY",
    "REALM",
    "SECONDS",
    "SECRET",
    "SECURITY",
    "SEPARATOR_OR_AUTO",
    "STRATEGY",
    "TOPIC_DIALECT",
    "WILDCARD_OR_AUTO",
    "Kind",
    "Mode",
    "TopicDialect",
    "is_wildcard",
]

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

AUTO: Final = "auto"  # as text: the node finds it out
OFF: Final = "none"  # as text: nothing of the kind
MAX_SECONDS: Final = 31_536_000  # a year
MIN_INTERVAL: Final = 0.01  # seconds between two of what is done again and again
CALL_PATHS: Final = tuple(CallPath)  # in the order in which they are tried

_MAX_COUNT: Final = 1_000_000_000
_MAX_PORT: Final = 65535
_MAX_WILDCARD: Final = 16  # characters
_MAX_TEXT: Final = 4096  # characters; PATH_MAX of Linux
_MAX_LISTED: Final = 1024  # of one key
_MAX_NAME: Final = 64  # characters


class Mode(StrEnum):
    """What a node does for others. Erlang: macula_root:get_mode/0."""

    BOOTSTRAP = "bootstrap"  # others join by it
    GATEWAY = "gateway"  # it has clients, for which it relays
    EDGE = "edge"
    HYBRID = "hybrid"  # bootstrap and gateway

    @property
    def is_gateway(self) -> bool:
        """Whether nodes of this mode run a gateway unless told otherwise."""
        return self in {Mode.GATEWAY, Mode.HYBRID}

    @property
    def is_bootstrap(self) -> bool:
        """Whether nodes of this mode run the bootstrap system."""
        return self in {Mode.BOOTSTRAP, Mode.HYBRID}


class TopicDialect(StrEnum):
    """How topics and patterns are written; see `DIALECTS`."""

    DOTTED = "dotted"  # a.*.**
    HASH = "hash"  # a.*.#
    MQTT = "mqtt"  # a/+/#


DIALECTS: Final[Mapping[TopicDialect, Dialect]] = {
    TopicDialect.DOTTED: DOTTED,
    TopicDialect.HASH: HASH,
    TopicDialect.MQTT: MQTT,
}


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of values.

    Args:
        read: returns any of them as it is, or from text; raises ``ValueError`` alone.
        allowed: which there are, in words.
        unit: of a number; empty if it has none.
    """

    read: Callable[[object], T]
    allowed: str
    unit: str = ""


def is_wildcard(host: str) -> bool:
    """Tell whether ``host`` stands for every address of the machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _require(value: object, kind: type[T]) -> T:
    # a bool is an int for Python, but for nobody who writes `dht_k = true`
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"not {kind.__name__}")
    return value


def _text(value: object) -> str:
    text = _require(value, str).strip()
    if not 0 < len(text) <= _MAX_TEXT or not text.isprintable():
        raise ValueError(f"a text of 1 to {_MAX_TEXT} printable characters is needed")
    return text


def _or_auto(read: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value is None or value == AUTO else read(value)


def _or_off(read: Callable[[object], T]) -> Callable[[object], T | Literal["none"]]:
    return lambda value: "none" if value == OFF else read(value)


def _member(kind: type[E]) -> Callable[[object], E]:
    return lambda value: kind(_text(value))


def _engine(value: object) -> EngineName:
    match _text(value):
        case ("aioquic" | "qh3" | "auto") as name:
            return name
        case _:
            raise ValueError("no such engine")


def _name(value: object) -> str:
    text = _text(value)
    if len(text) > _MAX_NAME:
        raise ValueError("too long")
    return text


def _realm(value: object) -> str:
    text = _text(value)
    realm.validate(text)
    return text


def _endpoint(value: object) -> Endpoint:
    return value if isinstance(value, Endpoint) else Endpoint.parse(_text(value))


def _advertised(value: object) -> Endpoint:
    endpoint = value if isinstance(value, Endpoint) else Endpoint.parse(_text(value), default_port=0)
    if is_wildcard(endpoint.host):
        raise ValueError("a wildcard is nowhere")
    return endpoint


def _peer(value: object) -> Endpoint:
    endpoint = _endpoint(value)
    if not endpoint.port or is_wildcard(endpoint.host):
        raise ValueError("nobody can be there")
    return endpoint


def _network(value: object) -> IPv4Network | IPv6Network:
    return value if isinstance(value, IPv4Network | IPv6Network) else ip_network(_text(value))


def _each(read: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Return a reader of lists, and of texts with commas; each value once, in order."""

    def read_all(value: object) -> tuple[T, ...]:
        if isinstance(value, str):
            value = () if value in {"", OFF} else value.split(",")
        items = value if isinstance(value, tuple) else _require(value, list)
        if len(items) > _MAX_LISTED:
            raise ValueError(f"more than {_MAX_LISTED}")
        return tuple(dict.fromkeys(map(read, items)))

    return read_all


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    flags = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    text = _text(value).lower()
    if text not in flags:
        raise ValueError("neither true nor false")
    return flags[text]


def _digits(value: str) -> str:
    """Return ``value``, which Python may read as a number; it reads 1_000 and other scripts' digits, too."""
    text = _text(value)
    if not text.isascii() or "_" in text:
        raise ValueError("no number")
    return text


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = int(_digits(value)) if isinstance(value, str) else _require(value, int)
        if not low <= number <= high:
            raise ValueError("out of range")
        return number

    return read


def _seconds(value: object) -> float:
    if isinstance(value, int):
        return float(_whole(1, MAX_SECONDS)(value))
    number = float(_digits(value)) if isinstance(value, str) else _require(value, float)
    if not 0 < number <= MAX_SECONDS:  # nor not-a-number
        raise ValueError("out of range")
    return number


def _interval(value: object) -> float:
    seconds = _seconds(value)
    if seconds < MIN_INTERVAL:
        raise ValueError("too short")
    return seconds


def _host(value: object) -> str:
    return Endpoint(_text(value), 0).host


def _file(value: object) -> Path | None:
    return None if value is None or value == OFF else _path(value)


def _path(value: object) -> Path:
    path = value if isinstance(value, Path) else Path(_text(value))
    _text(str(path))
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("whose home directory that is, is not known") from error


def _secret(value: object) -> Secret | None:
    if value is None:
        return None
    return Secret(_text(value.get_secret_value() if isinstance(value, Secret) else value))


def _paths(value: object) -> tuple[CallPath, ...]:
    chosen = _each(_member(CallPath))(value)
    if not chosen:
        raise ValueError("without a path, no call arrives")
    return tuple(path for path in CALL_PATHS if path in chosen)


def _app(value: object) -> str | None:
    if value is None or value == OFF:
        return None
    text = _text(value)
    module, _, function = text.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError
    return text


def _log_level(value: object) -> str:
    level = _text(value).upper()
    if level not in _LOG_LEVELS:
        raise ValueError("no such level")
    return level


def _separator(value: object) -> str:
    text = _text(value)
    if not is_separator(text):
        raise ValueError("topics could not be told from it")
    return text


def _topic_wildcard(value: object) -> str:
    text = _text(value)
    if len(text) > _MAX_WILDCARD or is_segment(text):
        raise ValueError("topics could not be told from it")
    return text


def _one_of(members: type[E]) -> Kind[E]:
    return Kind(_member(members), ", ".join(members))


_LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")  # loguru's
_ENDPOINT: Final = "host:port, [IPv6]:port"
_LIST: Final = "a list of {}; as text, with commas"

MODE: Final = _one_of(Mode)
SECURITY: Final = _one_of(Security)
STRATEGY: Final = _one_of(Strategy)
POLICY: Final = _one_of(FullPolicy)
TOPIC_DIALECT: Final = _one_of(TopicDialect)
SEPARATOR_OR_AUTO: Final = Kind(_or_auto(_separator), "one character, no letter, digit or space, auto")
WILDCARD_OR_AUTO: Final = Kind(
    _or_auto(_topic_wildcard), f"1 to {_MAX_WILDCARD} characters that are not only letters, digits, '_' and '-', auto"
)
ENGINE: Final = Kind(_engine, "aioquic, qh3, auto")
APP: Final = Kind(_app, "MODULE:FUNCTION, none")
LOG_LEVEL: Final = Kind(_log_level, ", ".join(_LOG_LEVELS))
NAME: Final = Kind(_name, f"1 to {_MAX_NAME} printable characters")
REALM: Final = Kind(_realm, "ASCII letters, digits, '_' and '-', in parts joined by dots, 255 in all")
SECRET: Final = Kind(_secret, "a text, best 32 random bytes in hex")
ENDPOINT_OR_AUTO: Final = Kind(_or_auto(_endpoint), f"{_ENDPOINT}, port 0 for a free one, auto")
ENDPOINT_OR_OFF: Final = Kind(
    _or_auto(_or_off(_advertised)), f"{_ENDPOINT}, host alone (with the port listened on), auto, none"
)
ENDPOINTS: Final = Kind(_each(_peer), _LIST.format(_ENDPOINT))
ENDPOINTS_OR_AUTO: Final = Kind(_or_auto(_each(_peer)), _LIST.format(_ENDPOINT) + ", auto")
NETWORKS: Final = Kind(_each(_network), _LIST.format("networks such as 10.0.0.0/8"))
PATHS: Final = Kind(_paths, _LIST.format(", ".join(CALL_PATHS)) + ", one at least")
FLAG: Final = Kind(_flag, "true, false")
FLAG_OR_AUTO: Final = Kind(_or_auto(_flag), "true, false, auto")
COUNT: Final = Kind(_whole(1, _MAX_COUNT), f"a whole number from 1 to {_MAX_COUNT}")
HOPS: Final = Kind(_whole(1, MAX_HOPS), f"a whole number from 1 to {MAX_HOPS}")
LIFETIME: Final = Kind(_whole(MIN_TTL, MAX_TTL), f"a whole number from {MIN_TTL} to {MAX_TTL}", "s")
SECONDS: Final = Kind(_seconds, f"a number above 0, at most {MAX_SECONDS}", "s")
INTERVAL: Final = Kind(_interval, f"a number from {MIN_INTERVAL} to {MAX_SECONDS}", "s")
HOST: Final = Kind(_host, "a DNS name or an IP address")
HEALTH_PORT: Final = Kind(_or_auto(_or_off(_whole(0, _MAX_PORT))), f"0 (a free one) to {_MAX_PORT}, auto, none")
FILE_OR_NONE: Final = Kind(_file, "a path, none")
PATH_OR_OFF: Final = Kind(_or_auto(_or_off(_path)), "a path, auto, none")
