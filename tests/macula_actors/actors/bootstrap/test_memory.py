from macula_actors.actors.bootstrap import memory


def test_this_process_has_some_memory_and_not_all_of_it():
    assert 10 < memory.memory_mb() < 100_000


def test_where_the_system_does_not_tell_it_is_the_most_that_it_was(monkeypatch, tmp_path):
    now = memory.memory_mb()
    monkeypatch.setattr(memory, "_STATM", tmp_path / "missing")

    assert memory.memory_mb() >= now * 0.9
