"""Tells over HTTP whether the gateway lives and serves, and what it counts. Erlang: macula_gateway_health.

There readiness was set once and stayed (D-29), and health was never bad (D-30); here both are asked at each request.
"""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from errno import EADDRINUSE, EADDRNOTAVAIL
from os import strerror
from socket import gaierror
from typing import Final, TypeVar

from loguru import logger
from typing_extensions import override

from macula_actors.actors.gateway.http_server import Answer, HttpServer
from macula_actors.actors.gateway.metrics import CONTENT_TYPE, Snapshot, render
from macula_actors.actors.vitals import vitals
from macula_actors.config import GatewayConfig
from macula_actors.errors import ConfigError, MaculaError
from macula_actors.messages import peer, routing_server, rpc
from macula_actors.messages.gateway import READY_TIMEOUT, GatewayStats, GetHealthPort, IsReady, get_stats, is_ready
from macula_actors.messages.names import GATEWAY, GATEWAY_DIAGNOSTICS, PEER_CONNECTOR, ROUTING_SERVER, RPC_HANDLER
from supervisors import (
    CallError,
    ExitReason,
    From,
    GenServer,
    NoReply,
    Reply,
    System,
    UnexpectedRequestError,
    call,
    forward,
    open_port,
    send_after,
    whereis,
)

__all__ = ["GatewayHealth", "no_port"]

MAX_IDLE: Final = 10.0  # seconds that a connection may take to send its request and get the answer, about
UNAVAILABLE: Final = Answer("Service unavailable", 503)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Tick:
    """Time to cut connections that are too old."""


def no_port(host: str, port: int, error: OSError) -> ConfigError:
    """Return the error that says that nobody can listen at ``port`` of ``host``, for the reason ``error``."""
    if isinstance(error, gaierror) or error.errno is None or error.errno == EADDRNOTAVAIL:
        return ConfigError(
            "health_host", host, f"can't listen there ({error.strerror or error}); name an address of this machine"
        )
    why = f"can't listen at {host}:{port} ({strerror(error.errno)})"  # asyncio's text is longer, and says it again
    advice = "choose a port that is free, or 0 to have one chosen, or none to have no HTTP"
    return ConfigError("health_port", port, f"{why}; {advice}")


class GatewayHealth(GenServer):
    """Serves /health, /ready, /live and /metrics. With ``health_port`` None it listens nowhere."""

    trap_exit = True  # to close the port when the gateway stops

    @override
    async def init(self, config: GatewayConfig) -> None:
        self._system = System.current()
        self._started_at = self._system.now()
        self._http: HttpServer | None = None
        if config.health_port is not None:
            self._http = await self._listen(config, config.health_port)
            send_after(MAX_IDLE, self.actor_ref, _Tick())

    @override
    def handle_call(self, request: object, from_: From) -> Reply | NoReply:
        match request:
            case GetHealthPort():
                return Reply(None if self._http is None else self._http.port)
            case IsReady():
                gateway = whereis(GATEWAY)
                if gateway is None:
                    return Reply(False)  # noqa: FBT003 -- it is the answer
                forward(from_, gateway, request)
                return NoReply()
            case _:
                raise UnexpectedRequestError(request)

    @override
    def handle_info(self, info: object) -> None:
        match info:
            case _Tick() if self._http is not None:
                self._http.close_old()
                send_after(MAX_IDLE, self.actor_ref, _Tick())
            case _:
                raise UnexpectedRequestError(info)

    @override
    def terminate(self, reason: ExitReason) -> None:
        if self._http is not None:
            self._http.close()

    async def _listen(self, config: GatewayConfig, port: int) -> HttpServer:
        http = open_port(
            HttpServer({
                "/health": self._health,
                "/ready": self._ready,
                "/live": _live,
                "/metrics": self._metrics,
            })
        )
        try:
            await http.start(config.health_host, port)
        except OSError as error:
            if port and config.is_health_port_free and error.errno == EADDRINUSE:
                return await self._listen(config, 0)
            raise no_port(config.health_host, port, error) from error
        logger.info("health at http://{}:{}", config.health_host, http.port)
        return http

    @property
    def _uptime(self) -> float:
        return self._system.now() - self._started_at

    async def _health(self) -> Answer:
        """Answer as the original did while the gateway answers, ready or not."""
        if await _if_there(get_stats(GATEWAY, READY_TIMEOUT)) is None:
            return UNAVAILABLE
        health = {"status": "healthy", "ready": await is_ready(GATEWAY), "uptime": int(self._uptime)}
        return Answer(json.dumps(health), content_type="application/json")

    async def _ready(self) -> Answer:  # noqa: PLR6301 -- a page, as the others
        return Answer("Ready") if await is_ready(GATEWAY) else Answer("Not ready", 503)

    async def _metrics(self) -> Answer:
        gateway: GatewayStats | None
        gateway, ready, has_diagnostics, routing, peers, calls = await asyncio.gather(
            _if_there(get_stats(GATEWAY, READY_TIMEOUT)),
            is_ready(GATEWAY),
            is_ready(GATEWAY_DIAGNOSTICS),
            _if_there(call(ROUTING_SERVER, routing_server.GetStats(), READY_TIMEOUT)),
            _if_there(call(PEER_CONNECTOR, peer.GetStats(), READY_TIMEOUT)),
            _if_there(call(RPC_HANDLER, rpc.GetStats(), READY_TIMEOUT)),
        )
        if gateway is None:
            return UNAVAILABLE
        snapshot = Snapshot(
            uptime=self._uptime,
            is_ready=ready,
            has_diagnostics=has_diagnostics,
            vitals=vitals(),
            gateway=gateway,
            routing=routing,
            peers=peers,
            rpc=calls,
        )
        return Answer(render(snapshot), content_type=CONTENT_TYPE)


async def _live() -> Answer:
    return Answer("Live")


async def _if_there(answer: Awaitable[T]) -> T | None:
    """Return what a server answers; None if it does not."""
    try:
        return await answer
    except (CallError, MaculaError):
        return None
