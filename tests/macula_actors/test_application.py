"""Programs that run inside a node: found, started, restarted, stopped."""

import asyncio
import sys

import pytest
from loguru import logger

from macula_actors import ConfigError, Mode, Node, NodeConfig
from macula_actors.application import APPLICATION, load_application
from supervisors import Crashed, StartError
from supervisors.testing import wait_until

pytestmark = pytest.mark.real_clock

PROGRAM = """
import asyncio

calls = []
ends = []
gate = asyncio.Event()


async def provide(node):
    calls.append(node)
    await node.advertise("test.echo", lambda args: args)


def plain(node):
    calls.append(node)


async def forever(node):
    calls.append(node)
    try:
        await asyncio.Event().wait()
    finally:
        ends.append([each.id for each in node.tree().children])


async def crashes_at_first(node):
    calls.append(node)
    if len(calls) == 1:
        await gate.wait()
        raise ValueError("it is broken")
    await asyncio.Event().wait()


async def crashes_again(node):
    calls.append(node)
    await gate.wait()
    raise ValueError("it is broken")


async def crashes_at_once(node):
    raise ValueError("it is broken")


def takes_nothing():
    pass


no_function = 1
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write the module ``a_program`` to the working directory, and return the module once a node has imported it."""
    (tmp_path / "a_program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    monkeypatch.setattr("macula_actors.application.PATIENCE", 0.1)
    yield lambda: sys.modules["a_program"]
    sys.modules.pop("a_program", None)


def a_node(function):
    return Node(NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", app=f"a_program:{function}"))


async def test_what_a_program_has_advertised_is_there_when_the_node_is_started(program):
    async with a_node("provide") as node:
        assert await node.call("test.echo", 7) == 7
        assert program().calls == [node]


async def test_a_program_may_be_a_plain_function(program):
    async with a_node("plain") as node:
        assert program().calls == [node]


async def test_a_program_that_works_on_does_not_hold_up_the_start_and_is_the_last_part_of_the_node(program):
    async with a_node("forever") as node:
        assert [each.id for each in node.tree().children][-1] == APPLICATION
        assert program().ends == []


async def test_a_program_that_works_on_is_cancelled_at_the_stop_while_the_other_parts_still_run(program):
    async with asyncio.timeout(4):
        async with a_node("forever"):
            pass

    (parts,) = program().ends
    assert "macula_mesh_system" in parts


async def test_a_program_that_crashes_is_called_again(program):
    async with a_node("crashes_at_first") as node:
        program().gate.set()
        await wait_until(lambda: len(program().calls) == 2)

        assert next(each for each in node.tree().children if each.id == APPLICATION).restarts == 1


async def test_a_node_whose_program_crashes_again_and_again_gives_up(program):
    async with asyncio.timeout(4):
        async with a_node("crashes_again") as node:
            program().gate.set()
            await node.wait_stopped()

    assert len(program().calls) > 1


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(("function", "kind"), [("crashes_at_once", ValueError), ("takes_nothing", TypeError)])
async def test_a_node_whose_program_crashes_at_its_start_does_not_start(function, kind):
    node = a_node(function)

    with pytest.raises(StartError, match=APPLICATION) as caught:
        await node.start()

    assert isinstance(caught.value.reason, Crashed)
    assert isinstance(caught.value.__cause__, kind)
    assert not node.system.processes


@pytest.mark.usefixtures("program")
async def test_a_program_that_crashes_at_its_start_is_reported_once():
    reports = []
    sink = logger.add(lambda message: reports.append(message.record["extra"]), level="ERROR", format="{message}")
    logger.enable("supervisors")

    with pytest.raises(StartError):
        await a_node("crashes_at_once").start()
    logger.disable("supervisors")
    logger.remove(sink)

    assert [(each["report"], each.get("context")) for each in reports] == [
        ("crash", None),
        ("supervisor", "child_terminated"),
    ]


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("name", ["a_program:missing", "no_program:provide", "a_program:no_function"])
async def test_a_program_that_is_not_there_is_said_before_anything_is_started(name):
    node = Node(NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", app=name))

    with pytest.raises(ConfigError, match=f"app = '{name}': allowed: MODULE:FUNCTION"):
        await node.start()

    assert not node.system.processes


@pytest.mark.usefixtures("program")
def test_a_program_is_looked_for_in_the_working_directory():
    assert callable(load_application("a_program:provide"))
