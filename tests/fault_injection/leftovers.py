"""What is left of what has gone: the ended processes, and the objects, that are still in memory."""

import gc
from collections import Counter

from supervisors.process import Process

OURS = ("macula_actors.", "supervisors.", "aioquic.")
SIMULATION = "macula_actors.simulation."


def forgotten(system):
    """Return the processes of ``system`` that are in memory though they have ended."""
    gc.collect()
    exist = {
        each for each in gc.get_objects() if isinstance(each, Process) and getattr(each, "_system", None) is system
    }
    return exist - set(system.processes)


def census():
    """Return how many objects there are of each class of ours and of the engine's; simulated networks don't count."""
    gc.collect()
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter({
        kind: count for kind, count in kinds.items() if kind.startswith(OURS) and not kind.startswith(SIMULATION)
    })
