"""The kinds of values that a configuration may have: each is read as it is or from text, and says what it allows.

Each reader takes any value and raises ``ValueError`` alone, with a text that says what is allowed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import PlainValidator, SecretStr

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

__all__ = [
    "AUTO",
    "CALL_PATHS",
    "DIALECTS",
    "MAX_SECONDS",
    "OFF",
    "AppName",
    "CallPaths",
    "Count",
    "EndpointOrAuto",
    "EndpointOrOff",
    "Endpoints",
    "EndpointsOrAuto",
    "Engine",
    "FileOrNone",
    "Flag",
    "FlagOrAuto",
    "HealthPort",
    "Hops",
    "Host",
    "Kind",
    "Lifetime",
    "LogLevel",
    "Mode",
    "ModeName",
    "Networks",
    "NodeName",
    "PathOrOff",
    "PolicyName",
    "RealmName",
    "Seconds",
    "Secret",
    "SecurityName",
    "SeparatorOrAuto",
    "StrategyName",
    "TopicDialect",
    "TopicDialectName",
    "WildcardOrAuto",
    "is_wildcard",
]

T = TypeVar("T")

AUTO: Final = "auto"  # as text: the node finds it out
OFF: Final = "none"  # as text: nothing of the kind
MAX_SECONDS: Final = 31_536_000  # a year
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
class Kind:
    """Metadata of a type: what values are allowed, in words, and their unit."""

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


def _choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        if text not in choices:
            raise ValueError(f"no such choice: {text[:40]}")
        return text

    return read


def _member(kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    return lambda value: kind(_text(value))


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


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = int(_text(value)) if isinstance(value, str) else _require(value, int)
        if not low <= number <= high:
            raise ValueError("out of range")
        return number

    return read


def _seconds(value: object) -> float:
    if isinstance(value, int):
        return float(_whole(1, MAX_SECONDS)(value))
    number = float(_text(value)) if isinstance(value, str) else _require(value, float)
    if not 0 < number <= MAX_SECONDS:  # nor not-a-number
        raise ValueError("out of range")
    return number


def _host(value: object) -> str:
    return Endpoint(_text(value), 0).host


def _path(value: object) -> Path:
    path = value if isinstance(value, Path) else Path(_text(value))
    _text(str(path))
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("whose home directory that is, is not known") from error


def _secret(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return SecretStr(_text(text))


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
    return _choice(*_LOG_LEVELS)(_text(value).upper())


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


def _names(kind: type[StrEnum]) -> str:
    return ", ".join(kind)


_LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")  # loguru's
_ENDPOINT: Final = "host:port, [IPv6]:port"
_LIST: Final = "a list of {}; as text, with commas"

ModeName: TypeAlias = Annotated[Mode, PlainValidator(_member(Mode)), Kind(_names(Mode))]
SecurityName: TypeAlias = Annotated[Security, PlainValidator(_member(Security)), Kind(_names(Security))]
StrategyName: TypeAlias = Annotated[Strategy, PlainValidator(_member(Strategy)), Kind(_names(Strategy))]
PolicyName: TypeAlias = Annotated[FullPolicy, PlainValidator(_member(FullPolicy)), Kind(_names(FullPolicy))]
TopicDialectName: TypeAlias = Annotated[TopicDialect, PlainValidator(_member(TopicDialect)), Kind(_names(TopicDialect))]
SeparatorOrAuto: TypeAlias = Annotated[
    str | None, PlainValidator(_or_auto(_separator)), Kind("one character, no letter, digit or space, auto")
]
WildcardOrAuto: TypeAlias = Annotated[
    str | None,
    PlainValidator(_or_auto(_topic_wildcard)),
    Kind(f"1 to {_MAX_WILDCARD} characters that are not only letters, digits, '_' and '-', auto"),
]
Engine: TypeAlias = Annotated[
    Literal["aioquic", "qh3", "auto"], PlainValidator(_choice("aioquic", "qh3", AUTO)), Kind("aioquic, qh3, auto")
]
AppName: TypeAlias = Annotated[str | None, PlainValidator(_app), Kind("MODULE:FUNCTION, none")]
LogLevel: TypeAlias = Annotated[str, PlainValidator(_log_level), Kind(", ".join(_LOG_LEVELS))]
NodeName: TypeAlias = Annotated[str, PlainValidator(_name), Kind(f"1 to {_MAX_NAME} printable characters")]
RealmName: TypeAlias = Annotated[
    str, PlainValidator(_realm), Kind("ASCII letters, digits, '_' and '-', in parts joined by dots, 255 in all")
]
Secret: TypeAlias = Annotated[
    SecretStr | None,
    PlainValidator(lambda value: None if value is None else _secret(value)),
    Kind("a text, best 32 random bytes in hex"),
]
EndpointOrAuto: TypeAlias = Annotated[
    Endpoint | None, PlainValidator(_or_auto(_endpoint)), Kind(f"{_ENDPOINT}, port 0 for a free one, auto")
]
EndpointOrOff: TypeAlias = Annotated[
    Endpoint | Literal["none"] | None,
    PlainValidator(_or_auto(_or_off(_advertised))),
    Kind(f"{_ENDPOINT}, host alone (with the port listened on), auto, none"),
]
Endpoints: TypeAlias = Annotated[tuple[Endpoint, ...], PlainValidator(_each(_peer)), Kind(_LIST.format(_ENDPOINT))]
EndpointsOrAuto: TypeAlias = Annotated[
    tuple[Endpoint, ...] | None, PlainValidator(_or_auto(_each(_peer))), Kind(_LIST.format(_ENDPOINT) + ", auto")
]
Networks: TypeAlias = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    PlainValidator(_each(_network)),
    Kind(_LIST.format("networks such as 10.0.0.0/8")),
]
CallPaths: TypeAlias = Annotated[
    tuple[CallPath, ...], PlainValidator(_paths), Kind(_LIST.format(", ".join(CALL_PATHS)) + ", one at least")
]
Flag: TypeAlias = Annotated[bool, PlainValidator(_flag), Kind("true, false")]
FlagOrAuto: TypeAlias = Annotated[bool | None, PlainValidator(_or_auto(_flag)), Kind("true, false, auto")]
Count: TypeAlias = Annotated[int, PlainValidator(_whole(1, _MAX_COUNT)), Kind(f"a whole number from 1 to {_MAX_COUNT}")]
Hops: TypeAlias = Annotated[int, PlainValidator(_whole(1, MAX_HOPS)), Kind(f"a whole number from 1 to {MAX_HOPS}")]
Lifetime: TypeAlias = Annotated[
    int, PlainValidator(_whole(MIN_TTL, MAX_TTL)), Kind(f"a whole number from {MIN_TTL} to {MAX_TTL}", "s")
]
Seconds: TypeAlias = Annotated[float, PlainValidator(_seconds), Kind(f"a number above 0, at most {MAX_SECONDS}", "s")]
Host: TypeAlias = Annotated[str, PlainValidator(_host), Kind("a DNS name or an IP address")]
HealthPort: TypeAlias = Annotated[
    int | Literal["none"] | None,
    PlainValidator(_or_auto(_or_off(_whole(0, _MAX_PORT)))),
    Kind(f"0 (a free one) to {_MAX_PORT}, auto, none"),
]
FileOrNone: TypeAlias = Annotated[
    Path | None,
    PlainValidator(lambda value: None if value is None or value == OFF else _path(value)),
    Kind("a path, none"),
]
PathOrOff: TypeAlias = Annotated[
    Path | Literal["none"] | None, PlainValidator(_or_auto(_or_off(_path))), Kind("a path, auto, none")
]
