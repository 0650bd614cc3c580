"""The tree of a System for people to read."""

import io

from rich.console import Console

from supervisors import (
    RESTARTING,
    DynamicSupervisor,
    Strategy,
    Supervisor,
    SupFlags,
    TreeNode,
    start_child,
    terminate_child,
)
from supervisors.rendering import print_tree, render_tree
from supervisors.testing import wait_until_idle
from tests.support import Plain, kill, refs, supervise, worker


def printed(tree, **options):
    """Return what `print_tree` prints on a console of 100 columns."""
    out = io.StringIO()
    print_tree(tree, Console(file=out, width=100, **options))
    return out.getvalue()


def lines(*children):
    """Return the printed lines of a System with these nodes."""
    return printed(TreeNode("s", None, "system", children)).splitlines()


async def test_tree_of_a_system_is_indented_text(system):
    system.name = "shop"
    stock = Supervisor.child_spec(SupFlags(), [worker("shelf", [])], id="stock", name="stock")
    root = await system.start(Supervisor, SupFlags(), [stock, worker("till", [])], name="shop_sup")
    pool = await system.start(DynamicSupervisor, name="pool")
    await start_child(pool, worker("job", []))
    await terminate_child(root, "till")

    assert printed(system) == (
        "system shop\n"
        "├── shop_sup  Supervisor#1  running\n"
        "│   ├── stock  Supervisor#2  running\n"
        "│   │   └── shelf  Worker#3  running\n"
        "│   └── till  worker  stopped\n"
        "└── pool  DynamicSupervisor#5  running\n"
        "    └── job  Worker#6  running\n"
    )


async def test_tree_taken_earlier_is_shown_as_it_was(system):
    ref = await system.start(Plain, "a", [], name="a")
    tree = system.tree()
    await kill(ref)

    assert "a  Plain#1  running" in printed(tree)


async def test_restarts_are_shown(system):
    sup = await supervise(system, [worker(child, []) for child in "ab"], Strategy.ONE_FOR_ALL)
    await kill((await refs(sup))["a"])
    await wait_until_idle(system)
    await kill((await refs(sup))["a"])
    await wait_until_idle(system)

    assert "a  Worker#6  running  2 restarts\n" in printed(system)


async def test_one_restart_is_no_plural():
    assert lines(TreeNode("a", None, "worker", restarts=1))[1] == "└── a  worker  stopped  1 restart"


async def test_mailbox_length_is_shown(system):
    ref = await system.start(Plain, "a", [], name="a")
    ref.cast("one")
    ref.cast("two")

    assert "a  Plain#1  running  2 waiting\n" in printed(system)


async def test_name_is_shown_where_it_is_not_the_id(system):
    await supervise(system, [worker("a", [], name="the_worker")])

    assert "a  Worker#2  named 'the_worker'  running\n" in printed(system)


async def test_process_without_id_is_shown_once(system):
    await system.start(Plain, "a", [])

    assert "── Plain#1  running\n" in printed(system)


def test_child_between_restarts_is_restarting():
    assert lines(TreeNode("a", RESTARTING, "supervisor"))[1] == "└── a  supervisor  restarting"


def test_id_that_is_no_text_is_shown_as_in_python():
    assert lines(TreeNode(("shard", 3), None, "worker"))[1] == "└── ('shard', 3)  worker  stopped"


def test_id_cannot_break_its_line():
    assert lines(TreeNode("a\nb\x1b", None, "worker"))[1] == "└── 'a\\nb\\x1b'  worker  stopped"


def test_id_is_no_markup():
    assert lines(TreeNode("[red]a[/red]", None, "worker"))[1] == "└── [red]a[/red]  worker  stopped"


def test_terminal_gets_colours():
    tree = TreeNode("s", None, "system", [TreeNode("a", None, "worker")])

    assert "\x1b[" in printed(tree, force_terminal=True, color_system="standard")


def test_rendering_nests_as_the_tree_does():
    leaf = TreeNode("leaf", None, "worker")
    rendered = render_tree(TreeNode("s", None, "system", [TreeNode("sup", None, "supervisor", [leaf])]))

    assert str(rendered.children[0].children[0].label) == "leaf  worker  stopped"


def test_default_output_is_plain_and_unwrapped_where_it_is_no_terminal(capsys):
    print_tree(TreeNode("s", None, "system", [TreeNode("a" * 300, None, "worker")]))

    assert capsys.readouterr().out == "system s\n└── " + "a" * 300 + "  worker  stopped\n"
