import pytest

from supervisors import Crashed, FailedToStartChild, Kill, Killed, NoProcess, Normal, Shutdown, is_abnormal
from supervisors.exit_reason import to_exit_reason


@pytest.mark.parametrize(
    "reason", [Normal(), Shutdown(), Shutdown("detail"), Shutdown(FailedToStartChild("a", Killed()))]
)
def test_normal_and_every_shutdown_are_no_failure(reason):
    assert not is_abnormal(reason)


@pytest.mark.parametrize("reason", [Kill(), Killed(), NoProcess(), Crashed(ValueError()), "boom", ("shutdown", 1)])
def test_every_other_reason_is_a_failure(reason):
    assert is_abnormal(reason)


def test_reasons_are_equal_by_value():
    assert Shutdown("x") == Shutdown("x") != Shutdown("y")
    assert Normal() == Normal() != Killed()
    assert len({Killed(), Killed(), Kill()}) == 2


def test_an_exception_given_as_reason_is_a_crash():
    error = ValueError("boom")

    assert to_exit_reason(error) == Crashed(error)


def test_any_other_value_is_a_reason_as_it_is():
    assert to_exit_reason(("bad", 1)) == ("bad", 1)


@pytest.mark.parametrize("value", [Normal, ValueError])
def test_a_class_is_no_reason_and_the_error_shows_what_to_write(value):
    with pytest.raises(TypeError, match=rf"write {value.__name__}\(\)"):
        to_exit_reason(value)


def test_none_is_no_reason():
    with pytest.raises(TypeError, match="not None"):
        to_exit_reason(None)
