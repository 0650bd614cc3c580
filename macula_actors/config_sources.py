"""Where a configuration comes from: environment variables and TOML files; and how it is written down again.

Erlang: macula_gateway_system:get_port/0 and the like, and the images' entry points.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from macula_actors.core.endpoint import Endpoint
from macula_actors.core.secret import MASK, masked
from macula_actors.errors import ConfigError

__all__ = ["PREFIX", "Setting", "Source", "from_environment", "from_toml", "toml_line"]

PREFIX: Final = "MACULA_"

_MAX_FILE_BYTES: Final = 1_048_576
_NOT_SETTINGS: Final = frozenset({"MACULA_CONFIG", "MACULA_VECTORS"})  # for the command line, for the conformance tests
_ANYWHERE: Final = "0.0.0.0"  # noqa: S104 -- macula_gateway listens so
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Source:
    """Values by key, not checked yet, and by key what people call the place that each is from."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key, for people and for programs.

    Args:
        key: its name.
        value: what is configured, as TOML has it; secrets are masked, None is "auto".
        origin: where the value is from.
        meaning: what it is for.
        unit: of a number; empty if it has none.
        allowed: which values may be there, in words.
        default: the value if nobody says anything, as TOML has it.
        source: where the default comes from.
    """

    key: str
    value: Any
    origin: str
    meaning: str
    unit: str
    allowed: str
    default: Any
    source: str


def from_environment(environ: Mapping[str, str], keys: frozenset[str], listen: object) -> Source:
    """Return what ``environ`` sets: ``MACULA_<KEY>`` for each key, and upstream's variables.

    ``GATEWAY_PORT`` is the port of ``listen``, ``HEALTH_PORT`` health_port, ``NODE_NAME`` name, ``NODE_HOST`` the host
    of advertise. ``MACULA_<KEY>`` goes before them. Empty variables count as not there. ``MODE`` is not read, as
    upstream doesn't; ``TLS_CERT_FILE`` and ``TLS_KEY_FILE`` neither: a node's certificate is made of its key.

    Args:
        environ: the variables.
        keys: those of the configuration.
        listen: what the file says of it, whose host GATEWAY_PORT leaves as it is.

    Raises:
        ConfigError: there is a ``MACULA_`` variable of no key, NODE_ID, or a GATEWAY_PORT that is no port.
    """
    present = {name: value for name, value in environ.items() if value.strip() and name not in _NOT_SETTINGS}
    if "NODE_ID" in present:
        raise ConfigError("NODE_ID", present["NODE_ID"], "a node's id is made of its key: unset it, and keep data_dir")
    found = dict(_upstream(present, listen))
    for name, value in present.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            if key not in keys:
                raise ConfigError(
                    name, masked(name, value), "no such variable; those with MACULA_ are keys of the configuration"
                )
            found[key] = (name, value)
    return Source(
        {key: value for key, (_, value) in found.items()},
        {key: f"environment, {name}" for key, (name, _) in found.items()},
    )


def _upstream(present: Mapping[str, str], listen: object) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for name, key in (("NODE_NAME", "name"), ("NODE_HOST", "advertise"), ("HEALTH_PORT", "health_port")):
        if name in present:
            found[key] = (name, present[name])
    if "GATEWAY_PORT" in present:
        found["listen"] = ("GATEWAY_PORT", Endpoint(_host_of(listen), _port(present["GATEWAY_PORT"])))
    return found


def _host_of(listen: object) -> str:
    try:
        return listen.host if isinstance(listen, Endpoint) else Endpoint.parse(str(listen or _ANYWHERE), 0).host
    except ValueError:
        return _ANYWHERE  # the file's value is wrong, and replaced


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(_MAX_PORT)) or int(text) > _MAX_PORT:
        raise ConfigError("GATEWAY_PORT", text, f"allowed: 0 (a free one) to {_MAX_PORT}")
    return int(text)


def from_toml(path: Path) -> Source:
    """Return what the file at ``path`` sets.

    Raises:
        ConfigError: it can't be read, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError("config", path, f"allowed: a TOML file that can be read ({_reason(error)})") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError("config", path, f"allowed: a TOML file of at most {_MAX_FILE_BYTES} bytes")
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError("config", path, f"allowed: a TOML file ({_reason(error)})") from error
    return Source(values, dict.fromkeys(values, f"file, {path}"))


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())


def toml_line(key: str, value: object) -> str:
    """Return ``key = value`` as TOML; of None, which TOML hasn't, and of what is masked, a comment."""
    if value is None or value == MASK:
        return f"# {key} is {'not set' if value is None else value}"
    return f"{key} = {_toml(value)}"


def _toml(value: object) -> str:
    match value:
        case bool() | int() | float():
            return json.dumps(value)
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            # TOML's basic strings are JSON's, but for DEL
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
