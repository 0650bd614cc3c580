"""The README says what is so: its programs run, its files exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MESH, RUNTIME, IN_A_TEST = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("program", [MESH, RUNTIME], ids=["mesh", "runtime"])
def test_a_program_prints_what_its_comments_say(program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(program)
    expected = re.findall(r"print\(.*\)\s+# (\d+)", program)

    done = subprocess.run([sys.executable, path], check=True, capture_output=True, text=True, timeout=30)

    assert done.stdout.split() == expected != []


def test_the_test_that_it_shows_passes(pytester):
    counter = RUNTIME[: RUNTIME.index("async def main")].replace("import asyncio", "import pytest")
    pytester.makepyfile(f"{counter}\nfrom supervisors.testing import wait_until_idle\n\n{IN_A_TEST}")

    pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:anyio").assert_outcomes(passed=1)


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_what_a_document_links_to_is_there(document):
    path = ROOT / document
    links = re.findall(r"\]\((?!http)([^)#]+)", path.read_text())

    assert [link for link in links if not (path.parent / link).exists()] == []
