from itertools import starmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.cli.topology import DOINGS, NodeSpec, load_topology, resolve, waves
from macula_actors.config_sources import toml_line
from macula_actors.errors import ConfigError
from macula_actors.node_config import NodeConfig

EXAMPLES = Path(__file__).parents[3] / "examples" / "topologies"

TWO = """
[topology]
name = "two"
[defaults]
realm = "com.example"
listen = "127.0.0.1:0"
[[node]]
name = "a"
[[node]]
name = "b"
mode = "edge"
bootstrap = ["@a", "127.0.0.1:9"]
[[check]]
from = "b"
do = "call"
procedure = "test.echo"
args = 1
expect = 1
within = 5
"""


CHECK = "[[node]]\n[[check]]\nfrom = 'node1'\n"


def load(tmp_path, text):
    (tmp_path / "some.toml").write_text(text)
    return load_topology(tmp_path / "some.toml")


def error(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def outcome(tmp_path, text):
    try:
        return load(tmp_path, text).name
    except ConfigError as caught:
        return str(caught)


def test_nodes_have_the_defaults_and_their_own_keys(tmp_path):
    topology = load(tmp_path, TWO)

    a, b = topology.nodes
    assert topology.name == "two"
    assert a.options == {"realm": "com.example", "listen": "127.0.0.1:0", "name": "a"}
    assert (b.options["mode"], b.options["realm"], b.needs) == ("edge", "com.example", {"a"})


def test_each_node_has_a_directory_of_its_own_in_that_of_the_defaults(tmp_path):
    topology = load(tmp_path, "[defaults]\ndata_dir = 'd'\n[[node]]\n[[node]]\n[[node]]\ndata_dir = 'own'")

    assert [each.options["data_dir"] for each in topology.nodes] == ["d/node1", "d/node2", "own"]


def test_no_directory_is_for_all(tmp_path):
    topology = load(tmp_path, "[defaults]\ndata_dir = 'none'\n[[node]]\n[[node]]")

    assert [each.options["data_dir"] for each in topology.nodes] == ["none", "none"]


def test_the_name_in_a_check_that_kills_is_that_of_the_process(tmp_path):
    (check,) = load(tmp_path, CHECK + "do = 'kill'\nname = 'rpc_handler'").checks

    assert (check.name, check.arguments) == ("kill rpc_handler", {"name": "rpc_handler"})


def test_checks_say_who_does_what_and_what_must_come_of_it(tmp_path):
    (check,) = load(tmp_path, TWO).checks

    assert (check.from_, check.do, check.arguments) == ("b", "call", {"procedure": "test.echo", "args": 1})
    assert (check.has_expect, check.expect, check.expect_error, check.within) == (True, 1, "", 5.0)
    assert check.name == "call test.echo 1"


def test_a_topology_without_a_name_has_that_of_its_file(tmp_path):
    topology = load(tmp_path, "[[node]]\n[[node]]")

    assert topology.name == "some"
    assert [each.name for each in topology.nodes] == ["node1", "node2"]


def test_references_become_endpoints():
    options = {"bootstrap": ["@a", "h:1"], "gateways": ["@b"], "name": "@a", "deny": "auto"}

    resolved = resolve(options, {"a": "127.0.0.1:5", "b": "127.0.0.1:6"})

    assert resolved == {"bootstrap": ["127.0.0.1:5", "h:1"], "gateways": ["127.0.0.1:6"], "name": "@a", "deny": "auto"}


def test_nodes_that_need_only_earlier_ones_start_together():
    specs = [
        NodeSpec("a", {}),
        NodeSpec("b", {"bootstrap": ["@a"]}),
        NodeSpec("c", {}),
        NodeSpec("d", {"gateways": ["@b", "@c"]}),
    ]

    assert [[each.name for each in wave] for wave in waves(specs)] == [["a", "c"], ["b"], ["d"]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "node = '': allowed: one [[node]] at least"),
        ("node = 3", "node = '3': allowed: tables, written [[node]]"),
        ("[[nodes]]", "nodes = '[{}]': no such table; allowed: topology, defaults, node, check"),
        ("topology = 1", "topology = '1': allowed: a table, written [topology]"),
        ("[topology]\nnames = 1", "topology: names = '1': no such key"),
        ("[topology]\nname = 1\n[[node]]", "topology: name = '1': allowed: a text"),
        ("[topology]\ndescription = [1]\n[[node]]", "topology: description = '[1]': allowed: a text"),
        ("[defaults]\nname = 'x'", "defaults: name = 'x': allowed: none; each [[node]] has one of its own"),
        (
            "[[node]]\nadmin = '/tmp/x.sock'",
            "node node1: admin = '/tmp/x.sock': leave it out: macula up makes one and shows it",
        ),
        (
            "[defaults]\nadmin = 'none'\n[[node]]",
            "node node1: admin = 'none': leave it out: macula up makes one and shows it",
        ),
        (
            "[[node]]\n[[node]]\ngateways = ['@node1', '@x']",
            "node node2: gateways = '@x': allowed: nodes above: node1",
        ),
        ("[[node]]\n[[check]]\nfrom = ['node1']\ndo = 'status'", "check 1: from = \"['node1']\": allowed: node1"),
        ("[[node]]\n[[check]]\nfrom = {a = 1}\ndo = 'status'", "check 1: from = \"{'a': 1}\": allowed: node1"),
        (
            CHECK + "do = 'status'\nexpect = [{a = 0x8000000000000000}]",
            "a = '0x8000000000000000': allowed: whole numbers up to 9223372036854775807",
        ),
        ("[defaults]\nrelm = 1", "defaults: relm = '1': no such key"),
        ("[[node]]\nname = 'a b'", "node 1: name = 'a b': allowed: letters, digits, - and _; each name once"),
        (
            "[[node]]\nname='a'\n[[node]]\nname='a'",
            "node 2: name = 'a': allowed: letters, digits, - and _; each name once",
        ),
        ("[[node]]\nname = 'a'\nmode = 'x'", "node a: mode = 'x': allowed: bootstrap, gateway, edge, hybrid"),
        ("[[node]]\nname = 'a'\nbootstrap = ['@b']", "node a: bootstrap = '@b': allowed: nodes above: none"),
        ("[[node]]\nname = 'a'\nbootstrap = ['@a']", "node a: bootstrap = '@a': allowed: nodes above: none"),
        ("[[node]]\nname = 'a'\nbootstrap = '@b'", "node a: bootstrap = '@b': allowed: a list, such as ['@gateway']"),
        (
            "[[node]]\nname = 'a'\nbootstrap = [1]",
            "node a: bootstrap = '[1]': allowed: a list of host:port, [IPv6]:port; as text, with commas",
        ),
        ("[[node]]\n[[check]]\nfrom = 'x'\ndo = 'find'", "check 1: from = 'x': allowed: node1"),
        (
            "[[node]]\n[[check]]\nfrom = 'node1'\ndo = 'fly'",
            "check 1: do = 'fly': allowed: advertise_echo, call, deny, discover, find, kill, status, store",
        ),
        (
            "[[node]]\n[[check]]\nfrom = 'node1'\ndo = 'find'\nkeys = 1",
            "check 1: keys = '1': no such key; find has key, timeout",
        ),
        (
            "[[node]]\n[[check]]\nfrom = 'node1'\ndo = 'call'\nnode_id = '@x'",
            "check 1: node_id = '@x': allowed: @node1",
        ),
        (
            "[[node]]\n[[check]]\nfrom = 'node1'\ndo = 'status'\nwithin = true",
            "check 1: within = 'True': allowed: 0 to 3600 seconds",
        ),
        ("check = [1]\n[[node]]", "check = '[1]': allowed: tables, written [[check]]"),
        (
            "[[node]]\nname='a'\ndata_dir='/x/y'\n[[node]]\nname='b'\ndata_dir='/x/./y'",
            "node b: data_dir = '/x/y': allowed: another than node a has",
        ),
        (
            "[[node]]\nname='a'\nlisten='h:1'\n[[node]]\nname='b'\nlisten='h:1'",
            "node b: listen = 'h:1': allowed: another than node a has",
        ),
        (
            "[defaults]\nlisten='h:0'\nhealth_port=1\n[[node]]\nname='a'\n[[node]]\nname='b'",
            "node b: health_port = '127.0.0.1:1': allowed: another than node a has",
        ),
        (CHECK + "do = 'call'", "check 1: procedure = '': call needs it"),
        (CHECK + "do = 'kill'", "check 1: name = '': kill needs it"),
        (CHECK + "do = 'store'\nkey = 'k'", "check 1: value = '': store needs it"),
        (CHECK + "do = 'find'\nkey = 1", "check 1: key = '1': allowed: a text"),
        (CHECK + "do = 'call'\nprocedure = ''", "check 1: procedure = '': allowed: a text"),
        (CHECK + "do = 'status'\nname = 1", "check 1: name = '1': allowed: a text"),
        (CHECK + "do = 'status'\nexpect_error = 1", "check 1: expect_error = '1': allowed: a text"),
        (CHECK + "do = 'find'\nkey = 'k'\ntimeout = nan", "check 1: timeout = 'nan': allowed: seconds above 0"),
        (CHECK + "do = 'find'\nkey = 'k'\ntimeout = 'x'", "check 1: timeout = 'x': allowed: seconds above 0"),
        (CHECK + "do = 'discover'\nprocedure = 'p'\nlocal = 1", "check 1: local = '1': allowed: true, false"),
        (
            CHECK + "do = 'call'\nprocedure = 'p'\nmax_hops = 1.5",
            "check 1: max_hops = '1.5': allowed: a whole number from 0",
        ),
        (
            CHECK + "do = 'call'\nprocedure = 'p'\npaths = []",
            "check 1: paths = '[]': allowed: a list of direct, routed, relay",
        ),
        (
            CHECK + "do = 'deny'\nnetworks = ['x']",
            "check 1: networks = \"['x']\": allowed: a list such as ['10.0.0.0/8']",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, line):
    assert error(tmp_path, text) == line


def test_there_is_a_limit_to_nodes(tmp_path):
    assert error(tmp_path, "[[node]]\n" * 257) == "node = '257': allowed: 256 nodes"


values = st.text(max_size=5) | st.integers() | st.booleans() | st.lists(st.text(max_size=3) | st.integers(), max_size=2)
lines = st.dictionaries(
    st.sampled_from(["name", "mode", "bootstrap", "from", "do", "node_id", "within", "procedure", "gateways"]), values
).map(lambda table: "\n".join(starmap(toml_line, table.items())))


@given(lines, lines, lines)
def test_any_tables_are_a_topology_or_a_config_error(tmp_path_factory, first, second, check):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(f"[[node]]\n{first}\n[[node]]\n{second}\n[[check]]\n{check}\n")

    try:
        topology = load_topology(path)
    except ConfigError as caught:
        assert len(str(caught).splitlines()) == 1
    else:
        assert len(topology.nodes) == 2


TYPES = ("''", "'x'", "1", "-1.5", "nan", "true", "[]", "['x']", "[{}]", "{}", "{a = 1}", "12:00:00", f"0x{'f' * 5000}")
CHECK_KEYS = {"from", "do", "name", "expect", "expect_error", "within"}.union(*(a | b for a, b in DOINGS.values()))
KEYS = {
    "": ["topology", "defaults", "node", "check"],
    "[topology]\n{}\n[[node]]": ["name", "description", "x"],
    "[defaults]\n{}\n[[node]]": [*NodeConfig.keys(), "x"],
    "[[node]]\n{}": [*NodeConfig.keys(), "x"],
    "[[node]]\n[[check]]\n{}": sorted(CHECK_KEYS),
    **{f"{CHECK}do = '{do}'\n{{}}": sorted(CHECK_KEYS - {"from", "do"}) for do in DOINGS},
}


@pytest.mark.parametrize(("text", "key"), [(text or "{}", key) for text, keys in KEYS.items() for key in keys])
def test_a_key_with_a_value_of_any_type_is_of_a_topology_or_a_config_error(tmp_path, text, key):
    told = [outcome(tmp_path, text.format(f"{key} = {value}")) for value in TYPES]

    assert not any("\n" in each for each in told)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_topologies(path):
    topology = load_topology(path)

    assert topology.name == path.stem
    assert topology.description
    assert topology.checks
