"""What holds for every part of a gateway."""

import pytest

from macula_actors.actors.gateway.clients import GatewayClients
from macula_actors.actors.gateway.diagnostics import GatewayDiagnostics
from macula_actors.actors.gateway.gateway import Gateway
from macula_actors.actors.gateway.health import GatewayHealth
from macula_actors.actors.gateway.mesh import GatewayMesh
from macula_actors.actors.gateway.quic_server import GatewayQuicServer
from macula_actors.actors.gateway.rpc import GatewayRpc
from supervisors import Ref, ServerDownError, UnexpectedRequestError
from tests.macula_actors.actors.gateway.stand_ins import config

PARTS = [GatewayClients, GatewayDiagnostics, Gateway, GatewayHealth, GatewayMesh, GatewayRpc]
ARGUMENTS = [*((part, (config(),)) for part in PARTS), (GatewayQuicServer, ())]


@pytest.mark.parametrize(("part", "arguments"), ARGUMENTS)
@pytest.mark.parametrize("tell", [Ref.cast, Ref.send])
async def test_a_message_that_nobody_sends_is_a_crash(system, part, arguments, tell):
    server = await system.start(part, *arguments)

    tell(server, "nonsense")

    assert isinstance((await server.wait_exit()).error, UnexpectedRequestError)


@pytest.mark.parametrize(("part", "arguments"), ARGUMENTS)
async def test_a_request_that_nobody_makes_is_a_crash(system, part, arguments):
    server = await system.start(part, *arguments)

    with pytest.raises(ServerDownError) as failed:
        await server.call("nonsense")
    assert isinstance(failed.value.__cause__, UnexpectedRequestError)
