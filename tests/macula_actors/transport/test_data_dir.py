import os

import pytest

from macula_actors.errors import ConfigError
from macula_actors.transport.data_dir import LOCK_NAME, DataDirLock


def test_a_directory_is_for_one_at_a_time_in_one_process_too(tmp_path):
    lock = DataDirLock(tmp_path)

    with pytest.raises(ConfigError, match=f"a node of process {os.getpid()} has it; stop that one") as refused:
        DataDirLock(tmp_path)
    lock.release()

    assert (refused.value.key, refused.value.value) == ("data_dir", tmp_path)
    DataDirLock(tmp_path).release()


def test_a_child_of_fork_does_not_keep_it(tmp_path):
    lock = DataDirLock(tmp_path)
    inherited = os.dup(lock._descriptor)  # which is what a child has

    lock.release()

    DataDirLock(tmp_path).release()
    os.close(inherited)


def test_two_directories_do_not_mind_each_other(tmp_path):
    locks = [DataDirLock(tmp_path), DataDirLock(tmp_path.parent)]

    for lock in locks:
        lock.release()


def test_what_a_lock_file_says_holds_nobody_up(tmp_path):
    (tmp_path / LOCK_NAME).write_bytes(b"\xff garbage that an old one left")

    DataDirLock(tmp_path).release()

    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_a_directory_that_can_not_be_locked_is_a_typed_error(tmp_path):
    (tmp_path / LOCK_NAME).mkdir()

    with pytest.raises(ConfigError, match=r"node\.lock there can't be locked \(Is a directory\)"):
        DataDirLock(tmp_path)


def test_without_a_directory_there_is_no_lock():
    assert DataDirLock.of(None) is None
