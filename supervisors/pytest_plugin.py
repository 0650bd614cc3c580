"""The pytest plugin: async tests in virtual time, and a `System` for them. Installed with the package.

Mark an async test ``@pytest.mark.virtual_clock`` (or ``real_clock``), or set ``supervisors_mode = auto`` in the
configuration for all that no other plugin claims. The fixture ``system`` is a `System` that is entered, in the task
of the test, before it and stopped after it; what the test leaves behind (a task, a timer) is an error.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from supervisors.system import System
from supervisors.testing import run

__all__: list[str] = []

OTHERS = ("anyio", "asyncio", "trio")  # markers of plugins that run async tests themselves


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``supervisors_mode``."""
    parser.addini("supervisors_mode", "strict: only marked async tests are run here; auto: all", default="strict")


def pytest_configure(config: pytest.Config) -> None:
    """Add the two markers."""
    config.addinivalue_line("markers", "virtual_clock: run this async test in virtual time")
    config.addinivalue_line("markers", "real_clock: run this async test in real time")


@pytest.fixture
def system(request: pytest.FixtureRequest) -> System:
    """Return a System with the test's name and a fixed seed; the test runs inside it."""
    return System(request.node.name, seed=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that is ours."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function) or not _is_ours(pyfuncitem):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    virtual = pyfuncitem.get_closest_marker("real_clock") is None
    run(_inside(function, arguments), virtual=virtual)
    return True


def _is_ours(item: pytest.Function) -> bool:
    if any(item.get_closest_marker(name) for name in ("virtual_clock", "real_clock")):
        return True
    claimed = any(item.get_closest_marker(name) for name in OTHERS)
    return item.config.getini("supervisors_mode") == "auto" and not claimed


async def _inside(function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    system = arguments.get("system")
    if not isinstance(system, System):
        await function(**arguments)
        return
    async with system:
        await function(**arguments)
    await asyncio.sleep(0)
