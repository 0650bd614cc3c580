"""What a node writes to its log. Each in a process of its own: loguru has one configuration a process."""

import json
import subprocess
import sys

import pytest

CRASH = """
import sys
from loguru import logger
from macula_actors.cli.logs import configure_logs

configure_logs("INFO", as_json=sys.argv[1] == "json")
secret = sys.argv[2]
try:
    secret.missing
except AttributeError as error:
    logger.opt(exception=error).error("it crashed")
"""


@pytest.fixture
def logged(tmp_path):
    """Return what a crash with a secret in a variable is logged as."""
    script = tmp_path / "crash.py"  # only of what is in a file, loguru shows values
    script.write_text(CRASH)

    def log(form):
        command = (sys.executable, script, form, "hunter2")
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stderr

    return log


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_values_of_variables_are_logged(logged, form):
    text = logged(form)

    assert "has no attribute 'missing'" in text
    assert "hunter2" not in text


def test_a_json_log_has_an_object_a_line(logged):
    (line,) = logged("json").splitlines()

    assert json.loads(line)["record"]["message"] == "it crashed"
