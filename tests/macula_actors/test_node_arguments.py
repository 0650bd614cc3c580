"""What a node is asked for in vain, because it can't be: the caller hears of it, and no process of the node does."""

from math import inf, nan

import pytest

from macula_actors import Mode, Node, NodeConfig
from macula_actors.core.kademlia.record import MAX_TTL

pytestmark = pytest.mark.real_clock


def config(**values):
    return NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", health_port="none", **values)


def processes(node):
    """Return the processes of a node's tree, but those that come and go."""

    def under(branch):
        return {branch.ref}.union(*map(under, branch.children))

    return {ref for ref in under(node.tree()) if ref.actor_class.__name__ != "RpcWorker"}


WRONG = {
    "advertise, ttl text": lambda node: node.advertise("a.b", print, ttl="5"),
    "advertise, ttl 0": lambda node: node.advertise("a.b", print, ttl=0),
    "advertise, ttl nan": lambda node: node.advertise("a.b", print, ttl=nan),
    "advertise, ttl too long": lambda node: node.advertise("a.b", print, ttl=MAX_TTL + 1),
    "advertise, no handler": lambda node: node.advertise("a.b", None),
    "advertise, number as handler": lambda node: node.advertise("a.b", 5),
    "advertise, no name": lambda node: node.advertise(None, print),
    "advertise, list as metadata": lambda node: node.advertise("a.b", print, metadata=["a"]),
    "discover, timeout nan": lambda node: node.discover("a.b", timeout=nan),
    "discover, timeout text": lambda node: node.discover("a.b", timeout="x"),
    "call, no name": lambda node: node.call(None),
    "call, timeout inf": lambda node: node.call("a.b", timeout=inf),
    "call, timeout nan": lambda node: node.call("a.b", timeout=nan),
    "call, timeout text": lambda node: node.call("a.b", timeout="x"),
    "call, max_hops text": lambda node: node.call("a.b", max_hops="x", paths=["routed"]),
    "call, max_hops half": lambda node: node.call("a.b", max_hops=1.5, paths=["routed"]),
    "call, no paths": lambda node: node.call("a.b", paths=[]),
    "call, unknown path": lambda node: node.call("a.b", paths=["foo"]),
    "call_node, no node": lambda node: node.call_node(None, "a.b"),
    "call_node, number as node": lambda node: node.call_node(32, "a.b"),
    "call_node, no name": lambda node: node.call_node(node.node_id, None),
    "store, ttl text": lambda node: node.store("k", 1, ttl="x"),
    "store, ttl inf": lambda node: node.store("k", 1, ttl=inf),
    "store, ttl 0": lambda node: node.store("k", 1, ttl=0),
    "store, timeout text": lambda node: node.store("k", 1, timeout="x"),
    "find, timeout nan": lambda node: node.find("k", timeout=nan),
}


async def test_what_can_not_be_is_refused_at_the_call_and_every_process_lives():
    async with Node(config()) as node:
        before = processes(node)

        for ask in WRONG.values():
            with pytest.raises(ValueError, match=r"is |has "):
                await ask(node)

        assert processes(node) == before


@pytest.mark.parametrize("ttl", [300.0, 1.5, 1, 86_400])
async def test_a_lifetime_is_any_number_of_seconds(ttl):
    async with Node(config()) as node:
        await node.advertise("a.b", print, ttl=ttl)

        assert await node.store("k", 1, ttl=ttl) == 1
        assert len(await node.discover("a.b")) == 1
