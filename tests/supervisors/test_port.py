"""What a process has open in the world outside is closed when it ends, however that is."""

import pytest
from loguru import logger
from typing_extensions import override

from supervisors import (
    GenServer,
    Kill,
    NoCurrentProcessError,
    Normal,
    Shutdown,
    close_port,
    exit_signal,
    open_port,
    stop,
)


class Socket:
    def __init__(self, log, name):
        self.log = log
        self.name = name

    def close(self):
        self.log.append(self.name)


class Broken:
    def close(self):
        raise OSError("no such device")


class Owner(GenServer):
    def init(self, *resources):
        for resource in resources:
            open_port(resource)

    @override
    def handle_cast(self, request):
        close_port(request)


async def ended(ref, reason):
    exit_signal(ref, reason)
    await ref.wait_exit()


@pytest.mark.parametrize("reason", [Kill(), Shutdown()])
async def test_a_signal_that_ends_the_owner_closes_its_ports(system, reason):
    log = []
    owner = await system.start(Owner, Socket(log, "a"))

    await ended(owner, reason)

    assert log == ["a"]


async def test_a_normal_stop_closes_them_in_reverse_order(system):
    log = []
    owner = await system.start(Owner, Socket(log, "a"), Socket(log, "b"))

    await stop(owner, Normal())

    assert log == ["b", "a"]


async def test_they_are_closed_before_a_monitor_hears_of_the_end(system):
    log = []
    owner = await system.start(Owner, Socket(log, "a"))
    process = owner._process
    heard = process.loop.create_future()
    process._ends = [heard]
    heard.add_done_callback(lambda _: log.append("heard"))

    await ended(owner, Kill())

    assert log[0] == "a"


async def test_a_port_closed_by_its_owner_is_not_closed_again(system):
    log = []
    socket = Socket(log, "a")
    owner = await system.start(Owner, socket)
    owner.cast(socket)

    await stop(owner)

    assert log == ["a"]


async def test_a_port_that_cannot_be_closed_is_reported_and_the_others_are_closed(system):
    log, lines = [], []
    logger.enable("supervisors")
    sink = logger.add(lines.append, filter=lambda record: record["extra"].get("report") == "port")
    owner = await system.start(Owner, Socket(log, "a"), Broken())

    await ended(owner, Kill())
    logger.remove(sink)
    logger.disable("supervisors")

    assert log == ["a"]
    assert "no such device" in str(lines[0])


def test_code_outside_processes_owns_no_port():
    with pytest.raises(NoCurrentProcessError):
        open_port(Socket([], "a"))
