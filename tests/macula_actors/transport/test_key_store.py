import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from macula_actors.core.peer.identity import Identity
from macula_actors.errors import KeyStoreError
from macula_actors.transport.certificate import self_signed
from macula_actors.transport.key_store import CERTIFICATE_NAME, KEY_NAME, load_or_create

pytestmark = pytest.mark.usefixtures("generous_umask")

STARTERS = 8
PROGRAM = "import sys; from pathlib import Path; from macula_actors.transport.key_store import load_or_create as f; "
PRINT_NODE_ID = PROGRAM + "sys.stdin.read(); print(f(Path(sys.argv[1])).node_id)"


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def key_file(data_dir):
    """Return the path of a key that was never made, in a directory that was."""
    data_dir.mkdir()
    return data_dir / KEY_NAME


@pytest.fixture
def generous_umask():
    """Whatever the user's umask, others must not read the key."""
    previous = os.umask(0)
    yield
    os.umask(previous)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def write(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)


def names_in(directory):
    return sorted(path.name for path in directory.iterdir())


def test_without_a_directory_the_key_is_kept_nowhere():
    assert load_or_create(None) != load_or_create(None)


def test_a_node_has_the_same_identity_at_the_next_start(data_dir):
    assert load_or_create(data_dir) == load_or_create(data_dir)


def test_nodes_in_different_directories_are_different(tmp_path):
    assert load_or_create(tmp_path / "a") != load_or_create(tmp_path / "b")


def test_key_and_directory_are_the_owners_only(data_dir):
    load_or_create(data_dir)

    assert (mode_of(data_dir), mode_of(data_dir / KEY_NAME)) == (0o700, 0o600)


def test_a_directory_that_is_there_keeps_its_mode(data_dir):
    data_dir.mkdir(mode=0o755)

    load_or_create(data_dir)

    assert mode_of(data_dir) == 0o755


def test_the_directory_is_made_with_those_above_it(tmp_path):
    load_or_create(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b" / KEY_NAME).is_file()


def test_the_certificate_lies_beside_the_key_for_all_to_read(data_dir):
    identity = load_or_create(data_dir)

    assert (data_dir / CERTIFICATE_NAME).read_bytes() == self_signed(identity).certificate
    assert mode_of(data_dir / CERTIFICATE_NAME) == 0o644


def test_nothing_else_is_left_in_the_directory(data_dir):
    load_or_create(data_dir)
    load_or_create(data_dir)

    assert names_in(data_dir) == [CERTIFICATE_NAME, KEY_NAME]


def test_the_certificate_of_another_key_is_replaced(data_dir):
    identity = load_or_create(data_dir)
    (data_dir / CERTIFICATE_NAME).write_bytes(b"of another")

    load_or_create(data_dir)

    assert (data_dir / CERTIFICATE_NAME).read_bytes() == self_signed(identity).certificate


def test_a_certificate_that_cannot_be_written_stops_nobody(data_dir):
    identity = load_or_create(data_dir)
    (data_dir / CERTIFICATE_NAME).unlink()
    (data_dir / CERTIFICATE_NAME).mkdir()

    assert load_or_create(data_dir) == identity


def test_a_key_made_elsewhere_is_taken(key_file):
    identity = Identity.generate()
    write(key_file, identity.to_pem(), 0o400)

    assert load_or_create(key_file.parent) == identity
    assert mode_of(key_file) == 0o400


def test_a_link_to_a_key_is_followed(key_file, tmp_path):
    identity = Identity.generate()
    write(tmp_path / "secret", identity.to_pem())
    key_file.symlink_to(tmp_path / "secret")

    assert load_or_create(key_file.parent) == identity


def test_threads_that_start_at_once_end_with_one_key(data_dir):
    together = Barrier(STARTERS)

    def start(_number):
        together.wait()
        return load_or_create(data_dir)

    with ThreadPoolExecutor(STARTERS) as pool:
        identities = set(pool.map(start, range(STARTERS)))

    assert identities == {load_or_create(data_dir)}
    assert names_in(data_dir) == [CERTIFICATE_NAME, KEY_NAME]


@pytest.mark.slow
def test_processes_that_start_at_once_end_with_one_key(data_dir):
    arguments = [sys.executable, "-c", PRINT_NODE_ID, str(data_dir)]
    processes = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]

    for process in processes:
        process.stdin.close()
    printed = {process.stdout.read() for process in processes}

    assert [process.wait() for process in processes] == [0, 0, 0]
    assert printed == {f"{load_or_create(data_dir).node_id}\n".encode()}
    for process in processes:
        process.stdout.close()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o777])
def test_a_key_that_others_can_touch_is_refused(key_file, mode):
    write(key_file, Identity.generate().to_pem(), mode)

    with pytest.raises(KeyStoreError, match=f"mode {mode:04o}.*; chmod 600 {key_file}") as caught:
        load_or_create(key_file.parent)

    assert (caught.value.path, caught.value.advice) == (key_file, f"chmod 600 {key_file}")


def test_a_link_to_a_key_that_others_can_touch_is_refused(key_file, tmp_path):
    write(tmp_path / "secret", Identity.generate().to_pem(), 0o644)
    key_file.symlink_to(tmp_path / "secret")

    with pytest.raises(KeyStoreError, match="chmod 600"):
        load_or_create(key_file.parent)


EC_KEY = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no private key in PEM"),
        (b"garbage", "no private key in PEM"),
        (Identity.generate().to_pem()[:80], "no private key in PEM"),
        (self_signed(Identity.generate()).certificate, "no private key in PEM"),
        (EC_KEY, "of another kind; one of Ed25519 is needed"),
    ],
    ids=["empty", "garbage", "truncated", "certificate", "ec"],
)
def test_a_file_that_holds_no_key_of_a_node_is_refused_and_kept(key_file, content, problem):
    write(key_file, content)

    with pytest.raises(KeyStoreError, match=f"{key_file} is no key of a node: .*{problem}"):
        load_or_create(key_file.parent)

    assert key_file.read_bytes() == content
    assert names_in(key_file.parent) == [KEY_NAME]


def test_a_data_directory_that_is_a_file_is_refused(data_dir):
    data_dir.write_bytes(b"")

    with pytest.raises(KeyStoreError, match=f"{data_dir} is not a directory; name another"):
        load_or_create(data_dir)


def test_a_data_directory_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(KeyStoreError, match="cannot be made: Not a directory"):
        load_or_create(tmp_path / "file" / "data")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_key_that_is_no_file_is_refused(key_file, make):
    make(key_file, 0o700)

    with pytest.raises(KeyStoreError, match="is not a file"):
        load_or_create(key_file.parent)


def test_a_key_that_cannot_be_read_is_refused(key_file):
    key_file.symlink_to(key_file)

    with pytest.raises(KeyStoreError, match="cannot be read: Too many levels"):
        load_or_create(key_file.parent)


def test_a_link_to_nowhere_is_refused(key_file, tmp_path):
    key_file.symlink_to(tmp_path / "nowhere")

    with pytest.raises(KeyStoreError, match="link to nowhere"):
        load_or_create(key_file.parent)

    assert names_in(key_file.parent) == [KEY_NAME]
