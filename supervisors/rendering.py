"""The tree of a System for people to read.

Erlang: what ``observer`` draws. Without a terminal it is plain text, the same for the same tree.
"""

from typing import TYPE_CHECKING

from supervisors.children import RESTARTING
from supervisors.ref import Ref
from supervisors.system import System
from supervisors.tree import TreeNode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

__all__ = ["print_tree", "render_tree"]

WIDTH = 10_000  # columns where there is no terminal: no line is wrapped


def render_tree(tree: TreeNode | System) -> "Tree":
    """Return ``tree``, or that of a System now, as a `rich` tree: a line a process, in start order.

    A line has the id; the class and number (the kind for a child that does not run); the registered name, where it is
    not the id; the state; and, unless 0, the restarts and the messages that wait.
    """
    from rich.tree import Tree  # noqa: PLC0415 -- 2 MB, which only who draws a tree needs

    node = tree.tree() if isinstance(tree, System) else tree
    rendered = Tree(_line(node))
    for child in node.children:
        rendered.children.append(render_tree(child))
    return rendered


def print_tree(tree: TreeNode | System, console: "Console | None" = None) -> None:
    """Print ``tree``, or that of a System now, on ``console``, by default on standard output."""
    if console is None:
        from rich.console import Console  # noqa: PLC0415 -- as above

        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
    console.print(render_tree(tree))


def _line(node: TreeNode) -> "Text":
    from rich.text import Text  # noqa: PLC0415 -- as above

    id = node.id if isinstance(node.id, str) and node.id.isprintable() else repr(node.id)  # noqa: A001 -- the field's word
    if node.kind == "system":
        return Text.assemble(("system", "dim"), " ", (id, "bold"))
    line = Text(id, style="bold cyan" if node.kind == "supervisor" else "bold")
    if isinstance(node.ref, Ref):
        what = f"{node.ref.actor_class.__name__}#{node.ref.pid}"
        if what != id:
            line.append(f"  {what}", "not bold default")
        if node.ref.name not in {None, id}:
            line.append(f"  named {node.ref.name!r}", "not bold default")
        line.append("  running", "not bold green")
    else:
        line.append(f"  {node.kind}", "not bold default")
        line.append(*("  restarting", "yellow") if node.ref is RESTARTING else ("  stopped", "not bold red"))
    if node.restarts:
        line.append(f"  {node.restarts} restart{'s' * (node.restarts > 1)}", "not bold yellow")
    if node.mailbox:
        line.append(f"  {node.mailbox} waiting", "not bold magenta")
    return line
