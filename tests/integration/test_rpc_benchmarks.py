import subprocess
import sys

import pytest

from benchmarks.rows import README, markdown
from benchmarks.rpc.__main__ import PARTS
from benchmarks.rpc.direct import SYSTEMS, direct
from benchmarks.rpc.length import QUICK

SECONDS = [pytest.param(part, marks=pytest.mark.long if part in {"direct", "routes"} else ()) for part in PARTS]


@pytest.mark.slow
@pytest.mark.parametrize("part", SECONDS)
def test_a_quick_run_of_a_part_yields_its_table(part):
    command = [sys.executable, "-m", "benchmarks.rpc", "--quick", "--only", part]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert PARTS[part][0] in done.stdout


@pytest.mark.long
def test_every_system_has_a_line_even_if_it_is_not_installed():
    assert {row["system"] for row in direct(QUICK)} == {system.label for system in SYSTEMS}


def test_a_table_in_markdown_has_every_cell():
    rows = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]

    assert markdown(rows) == "| a | b |\n| --- | --: |\n| 1 | 2 |\n| 3 | 4 |\n"


@pytest.mark.parametrize("part", PARTS)
def test_the_readme_has_a_place_for_each_table(part):
    _, begin, rest = README.read_text().partition(f"<!-- rpc {part} -->\n")

    assert begin
    assert f"<!-- end of rpc {part} -->" in rest
