import pytest

from macula_actors.core.rpc.names import validate_procedure


def test_a_procedure_is_called_by_a_name():
    validate_procedure("test.calculator.add")


@pytest.mark.parametrize("name", ["", "test.*", "test..add", "test add"])
def test_what_is_no_name_is_no_procedure(name):
    with pytest.raises(ValueError, match="procedure name"):
        validate_procedure(name)
