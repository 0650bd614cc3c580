"""The tree of a System as a value.

Erlang: what observer's application view shows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from supervisors.child_specs import ChildType, Restart
from supervisors.children import RESTARTING, ChildRef, ChildState
from supervisors.process import Process
from supervisors.ref import Ref
from supervisors.server_process import ServerProcess

__all__ = ["Kind", "TreeNode", "not_running", "tree_of"]

Kind: TypeAlias = Literal["system", "supervisor", "worker"]


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One process, or the System itself, at one instant.

    Attributes:
        id: the child id; for a process that is no supervisor's child its name, or its ref as text.
        ref: None for the System and for a child that does not run, RESTARTING between two attempts.
        kind: what it is.
        children: those it supervises or else started, in start order.
        restarts: how often its supervisor started it again.
        mailbox: how many messages wait.
    """

    id: object
    ref: ChildRef
    kind: Kind
    children: Sequence["TreeNode"] = ()
    restarts: int = 0
    mailbox: int = 0


def tree_of(name: str, processes: Sequence[Process]) -> TreeNode:
    """Return the tree of a System ``name`` with these ``processes``, in start order."""
    supervised = {child.ref for process in processes for _, child in process.family()}
    started: dict[Ref | None, list[Process]] = {}
    for process in processes:
        if process.ref not in supervised:
            parent = process.ref.parent
            started.setdefault(parent if parent is not None and parent.is_alive() else None, []).append(process)
    return TreeNode(name, None, "system", _nodes(None, started))


def not_running(root: Ref) -> Sequence[object]:
    """Return the ids of those that do not run or are suspended, of ``root`` and its permanent descendants, in order.

    It looks, and asks nobody: on the loop's thread, what it finds was so at one instant. Below what does not run there
    is nothing.
    """
    return tuple(_not_running(root.name or str(root), root))


def _not_running(id: object, ref: ChildRef) -> Iterator[object]:  # noqa: A002
    process = ref._process if isinstance(ref, Ref) else None
    if process is None or (isinstance(process, ServerProcess) and process.suspended):
        yield id
    for child_id, child in () if process is None else process.family():
        if child.spec.restart is Restart.PERMANENT:
            yield from _not_running(child_id, child.ref)


def _nodes(parent: Ref | None, started: dict[Ref | None, list[Process]]) -> tuple[TreeNode, ...]:
    """Return the nodes of those that ``parent`` started and no supervisor has."""
    return tuple(
        _node(process, process.ref.name or str(process.ref), 0, started) for process in started.get(parent, ())
    )


def _node(process: Process, id: object, restarts: int, started: dict[Ref | None, list[Process]]) -> TreeNode:  # noqa: A002
    children = (_child_node(child_id, child, started) for child_id, child in process.family())
    return TreeNode(
        id,
        process.ref,
        "supervisor" if process.is_supervisor else "worker",
        (*children, *_nodes(process.ref, started)),
        restarts,
        process.mailbox_length,
    )


def _child_node(id: object, child: ChildState, started: dict[Ref | None, list[Process]]) -> TreeNode:  # noqa: A002
    alive = None if child.running is None else child.running._process
    if alive is not None:
        return _node(alive, id, child.restarts, started)
    kind: Kind = "supervisor" if child.spec.type is ChildType.SUPERVISOR else "worker"
    return TreeNode(id, RESTARTING if child.ref is RESTARTING else None, kind, (), child.restarts)
