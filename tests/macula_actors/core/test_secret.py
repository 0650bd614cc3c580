import pytest

from macula_actors.core.secret import Secret


def test_it_tells_its_text_to_who_asks():
    assert Secret("hunter2").get_secret_value() == "hunter2"


@pytest.mark.parametrize("shown", [str, repr, "{}".format, "{!r:>30}".format, lambda secret: f"{[secret]}"])
def test_it_is_masked_wherever_it_is_shown(shown):
    assert "hunter2" not in shown(Secret("hunter2"))
    assert "********" in shown(Secret("hunter2"))


def test_secrets_of_the_same_text_are_equal():
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
