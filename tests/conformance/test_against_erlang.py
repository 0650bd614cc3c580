"""Random scenarios give the same lines here and on real Erlang/OTP, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from supervisors.testing import run
from tests.conformance.differential import scenarios, servers, signals

HERE = Path(__file__).parent / "differential"

pytestmark = [
    pytest.mark.skipif(shutil.which("erlc") is None, reason="Erlang/OTP is not installed (Debian: erlang-base)"),
    pytest.mark.parametrize(
        ("game", "module"), [(scenarios, "differential"), (servers, "servers"), (signals, "signals")]
    ),
]


def erlang_lines(folder, module, game, played):
    """Return what Erlang prints for each scenario, white space left out."""
    subprocess.run(["erlc", "-o", folder, HERE / f"{module}.erl"], check=True)
    (folder / "scenarios").write_text("\n".join(game.term(number, *each) for number, each in played))
    start = ["erl", "+S", "1:1", "-noshell", "-pa", folder, "-eval", f'{module}:main(["{folder}/scenarios"]).']
    text = subprocess.run(start, check=True, capture_output=True, text=True).stdout
    return "".join(text.split()).replace("scenario", "\nscenario").split("\n")[1:]


def our_lines(game, played):
    """Return what we print for each scenario, white space left out."""

    async def all_of_them():
        return ["".join("".join(await game.play(number, *each)).split()) for number, each in played]

    return run(all_of_them())


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_random_scenarios_end_as_on_erlang(tmp_path, game, module, first):
    played = [(seed, game.scenario(seed)) for seed in range(first, first + 50)]

    assert our_lines(game, played) == erlang_lines(tmp_path, module, game, played)


@pytest.mark.long
def test_thousands_of_random_scenarios_end_as_on_erlang(tmp_path, game, module):
    played = [(seed, game.scenario(seed)) for seed in range(10_000, 13_000)]

    assert our_lines(game, played) == erlang_lines(tmp_path, module, game, played)
