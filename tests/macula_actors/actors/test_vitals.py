import pytest

from macula_actors.actors import vitals as module
from macula_actors.actors.vitals import vitals


async def test_the_memory_is_that_of_this_program(system, monkeypatch, tmp_path):
    statm = tmp_path / "statm"
    statm.write_text("900 300 100 1 0 5 0\n", encoding="ascii")
    monkeypatch.setattr(module, "_STATM", statm)
    monkeypatch.setattr(module.os, "sysconf", lambda _: 4096)

    found = vitals()

    assert (found.memory_bytes, found.own_memory_bytes) == (300 * 4096, 200 * 4096)
    assert found.process_count == len(system.processes)


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
async def test_without_proc_it_is_the_most_that_there_ever_was(system, monkeypatch, tmp_path, platform, unit):
    monkeypatch.setattr(module, "_STATM", tmp_path / "missing")
    monkeypatch.setattr(module.sys, "platform", platform)

    found = vitals()

    peak = module.resource.getrusage(module.resource.RUSAGE_SELF).ru_maxrss
    assert found.memory_bytes == found.own_memory_bytes == peak * unit
