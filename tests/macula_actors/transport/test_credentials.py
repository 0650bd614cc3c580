from dataclasses import FrozenInstanceError

import pytest

from macula_actors.transport.credentials import Credentials

CREDENTIALS = Credentials(b"certificate", b"secret")


def test_the_private_key_is_not_shown():
    assert "secret" not in repr(CREDENTIALS)


def test_credentials_are_frozen():
    with pytest.raises(FrozenInstanceError):
        CREDENTIALS.certificate = b""
