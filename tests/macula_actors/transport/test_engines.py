import sys

import pytest

from macula_actors.transport.engine_aioquic import AioquicEngine
from macula_actors.transport.engine_qh3 import Qh3Engine
from macula_actors.transport.engines import EngineMissingError, engine
from macula_actors.transport.interface import QuicSettings
from tests.macula_actors.transport.conftest import CREDENTIALS


@pytest.mark.parametrize(("name", "kind"), [("aioquic", AioquicEngine), ("qh3", Qh3Engine), ("auto", Qh3Engine)])
def test_an_engine_is_picked_by_name(name, kind):
    assert isinstance(engine(name, CREDENTIALS, QuicSettings()), kind)


@pytest.mark.parametrize("name", ["aioquic", "qh3"])
def test_an_engine_knows_its_name(name):
    assert engine(name, CREDENTIALS, QuicSettings()).name == name


def test_there_is_no_other_engine():
    with pytest.raises(ValueError, match="aioquic, qh3 or auto, not 'msquic'"):
        engine("msquic", CREDENTIALS, QuicSettings())


@pytest.fixture
def without_qh3(monkeypatch):
    monkeypatch.delitem(sys.modules, "macula_actors.transport.engine_qh3")
    for module in [name for name in sys.modules if name == "qh3" or name.startswith("qh3.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [NoQh3(), *sys.meta_path])


class NoQh3:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "qh3":
            raise ModuleNotFoundError(name)


@pytest.mark.usefixtures("without_qh3")
def test_what_to_install_is_said_where_qh3_is_missing():
    with pytest.raises(EngineMissingError, match=r"pip install macula-actors\[fast\]"):
        engine("qh3", CREDENTIALS, QuicSettings())


@pytest.mark.usefixtures("without_qh3")
def test_auto_is_aioquic_where_qh3_is_missing():
    assert engine("auto", CREDENTIALS, QuicSettings()).name == "aioquic"
