import asyncio
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from benchmarks.quic.load import measure_load, measure_load_in_threads
from benchmarks.quic.measure import DIALS, IN_FLIGHT
from benchmarks.quic.raw import MAX_STREAMS
from benchmarks.quic.systems import SYSTEMS, Loop, load_module
from benchmarks.quic.table import HEADERS, NOT_INSTALLED, README, lines, markdown, to_rich

BARE = SYSTEMS["raw_qh3"]


def figures(rate):
    """Return figures of one round: all rates are ``rate``."""
    loads = {f"{n} {name}": number for n in IN_FLIGHT for name, number in {"rate": rate, "p50": 1, "p99": 2}.items()}
    return loads | {"bulk MB/s": rate} | {f"dials {n}": rate for n in DIALS}


def line(system, loop, found):
    """Return the cells of ``system`` on ``loop``, by header."""
    cells = next(line for line in lines(found) if line[:2] == (system.label, loop))
    return dict(zip(HEADERS, cells, strict=True))


@pytest.mark.slow
def test_a_quick_run_yields_every_line():
    command = [sys.executable, "-m", "benchmarks.quic", "--quick"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    missing = [system.label for system in SYSTEMS.values() if system.label not in done.stdout]
    assert missing == []


@pytest.mark.real_clock
@pytest.mark.parametrize("name", ["raw_aioquic", "raw_qh3"])
async def test_a_bare_engine_answers_more_requests_at_once_than_it_may_open_streams(name):
    pytest.importorskip(SYSTEMS[name].package)
    module = load_module(SYSTEMS[name])
    announced = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(module.serve(announced.set_result))
    messages = [number.to_bytes(100) for number in range(3 * MAX_STREAMS)]

    async with module.connect(await announced) as request:
        replies = await asyncio.gather(*map(request, messages))
    server.cancel()

    assert replies == messages


@pytest.mark.real_clock
@pytest.mark.parametrize("name", ["raw_aioquic", "raw_qh3"])
async def test_a_bare_engine_dials_again_and_again(name):
    pytest.importorskip(SYSTEMS[name].package)
    module = load_module(SYSTEMS[name])
    announced = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(module.serve(announced.set_result))

    async with module.dialling(await announced) as dial:
        load = await measure_load(dial, in_flight=2, count=4)
    server.cancel()

    assert load.rate > 0


async def test_a_worker_waits_for_its_reply_before_it_asks_again():
    open_now = []
    most_open = []

    async def operation():
        open_now.append(None)
        most_open.append(len(open_now))
        await asyncio.sleep(0.001)
        open_now.pop()

    await measure_load(operation, in_flight=3, count=30)

    assert max(most_open) == 3


async def test_a_load_of_a_count_does_so_many():
    done = []

    load = await measure_load(counted(done), in_flight=4, count=8)

    assert len(done) == 8
    assert load.p50 <= load.p99


@pytest.mark.real_clock
async def test_a_load_in_seconds_ends():
    done = []

    load = await measure_load(counted(done), in_flight=2, seconds=0.01)

    assert len(done) >= 2
    assert load.rate > 0


async def test_what_an_operation_raises_ends_the_load():
    async def operation():
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await measure_load(operation, in_flight=2, seconds=1.0)


def test_a_load_in_threads_does_so_many():
    done = []

    measure_load_in_threads(lambda: done.append(None), in_flight=4, count=8)

    assert len(done) == 8


def test_a_number_is_the_median_of_its_rounds():
    found = {(BARE, Loop.ASYNCIO): [figures(100.0), figures(5.0), figures(7.0)]}

    cells = line(BARE, Loop.ASYNCIO, found)

    assert cells["16 in flight"] == "7 /s, 1 / 2 us"
    assert cells["1 MiB messages"] == "7 MB/s"
    assert cells["dials, 8 at once"] == "7 /s"


def test_a_system_that_is_not_installed_says_so():
    assert line(SYSTEMS["iroh_peer"], Loop.ASYNCIO, {})["1 in flight"] == NOT_INSTALLED


def test_the_screen_shows_how_to_install_it():
    screen = StringIO()

    Console(file=screen, width=300).print(to_rich(lines({})))

    assert NOT_INSTALLED in screen.getvalue()


def test_only_the_systems_asked_for_have_lines():
    assert {cells[0] for cells in lines({}, [BARE])} == {BARE.label}


def test_a_line_in_markdown_has_every_column():
    rows = markdown(lines({})).splitlines()

    assert {row.count("|") for row in rows} == {len(HEADERS) + 1}


def test_the_readme_has_a_place_for_the_table():
    _, begin, rest = README.read_text().partition("<!-- quic table -->\n")

    assert begin
    assert "<!-- end of quic table -->" in rest


def counted(done):
    """Return an operation that yields once and is counted in ``done``."""

    async def operation():
        await asyncio.sleep(0)
        done.append(None)

    return operation
