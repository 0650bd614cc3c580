"""The tree of a System as a value.

Erlang: what observer's application view shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from supervisors.children import RESTARTING, ChildRef
from supervisors.process import Process
from supervisors.ref import Ref
from supervisors.supervisor import BaseSupervisor

__all__ = ["Kind", "TreeNode", "tree_of"]

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
    started: dict[Ref | None, list[Process]] = {}
    for process in processes:
        parent = process.ref.parent
        started.setdefault(parent if parent is not None and parent.is_alive() else None, []).append(process)
    return TreeNode(name, None, "system", _nodes(started.get(None, ()), started))


def _nodes(processes: Sequence[Process], started: dict[Ref | None, list[Process]]) -> tuple[TreeNode, ...]:
    return tuple(_node(process, process.ref.name or str(process.ref), 0, started) for process in processes)


def _node(process: Process, id: object, restarts: int, started: dict[Ref | None, list[Process]]) -> TreeNode:  # noqa: A002
    own = started.get(process.ref, [])
    children: list[TreeNode] = []
    if isinstance(process, BaseSupervisor) and process.children is not None:
        supervised = set()
        for child_id, child in process.children.states():
            ref = child.running
            alive = None if ref is None else ref._process
            if alive is None:
                kind: Kind = "supervisor" if child.spec.type == "supervisor" else "worker"
                gone = RESTARTING if child.ref is RESTARTING else None
                children.append(TreeNode(child_id, gone, kind, (), child.restarts))
            else:
                supervised.add(alive)
                children.append(_node(alive, child_id, child.restarts, started))
        own = [other for other in own if other not in supervised]
    children.extend(_nodes(own, started))
    kind = "supervisor" if process.is_supervisor else "worker"
    return TreeNode(id, process.ref, kind, tuple(children), restarts, process.mailbox_length)
