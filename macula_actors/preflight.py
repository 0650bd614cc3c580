"""What a node needs of its machine, looked at before any of its processes starts.

So what is taken already, or not there, is one error that names the key; found by the processes that use it, it would be
crashes under two supervisors. Erlang: none.
"""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from errno import EADDRINUSE
from pathlib import Path

from typing_extensions import override

from macula_actors.actors.peer.endpoint import bound_as_told
from macula_actors.core.endpoint import Endpoint
from macula_actors.node_config import NodeConfig
from macula_actors.transport.interface import Address, DatagramReceiver, Network

__all__ = ["free_endpoint", "preflight"]


async def preflight(config: NodeConfig, network: Network) -> Endpoint:
    """Check that all that ``config`` names is free; return where to listen, with a port: peers are told of it.

    Nothing is kept: what is taken in between is a crash of the process that needs it.

    Raises:
        ConfigError: a socket can't be bound.
    """
    if config.has_gateway and config.http_port is not None:
        await _check_http(config, config.http_port)
    if config.admin_socket is not None:
        _check_admin(config.admin_socket)
    return await free_endpoint(config.listen_endpoint, network)


async def free_endpoint(listen: Endpoint, network: Network) -> Endpoint:
    """Return ``listen``, with a port that is free now if it leaves that to the system.

    Raises:
        ConfigError: a socket can't be bound there.
    """
    with bound_as_told(listen):
        addresses = await network.resolve(listen.host, listen.port)
        probe = network.open(addresses[0], _Nobody())
    with closing(probe):
        return Endpoint(listen.host, probe.address[1])


async def _check_http(config: NodeConfig, port: int) -> None:
    from macula_actors.actors.gateway.health import no_port  # noqa: PLC0415 -- HTTP takes 10 MB

    try:
        probe = await asyncio.get_running_loop().create_server(asyncio.Protocol, config.health_host, port)
    except OSError as error:
        if error.errno != EADDRINUSE or config.health_port is not None:
            raise no_port(config.health_host, port, error) from error
    else:
        probe.close()


def _check_admin(path: Path) -> None:
    from macula_actors.admin.server import check_socket  # noqa: PLC0415 -- a node without does not need it

    check_socket(path)


class _Nobody(DatagramReceiver):
    """Hears nothing: the probe is closed before the loop has turned."""

    @override
    def datagrams_received(self, batch: Sequence[tuple[bytes, Address]]) -> None: ...

    @override
    def unreachable(self, address: Address) -> None: ...

    @override
    def socket_lost(self, error: OSError) -> None: ...
