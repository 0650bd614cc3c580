"""As many processes as a large program has: all started, then all shut down in order. In seconds."""

from time import perf_counter

from benchmarks.memory import cancel, start_tasks
from benchmarks.servers import Echo
from benchmarks.size import Figures, Size
from supervisors import DynamicSupervisor, Restart, Supervisor, SupFlags, System, start_child

__all__ = ["bare", "ours"]


async def ours(size: Size) -> Figures:
    """Start and shut down under a Supervisor, one after the other in reverse; and under a DynamicSupervisor."""
    async with System() as system:
        started = perf_counter()
        specs = [Echo.child_spec(id=number) for number in range(size.population)]
        await system.start(Supervisor, SupFlags(), specs)
        ready = perf_counter()
        await system.stop()
        static = {"static_start": ready - started, "static_stop": perf_counter() - ready}
    async with System() as system:
        supervisor = await system.start(DynamicSupervisor)
        assert supervisor is not None
        started = perf_counter()
        for _ in range(size.population):
            await start_child(supervisor, Echo.child_spec(restart=Restart.TEMPORARY))
        ready = perf_counter()
        await system.stop()
        return static | {"dynamic_start": ready - started, "dynamic_stop": perf_counter() - ready}


async def bare(size: Size) -> Figures:
    """Start tasks that wait for a queue each, without waiting for each; cancel them all at once."""
    started = perf_counter()
    tasks = await start_tasks(size.population)
    ready = perf_counter()
    await cancel(tasks)
    return {"dynamic_start": ready - started, "dynamic_stop": perf_counter() - ready}
