import pytest

from macula_actors.admin.doctor import Verdict, examine
from tests.macula_actors.admin.stand_in import StandIn


async def findings(system, **options):
    node = await StandIn(system, **options).start()
    return {each.check: each for each in await examine(node)}


@pytest.mark.real_clock
async def test_a_node_with_nothing_wrong_fails_nothing(system, tmp_path):
    found = await findings(system, data_dir=tmp_path, bootstrap="127.0.0.1:4711")

    assert [each for each in found.values() if each.verdict in {Verdict.FAIL, Verdict.WARN}] == []
    assert found["key"].verdict is Verdict.OK
    assert found["bootstrap 127.0.0.1:4711"].detail == "this node itself"
    assert found["address"].detail == "bound to 127.0.0.1:4711; others are told 127.0.0.1:4711"


@pytest.mark.real_clock
async def test_what_keeps_a_node_from_something_is_told_with_advice(system):
    found = await findings(system, security="open", listen="0.0.0.0:1", mode="edge", advertise="none")

    assert (found["key"].verdict, found["key"].advice) == (Verdict.NOTE, "set data_dir")
    assert found["security"].verdict is Verdict.WARN
    assert "by its gateways alone" in found["address"].detail
    assert found["gateways"].advice == "set gateways or bootstrap"


@pytest.mark.real_clock
async def test_a_bootstrap_node_that_is_not_reached_fails(system):
    found = await findings(system, bootstrap="127.0.0.1:9")

    assert found["bootstrap 127.0.0.1:9"].verdict is Verdict.FAIL
    assert found["bootstrap 127.0.0.1:9"].advice


@pytest.mark.real_clock
async def test_a_node_without_peers_fails_if_it_should_have_some(system):
    node = await StandIn(system, bootstrap="127.0.0.1:9").start()
    node.peers = list

    found = {each.check: each for each in await examine(node)}

    assert (found["peers"].verdict, found["peers"].detail) == (Verdict.FAIL, "none")
