import subprocess
import sys

import pytest

from benchmarks.plan import FAMILIES, ROWS, Loop, Subject
from benchmarks.running import plan_runs
from benchmarks.table import README, judge


def found(**ours):
    """Return figures of ours, by key, on asyncio's loop; all others are 1."""
    keys = {key for row in ROWS for key in (row.key, row.peer_key)}
    ones = {key: [1.0, 1.0, 1.0] for key in keys}
    peers = {(Subject.PYKKA, Loop.THREADS): ones, (Subject.BARE, Loop.ASYNCIO): ones}
    return peers | {(Subject.OURS, Loop.UVLOOP): ones, (Subject.OURS, Loop.ASYNCIO): ones | ours}


def line(metric, peer, figures):
    """Return the line of ``metric`` beside ``peer``."""
    return next(line for line in judge(figures) if line.metric == metric and line.peer.startswith(peer))


@pytest.mark.slow
def test_a_quick_run_yields_every_row():
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--quick"], capture_output=True, text=True, check=True)

    missing = [row.metric for row in ROWS if row.metric not in done.stdout]
    assert missing == []


def test_subjects_take_turns():
    runs = plan_runs(2, quick=False)

    calls = [(run.subject, run.loop) for run in runs if run.families == ["calls"]]
    half = len(calls) // 2
    assert calls[:half] == calls[half:]
    assert len(set(calls)) == half


def test_every_family_is_in_a_quick_run():
    runs = plan_runs(1, quick=True)

    assert {family for run in runs for family in run.families} == set(FAMILIES)


def test_a_number_is_the_median_of_its_rounds():
    figures = found(call=[100.0, 5.0, 7.0])

    assert line("call", "Pykka", figures).on_asyncio == "7 /s"


def test_a_ratio_above_one_is_in_our_favour_where_more_is_better():
    figures = found(cast=[4.0, 4.0, 4.0])

    assert line("cast", "Pykka", figures).ratio == "4.00 / 1.00"


def test_a_ratio_above_one_is_in_our_favour_where_less_is_better():
    figures = found(start=[0.25, 0.25, 0.25])

    assert line("start", "Pykka", figures).ratio == "4.00 / 1.00"


def test_a_bar_missed_on_one_loop_is_missed():
    figures = found(restart_p50=[201.0, 201.0, 201.0])

    assert line("kill to init done and seen, median", "", figures).ok == "NO"


def test_a_bar_met_on_both_loops_is_met():
    figures = found(restart_p50=[200.0, 200.0, 200.0])

    assert line("kill to init done and seen, median", "", figures).ok == "yes"


def test_a_peer_that_is_not_installed_says_so():
    assert line("call", "otpylib", found()).peer_number == "not installed"


def test_the_readme_has_every_row():
    table = README.read_text().partition("<!-- table -->")[2]

    assert [row.metric for row in ROWS if f"| {row.metric} |" not in table] == []
