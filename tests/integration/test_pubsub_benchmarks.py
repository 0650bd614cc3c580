import subprocess
import sys

import pytest

from benchmarks.pubsub.__main__ import PARTS
from benchmarks.pubsub.length import QUICK
from benchmarks.pubsub.shapes import SYSTEMS, shapes
from benchmarks.rows import README

SECONDS = [pytest.param(part, marks=pytest.mark.slow if part == "shapes" else ()) for part in PARTS]


@pytest.mark.parametrize("part", SECONDS)
def test_a_quick_run_of_a_part_yields_its_table(part):
    command = [sys.executable, "-m", "benchmarks.pubsub", "--quick", "--only", part]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert PARTS[part][0] in done.stdout


@pytest.mark.long
def test_every_system_has_a_line_even_if_it_is_not_installed():
    assert {row["system"] for row in shapes(QUICK)} == {system.label for system in SYSTEMS}


@pytest.mark.parametrize("part", PARTS)
def test_the_readme_has_a_place_for_each_table(part):
    _, begin, rest = README.read_text().partition(f"<!-- pubsub {part} -->\n")

    assert begin
    assert f"<!-- end of pubsub {part} -->" in rest
