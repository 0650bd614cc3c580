"""What a fault is aimed at: a process, by registered name or by its place in the tree."""

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from supervisors.errors import NotFoundError
from supervisors.exit_reason import ExitReason, Kill
from supervisors.gen import exit_signal
from supervisors.ref import Ref
from supervisors.system import System
from supervisors.tree import TreeNode

__all__ = ["Path", "Target", "find", "kill", "walk"]

Path: TypeAlias = tuple[str, ...]
Target: TypeAlias = Ref | str | tuple[object, ...]


def kill(target: Target, reason: ExitReason = Kill()) -> Ref:  # noqa: B008 -- frozen
    """Send an exit signal to ``target`` (see `find`), one that kills unless ``reason`` is another; return who got it.

    Raises:
        NotFoundError: no such process runs in the current System.
    """
    ref = find(target)
    exit_signal(ref, reason)
    return ref


def find(target: Target) -> Ref:
    """Return the process that ``target`` names in the current System.

    A string is a registered name, else the ids on the way down the tree, joined by ``/``: ``"shop/floor/worker"``. A
    tuple is those ids. The n-th of siblings with the same id is ``id:n``, from 2 on.

    Raises:
        NotFoundError: no such process runs.
    """
    if isinstance(target, Ref):
        return target
    system = System.current()
    ref = system.whereis(target) if isinstance(target, str) else None
    if ref is not None:
        return ref
    ids = target if isinstance(target, str) else tuple(map(str, target))
    for path, node in walk(system.tree()):
        if isinstance(node.ref, Ref) and ids in {path, "/".join(path)}:
            return node.ref
    raise NotFoundError(target)


def walk(node: TreeNode, above: Path = ()) -> Iterator[tuple[Path, TreeNode]]:
    """Return each node below ``node`` with its path, ``above`` first; a parent before its children, in start order."""
    seen: Counter[str] = Counter()
    for child in node.children:
        id = str(child.id)  # noqa: A001 -- the field's word
        seen[id] += 1
        path = (*above, id if seen[id] == 1 else f"{id}:{seen[id]}")
        yield path, child
        yield from walk(child, path)
