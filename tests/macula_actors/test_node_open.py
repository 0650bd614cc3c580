"""Whole nodes of an open mesh, and a client of v0.8 that speaks the wire's bytes, over real sockets on loopback."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from macula_actors import Mode, Node, NodeConfig, Path
from macula_actors.core.wire.messages import Call, Connect, Pong, Reply, RpcRoute
from macula_actors.transport.udp import UdpNetwork
from tests.macula_actors.peers import CALL_ID, Attacker, Line

pytestmark = pytest.mark.real_clock

ADD = "test.calculator.add"
REALM = "com.example"
CLIENT = bytes(range(32))


def config(*bootstrap, mode=Mode.EDGE):
    settings = {"listen": "127.0.0.1:0", "realm": REALM, "health_port": "none", "security": "open"}
    return NodeConfig(mode=mode, bootstrap=[str(node.endpoint) for node in bootstrap], **settings)


def add(args):
    return args["a"] + args["b"]


@asynccontextmanager
async def gateway_and_edge():
    async with Node(config(mode=Mode.GATEWAY)) as gateway, Node(config(gateway)) as edge:
        await edge.advertise(ADD, add)
        yield gateway, edge


@asynccontextmanager
async def client_of(node):
    """Connect as v0.8 does: CONNECT without proofs, answered by PONG."""
    async with AsyncExitStack() as stack:
        client = Attacker(UdpNetwork(), "aioquic", None)
        stack.callback(client.close)
        line = Line()
        line.link = client.quic.dial((node.endpoint.host, node.endpoint.port), line)
        await line.until(lambda: line.has_established)
        hello = Connect(node_id=CLIENT, realm_id=REALM, capabilities=("rpc",), endpoint="https://localhost:9443")
        assert isinstance(await line.ask(hello), Pong)
        yield line


async def test_a_client_of_the_original_calls_an_edge_by_the_gateway():
    async with gateway_and_edge() as (gateway, _), client_of(gateway) as client:
        asked = client.send(Call(procedure=ADD, args=b'{"a":1,"b":2}', call_id=CALL_ID))

        # a lookup may ask the client, too, which answers nobody
        assert (await client.answers(asked, timeout=2.0))[0] == Reply(call_id=CALL_ID, result=b"3")


async def test_a_client_of_the_original_routes_a_call_to_an_edge():
    async with gateway_and_edge() as (gateway, edge), client_of(gateway) as client:
        call = Call(procedure=ADD, args=b'{"a":1,"b":2}', call_id=CALL_ID)
        route = RpcRoute(
            destination_node_id=edge.node_id, source_node_id=CLIENT, payload_type="call", payload=call, max_hops=10
        )

        answer = await client.ask(route)

        assert (answer.payload.result, answer.payload.error) == (b"3", None)


@pytest.mark.parametrize("path", [Path.DIRECT, Path.ROUTED])
async def test_a_gateway_calls_an_edge_that_has_dialled_it(path):
    async with gateway_and_edge() as (gateway, _):
        assert await gateway.call(ADD, {"a": 1, "b": 2}, paths=[path]) == 3
