"""Three procedures that every gateway answers. Erlang: macula_gateway_diagnostics, which nobody could call (D-08)."""

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from typing_extensions import override

from macula_actors.actors.gateway.follower import Follower
from macula_actors.actors.vitals import vitals
from macula_actors.config import GatewayConfig
from macula_actors.core.wire.values import Value
from macula_actors.messages.gateway import IsReady
from macula_actors.messages.names import SERVICE_REGISTRY
from macula_actors.messages.service_registry import AdvertiseLocal, Withdraw
from supervisors import ExitReason, From, GenServer, Reply, Response, System, UnexpectedRequestError, send_request

__all__ = ["ECHO", "HELLO", "INFO", "GatewayDiagnostics"]

HELLO: Final = "com.macula.diagnostics.hello"
ECHO: Final = "com.macula.diagnostics.echo"
INFO: Final = "com.macula.diagnostics.info"

VERSION: Final = version("macula-actors")
_MS_PER_S: Final = 1000


class GatewayDiagnostics(GenServer):
    """Keeps the procedures registered at this node. They are not advertised: who calls them means this gateway."""

    trap_exit = True  # to withdraw them when the gateway stops

    @override
    def init(self, config: GatewayConfig) -> None:
        self._procedures = _procedures(config, System.current())
        self._registry = Follower(SERVICE_REGISTRY, self._registrations)

    @override
    def handle_call(self, request: object, from_: From) -> Reply:
        match request:
            case IsReady():
                return Reply(self._registry.is_done)
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        if not self._registry.takes(info) and not isinstance(info, Response):
            raise UnexpectedRequestError(info)

    @override
    def terminate(self, reason: ExitReason) -> None:
        for procedure in self._procedures:
            send_request(SERVICE_REGISTRY, Withdraw(procedure))

    def _registrations(self) -> list[AdvertiseLocal]:
        return [AdvertiseLocal(procedure, handler) for procedure, handler in self._procedures.items()]  # noqa: FURB140 -- plainer


def _procedures(config: GatewayConfig, system: System) -> dict[str, Callable[[Any], Value]]:
    """Return the handlers, which must not depend on the process: the registry outlives it."""
    node = str(config.identity.node_id)
    started_at = system.now()

    def common() -> dict[str | bytes, Value]:
        return {
            "realm": config.realm,
            "uptime_seconds": int(system.now() - started_at),
            "version": VERSION,
        }

    def timestamp() -> int:
        return config.wall_clock_ms() // _MS_PER_S

    def hello(_: Any) -> Value:
        message = "Hello from a Macula gateway"
        return {"message": message, "gateway": node, **common(), "timestamp": timestamp(), "protocol": "QUIC"}

    def echo(args: Any) -> Value:
        return {"echo": args, "timestamp": timestamp()}

    def info(_: Any) -> Value:
        return {"gateway": {"node": node, **common()}, "system": _about_system(), "timestamp": timestamp()}

    return {HELLO: hello, ECHO: echo, INFO: info}


def _about_system() -> dict[str | bytes, Value]:
    now = vitals()
    return {
        "python_version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "process_count": now.process_count,
        "memory_bytes": now.memory_bytes,
        "process_memory_bytes": now.own_memory_bytes,
    }
