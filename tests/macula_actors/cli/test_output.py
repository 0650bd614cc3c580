import pytest
import typer

from macula_actors.cli.output import show_table, show_text, stop

HOSTILE = "a\x1b[2J\x07\x9bb"
PLAIN = "a\\x1b[2J\\x07\\x9bb"


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes stdout for a terminal


@pytest.mark.usefixtures("terminal")
def test_what_a_peer_has_written_does_not_command_the_terminal(capsys):
    show_text(HOSTILE)

    assert capsys.readouterr().out == f"{PLAIN}\n"


def test_what_a_peer_has_written_is_unchanged_in_a_file(capsys):
    show_text("a\x1b[2Jb")

    assert capsys.readouterr().out == "a\x1b[2Jb\n"


def test_a_table_does_not_command_the_terminal(capsys):
    show_table(("column",), [(HOSTILE,)])

    assert PLAIN in capsys.readouterr().out


def test_a_reason_does_not_command_the_terminal(capsys):
    with pytest.raises(typer.Exit):
        stop(HOSTILE)

    assert capsys.readouterr().err == f"macula: {PLAIN}\n"
