import pytest

from macula_actors.admin.commands import echo
from macula_actors.admin.protocol import AdminError
from macula_actors.admin.system import start_admin
from macula_actors.cli.checks import Member, problem_of, run_check
from macula_actors.cli.topology import Check
from tests.macula_actors.admin.stand_in import OTHER, StandIn

NAMES = {OTHER.hex(): "bob"}
ANY = object()


def check(do="call", *, expect=ANY, expect_error="", within=0.0, **arguments):
    return Check(
        name="a check",
        from_="ann",
        do=do,
        arguments=arguments,
        expect=None if expect is ANY else expect,
        has_expect=expect is not ANY,
        expect_error=expect_error,
        within=within,
    )


@pytest.mark.parametrize(
    ("asked", "result"),
    [
        (check(), 5),
        (check(expect=5), 5),
        (check(expect=None), None),
        (check("discover", expect=["bob", "eve"]), [{"node_id": "eve"}, {"node_id": OTHER.hex()}]),
        (check("discover", expect=[]), []),
        (check("find", expect=[2, "a"]), {"values": ["a", 2]}),
        (check("status", expect={"peers": 2}), {"peers": 2, "mode": "edge"}),
    ],
)
def test_what_was_expected_is_no_problem(asked, result):
    assert not problem_of(asked, result, None, NAMES)


@pytest.mark.parametrize(
    ("asked", "result", "problem"),
    [
        (check(expect=5), 6, "6; expected was 5"),
        (check(expect=None), 6, "6; expected was None"),
        (check("discover", expect=["bob"]), [], "[]; expected was ['bob']"),
        (check("discover", expect=["bob"]), [{"node_id": "ff"}], "['ff']; expected was ['bob']"),
        (check("find", expect=[1]), {"values": [2]}, "[2]; expected was [1]"),
        (check("status", expect={"peers": 2}), {"peers": 1}, "{'peers': 1}; expected was {'peers': 2}"),
        (check(expect_error="NoProviderError"), 6, "NoProviderError was expected; the result was 6"),
    ],
)
def test_anything_else_is_told(asked, result, problem):
    assert problem_of(asked, result, None, NAMES) == problem


def test_an_error_is_a_problem_unless_it_was_expected():
    error = AdminError("NoProviderError", "no node provides 'x'")

    assert problem_of(check(), None, error, NAMES) == "NoProviderError: no node provides 'x'"
    assert not problem_of(check(expect_error="NoProviderError"), None, error, NAMES)
    assert problem_of(check(expect_error="NoRouteError"), None, error, NAMES) == "NoProviderError: no node provides 'x'"


@pytest.mark.real_clock
async def test_a_check_asks_its_node(system, tmp_path):
    node = await StandIn(system).start()
    await start_admin(node, tmp_path / "a")
    members = {"ann": Member(node.node_id.hex(), tmp_path / "a"), "bob": Member("b0b", tmp_path / "b")}

    node.services["y"] = echo

    held = await run_check(check(node_id="@bob", procedure="y", args=1, expect=1), members)
    failed = await run_check(check(procedure="x"), members)

    assert not held.problem
    assert node.calls[0][2] == "b0b"
    assert failed.problem == "NoProviderError: no node provides 'x'"


@pytest.mark.real_clock
async def test_a_check_that_may_take_time_is_tried_again(system, tmp_path):
    node = await StandIn(system).start()
    await start_admin(node, tmp_path / "a")
    members = {"ann": Member(node.node_id.hex(), tmp_path / "a")}

    result = await run_check(check(procedure="x", within=0.5), members)

    assert result.problem
    assert 0.2 < result.took <= 0.7
    assert len(node.calls) == 3
