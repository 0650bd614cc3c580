"""Which QUIC engine a node uses, by name."""

from typing import Literal, TypeAlias

from macula_actors.errors import MaculaError
from macula_actors.transport.credentials import Credentials
from macula_actors.transport.interface import Engine, QuicSettings

__all__ = ["EngineMissingError", "EngineName", "engine"]

EngineName: TypeAlias = Literal["auto", "aioquic", "qh3"]


class EngineMissingError(MaculaError):
    """The package of the engine asked for is not installed: install it, or take ``aioquic``."""


def engine(name: EngineName, credentials: Credentials, settings: QuicSettings) -> Engine:
    """Return the engine ``name``: ``aioquic`` is always there, ``qh3`` an extra, ``auto`` is qh3 where installed.

    Raises:
        EngineMissingError: qh3 is not installed.
        ValueError: there is no engine ``name``, or ``credentials`` hold no certificate with its key.
    """
    match name:
        case "aioquic":
            return _aioquic(credentials, settings)
        case "qh3":
            return _qh3(credentials, settings)
        case "auto":
            return _fastest(credentials, settings)
        case _:
            raise ValueError(f"an engine is aioquic, qh3 or auto, not {name!r}")


def _fastest(credentials: Credentials, settings: QuicSettings) -> Engine:
    try:
        return _qh3(credentials, settings)
    except EngineMissingError:
        return _aioquic(credentials, settings)


def _aioquic(credentials: Credentials, settings: QuicSettings) -> Engine:
    from macula_actors.transport.engine_aioquic import AioquicEngine  # noqa: PLC0415 -- 4 MB, and qh3 does without

    return AioquicEngine(credentials, settings)


def _qh3(credentials: Credentials, settings: QuicSettings) -> Engine:
    try:
        from macula_actors.transport.engine_qh3 import Qh3Engine  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise EngineMissingError("qh3 is not installed: pip install macula-actors[fast]") from error
    return Qh3Engine(credentials, settings)
