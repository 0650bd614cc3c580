import copy
import os
import pickle
import re
from dataclasses import FrozenInstanceError, asdict, replace
from itertools import starmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.config_sources import toml_line
from macula_actors.core.endpoint import Endpoint
from macula_actors.core.peer.handshake import Security
from macula_actors.core.pubsub.bounded_queue import FullPolicy
from macula_actors.core.pubsub.topic import DOTTED, HASH, MQTT, Dialect
from macula_actors.core.rpc.call_plan import Path as CallPath
from macula_actors.core.rpc.selector import Strategy
from macula_actors.core.secret import Secret
from macula_actors.errors import ConfigError
from macula_actors.node_config import Mode, NodeConfig

KEYS = NodeConfig.keys()
BOUND = Endpoint("127.0.0.1", 4711)


def write(path, text):
    path.write_text(text)
    return path


def load(tmp_path, toml="", environ=None, **options):
    return NodeConfig.load(write(tmp_path / "node.toml", toml), environ=environ or {}, **options)


def error(**values):
    with pytest.raises(ConfigError) as caught:
        NodeConfig(**values)
    return str(caught.value)


def setting(config, key):
    return next(each for each in config.describe() if each.key == key)


def test_values_are_read_from_text_as_in_the_contract():
    config = NodeConfig(mode=Mode.EDGE, realm="com.example", listen="127.0.0.1:0", bootstrap=["127.0.0.1:9443"])

    assert config.mode is Mode.EDGE
    assert config.listen == Endpoint("127.0.0.1", 0)
    assert config.bootstrap == (Endpoint("127.0.0.1", 9443),)


def test_values_are_taken_as_they_are():
    config = NodeConfig(listen=BOUND, strategy=Strategy.FIRST, security=Security.OPEN, data_dir=Path("here"))

    assert (config.listen, config.strategy) == (BOUND, Strategy.FIRST)
    assert (config.security, config.data_dir) == (Security.OPEN, Path("here"))


def test_the_constructor_does_not_read_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MACULA_REALM", "org.other")
    monkeypatch.setenv("REALM", "org.other")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / ".env", "MACULA_REALM=org.other\nREALM=org.other\n")

    assert NodeConfig().realm == "macula.default"


def test_load_reads_the_environment_of_the_process_unless_it_is_given_one(monkeypatch):
    monkeypatch.setenv("MACULA_REALM", "org.other")

    assert NodeConfig.load().realm == "org.other"
    assert NodeConfig.load(environ={}).realm == "macula.default"


def test_options_go_before_the_environment_that_before_the_file_and_that_before_the_defaults(tmp_path):
    toml = 'realm = "of.file"\nname = "of-file"\nmax_hops = 7'
    config = load(tmp_path, toml, {"MACULA_REALM": "of.environment", "NODE_NAME": "of-environment"}, realm="of.option")

    assert (config.realm, config.name, config.max_hops, config.dht_k) == ("of.option", "of-environment", 7, 20)


def test_it_is_told_where_each_value_is_from(tmp_path):
    config = load(tmp_path, "max_hops = 7", {"NODE_NAME": "n"}, realm="r")

    origins = {key: setting(config, key).origin for key in ("realm", "name", "max_hops", "dht_k")}
    assert origins == {
        "realm": "option",
        "name": "environment, NODE_NAME",
        "max_hops": f"file, {tmp_path}/node.toml",
        "dht_k": "default",
    }


@pytest.mark.parametrize(("name", "expected"), [("dotted", DOTTED), ("hash", HASH), ("mqtt", MQTT)])
def test_topics_are_written_in_one_of_the_dialects(name, expected):
    assert NodeConfig(topic_dialect=name).dialect == expected


def test_each_part_of_how_topics_are_written_can_be_set_by_itself(tmp_path):
    environ = {"MACULA_TOPIC_WILDCARD_SINGLE": "?", "MACULA_TOPIC_WILDCARD_MULTI": "..."}
    config = load(tmp_path, 'topic_separator = "/"', environ)

    assert config.dialect == Dialect("/", "?", "...")
    assert NodeConfig(topic_separator=":", topic_dialect="mqtt").dialect == Dialect(":", "+", "#")
    assert NodeConfig(topic_separator="auto", topic_wildcard_multi="#").dialect == HASH


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("topic_separator", "a"),
        ("topic_separator", "::"),
        ("topic_separator", " "),
        ("topic_separator", ""),
        ("topic_wildcard_single", "any"),
        ("topic_wildcard_single", "**"),
        ("topic_wildcard_multi", "*"),
        ("topic_wildcard_multi", "*.*"),
        ("topic_wildcard_multi", "*" * 17),
        ("topic_separator", "*"),
    ],
)
def test_how_topics_are_written_must_tell_them_apart(key, value):
    assert error(**{key: value}).startswith(f"{key} = {value.strip()!r}: allowed: ")


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("MACULA_SLOW_SUBSCRIBER", "disconnect", "slow_subscriber", FullPolicy.DISCONNECT),
        ("MACULA_MAX_QUEUED_EVENTS", "5", "max_queued_events", 5),
        ("MACULA_PUBLISH_TIMEOUT", "0.5", "publish_timeout", 0.5),
        ("MACULA_SUBSCRIPTION_TTL", "30", "subscription_ttl", 30),
    ],
)
def test_each_variable_of_publish_and_subscribe_sets_its_key(variable, value, key, expected):
    assert getattr(NodeConfig.load(environ={variable: value}), key) == expected


@pytest.mark.parametrize(
    ("key", "allowed"),
    [("topic_dialect", "dotted, hash, mqtt"), ("slow_subscriber", "drop_oldest, drop_newest, hold, disconnect")],
)
def test_a_choice_that_is_none_names_the_choices(key, allowed):
    assert error(**{key: "x"}) == f"{key} = 'x': allowed: {allowed}"


def test_an_option_that_is_none_was_not_given(tmp_path):
    assert load(tmp_path, 'realm = "of.file"', realm=None).realm == "of.file"


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("GATEWAY_PORT", "4433", "listen", Endpoint("0.0.0.0", 4433)),
        ("MACULA_LISTEN", "[::1]:4433", "listen", Endpoint("::1", 4433)),
        ("HEALTH_PORT", "0", "health_port", 0),
        ("NODE_NAME", "ann", "name", "ann"),
        ("NODE_HOST", "ann.example", "advertise", Endpoint("ann.example", 0)),
        ("MACULA_REALM", "com.example", "realm", "com.example"),
        ("MACULA_MODE", "hybrid", "mode", Mode.HYBRID),
        ("MACULA_BOOTSTRAP", "a:1, b:2", "bootstrap", (Endpoint("a", 1), Endpoint("b", 2))),
        ("MACULA_GATEWAYS", "none", "gateways", ()),
        ("MACULA_GATEWAYS", "auto", "gateways", None),
        ("MACULA_START_GATEWAY", "no", "start_gateway", False),
        ("MACULA_PATHS", "relay,direct", "paths", (CallPath.DIRECT, CallPath.RELAY)),
        ("MACULA_RPC_TIMEOUT", "2.5", "rpc_timeout", 2.5),
        ("MACULA_DATA_DIR", "~/node", "data_dir", Path.home() / "node"),
        ("MACULA_LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ],
)
def test_each_variable_sets_its_key(variable, value, key, expected):
    assert getattr(NodeConfig.load(environ={variable: value}), key) == expected


def test_gateway_port_goes_with_a_host_that_is_left_to_the_node(tmp_path):
    assert load(tmp_path, 'listen = "auto"', {"GATEWAY_PORT": "7777"}).listen == Endpoint("0.0.0.0", 7777)


def test_the_path_of_the_file_may_be_text(tmp_path):
    assert NodeConfig.load(str(write(tmp_path / "node.toml", 'name = "a"')), environ={}).name == "a"


def test_gateway_port_leaves_the_host_of_the_file(tmp_path):
    assert load(tmp_path, 'listen = "[::1]:1"', {"GATEWAY_PORT": "2"}).listen == Endpoint("::1", 2)
    assert load(tmp_path, "listen = 3", {"GATEWAY_PORT": "2"}).listen == Endpoint("0.0.0.0", 2)


def test_a_variable_with_the_prefix_goes_before_upstreams():
    environ = {"GATEWAY_PORT": "2", "MACULA_LISTEN": "h:3", "HEALTH_PORT": "4", "MACULA_HEALTH_PORT": "none"}

    config = NodeConfig.load(environ=environ)

    assert (config.listen, config.health_port) == (Endpoint("h", 3), "none")


@pytest.mark.parametrize("variable", ["MACULA_REALM", "GATEWAY_PORT", "NODE_ID", "MACULA_NOSUCH", "NODE_HOST"])
def test_an_empty_variable_is_none(variable):
    assert NodeConfig.load(environ={variable: " "}) == NodeConfig.load(environ={})


@pytest.mark.parametrize("variable", ["MODE", "REALM", "PATH", "TLS_CERT_FILE", "MACULA_CONFIG", "MACULA_VECTORS"])
def test_other_variables_are_not_read(variable):
    assert NodeConfig.load(environ={variable: "edge"}) == NodeConfig.load(environ={})


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ("NODE_ID", "NODE_ID = 'x': a node's id is made of its key: unset it, and keep data_dir"),
        ("GATEWAY_PORT", "GATEWAY_PORT = 'x': allowed: 0 (a free one) to 65535"),
        ("MACULA_RELM", "MACULA_RELM = 'x': no such variable; those with MACULA_ are keys of the configuration"),
        (
            "MACULA_DHT_K",
            "dht_k = 'x': allowed: a whole number from 1 to 1000000000 (environment, MACULA_DHT_K)",
        ),
        (
            "HEALTH_PORT",
            "health_port = 'x': allowed: 0 (a free one) to 65535, auto, none (environment, HEALTH_PORT)",
        ),
    ],
)
def test_a_wrong_variable_is_named(variable, line):
    with pytest.raises(ConfigError, match=f"^{re.escape(line)}$"):
        NodeConfig.load(environ={variable: "x"})


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("mode", "server", "bootstrap, gateway, edge, hybrid"),
        ("security", "none", "verified, open"),
        ("strategy", "best", "first, random, round_robin, closest"),
        ("engine", "quiche", "aioquic, qh3, auto"),
        ("name", "", "1 to 64 printable characters"),
        ("name", "x" * 65, "1 to 64 printable characters"),
        ("realm", "a b", "ASCII letters, digits, '_' and '-', in parts joined by dots, 255 in all"),
        ("listen", "127.0.0.1:65536", "host:port, [IPv6]:port, port 0 for a free one, auto"),
        ("advertise", "0.0.0.0:1", "host:port, [IPv6]:port, host alone (with the port listened on), auto, none"),
        ("bootstrap", ["a:0"], "a list of host:port, [IPv6]:port; as text, with commas"),
        ("bootstrap", 5, "a list of host:port, [IPv6]:port; as text, with commas"),
        ("gateways", ["::"], "a list of host:port, [IPv6]:port; as text, with commas, auto"),
        ("deny", ["10.0.0.1/8"], "a list of networks such as 10.0.0.0/8; as text, with commas"),
        ("paths", [], "a list of direct, routed, relay; as text, with commas, one at least"),
        ("paths", "teleport", "a list of direct, routed, relay; as text, with commas, one at least"),
        ("accept_peers", 1, "true, false"),
        ("start_gateway", "maybe", "true, false, auto"),
        ("health_port", -1, "0 (a free one) to 65535, auto, none"),
        ("health_host", "a/b", "a DNS name or an IP address"),
        ("log_level", "loud", "TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL"),
        ("data_dir", "a\0b", "a path, none"),
        ("admin", 7, "a path, auto, none"),
        ("admin", "x" * 104, "a path of at most 103 bytes, none"),
        ("max_hops", 0, "a whole number from 1 to 255"),
        ("max_hops", 256, "a whole number from 1 to 255"),
        ("service_ttl", 86_401, "a whole number from 1 to 86400"),
        ("dht_ttl", 100_000, "a whole number from 1 to 86400"),
        ("subscription_ttl", 0, "a whole number from 1 to 86400"),
        ("dht_k", True, "a whole number from 1 to 1000000000"),
        ("dht_ttl", 1.5, "a whole number from 1 to 86400"),
        ("rpc_timeout", 0, "a number above 0, at most 31536000"),
        ("rpc_timeout", float("nan"), "a number above 0, at most 31536000"),
        ("rpc_timeout", float("inf"), "a number above 0, at most 31536000"),
        ("rpc_timeout", True, "a number above 0, at most 31536000"),
        ("rpc_timeout", "1_000", "a number above 0, at most 31536000"),
        ("dht_k", "\N{ARABIC-INDIC DIGIT THREE}", "a whole number from 1 to 1000000000"),
        ("bootstrap_health_interval", 1e-9, "a number from 0.01 to 31536000"),
    ],
)
def test_an_error_names_the_key_the_value_and_what_is_allowed(key, value, allowed):
    shown = " ".join(str(value).split())

    assert error(**{key: value}) == f"{key} = {shown!r}: allowed: {allowed}"


def test_of_several_errors_the_first_is_told_and_how_many_more():
    assert error(dht_k=0, dht_kk=1, mode="x").endswith("bootstrap, gateway, edge, hybrid (and 2 more)")


def test_an_unknown_key_is_told_with_the_one_that_was_meant():
    assert error(bootstraps=[]) == "bootstraps = '[]': no such key; did you mean bootstrap?"
    assert error(zzz=1) == "zzz = '1': no such key; `macula config --keys` lists them"


def test_a_realm_with_a_secret_has_one_and_is_verified():
    assert error(realm_secret="s", realm_secret_file="f").startswith("realm_secret_file = 'f': allowed: none")
    assert error(realm_secret="s", security="open").startswith("security = 'open': allowed: verified")
    assert error(realm_secret_file="f", security="open").startswith("security = 'open': allowed: verified")


def test_the_socket_in_a_data_dir_needs_a_short_path():
    assert "allowed: a path of at most 103 bytes, none" in error(data_dir="/" + "x" * 100)
    assert NodeConfig(data_dir="/" + "x" * 100, admin="none").admin_socket is None


@pytest.mark.parametrize("value", ["", " ", 7, "s\0"])
def test_a_wrong_secret_is_not_shown(value):
    assert error(realm_secret=value).startswith("realm_secret = '********': allowed: a text")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("realm_secrett", "hunter2"),
        ("realm_secert", "hunter2"),
        ("secret", "hunter2"),
        ("realm", {"secret": "hunter2"}),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(key, value):
    assert "hunter2" not in error(**{key: value})


@pytest.mark.parametrize("variable", ["MACULA_SECRET", "MACULA_REALM_SECRETS"])
def test_a_secret_in_a_variable_of_the_wrong_name_is_not_shown(variable):
    with pytest.raises(ConfigError, match=rf"^{variable} = '\*{{8}}'"):
        NodeConfig.load(environ={variable: "hunter2"})


def test_a_secret_is_shown_nowhere():
    config = NodeConfig(realm_secret="hunter2")

    assert config.read_realm_secret() == b"hunter2"
    assert "hunter2" not in f"{config} {config!r} {config.describe()} {config.to_toml()} {asdict(config)}"


def test_a_secret_is_read_from_its_file_without_white_space(tmp_path):
    config = NodeConfig(realm_secret_file=write(tmp_path / "secret", "hunter2\n"))

    assert config.read_realm_secret() == b"hunter2"
    assert NodeConfig().read_realm_secret() is None


@pytest.mark.parametrize("content", ["", "\n", "x" * 4097])
def test_a_secret_of_the_wrong_length_is_refused(tmp_path, content):
    config = NodeConfig(realm_secret_file=write(tmp_path / "secret", content))

    with pytest.raises(ConfigError, match="allowed: a file of 1 to 4096 bytes"):
        config.read_realm_secret()


def test_a_secret_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"allowed: a file that can be read \(No such file"):
        NodeConfig(realm_secret_file=tmp_path / "secret").read_realm_secret()


@pytest.mark.parametrize(
    ("mode", "has_gateway", "listen", "http_port"),
    [
        (Mode.BOOTSTRAP, False, "0.0.0.0:9443", None),
        (Mode.GATEWAY, True, "0.0.0.0:9443", 8080),
        (Mode.EDGE, False, "0.0.0.0:0", None),
        (Mode.HYBRID, True, "0.0.0.0:9443", 8080),
    ],
)
def test_auto_goes_by_the_mode(mode, has_gateway, listen, http_port):
    config = NodeConfig(mode=mode)

    assert (config.has_gateway, str(config.listen_endpoint), config.http_port) == (has_gateway, listen, http_port)
    assert (mode.is_gateway, mode.is_bootstrap) == (has_gateway, mode in {Mode.BOOTSTRAP, Mode.HYBRID})


def test_start_gateway_overrides_the_mode():
    assert NodeConfig(mode=Mode.EDGE, start_gateway=True).has_gateway
    assert not NodeConfig(mode=Mode.HYBRID, start_gateway=False).has_gateway


def test_health_can_be_switched_off():
    assert NodeConfig(health_port="none").http_port is None
    assert NodeConfig(health_port=0).http_port == 0


def test_gateways_are_those_of_bootstrap_unless_given():
    assert NodeConfig(bootstrap="a:1").gateway_endpoints == (Endpoint("a", 1),)
    assert NodeConfig(bootstrap="a:1", gateways="b:2").gateway_endpoints == (Endpoint("b", 2),)
    assert NodeConfig(bootstrap="a:1", gateways=[]).gateway_endpoints == ()


def test_the_admin_socket_is_in_the_data_dir_if_there_is_one(tmp_path):
    assert NodeConfig().admin_socket is None
    assert NodeConfig(data_dir=tmp_path).admin_socket == tmp_path / "admin.sock"
    assert NodeConfig(data_dir=tmp_path, admin="none").admin_socket is None
    assert NodeConfig(admin=tmp_path / "a").admin_socket == tmp_path / "a"


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", None])
def test_a_wildcard_is_advertised_nowhere(listen):
    assert NodeConfig(listen=listen).advertised(BOUND) is None


def test_who_listens_on_loopback_asks_for_it_to_be_advertised():
    assert NodeConfig(listen="127.0.0.1:0").advertised(BOUND) == BOUND


def test_what_is_advertised_can_be_said():
    assert NodeConfig(advertise="none", listen="127.0.0.1:0").advertised(BOUND) is None
    assert NodeConfig(advertise="a:5").advertised(BOUND) == Endpoint("a", 5)
    assert NodeConfig(advertise="a").advertised(BOUND) == Endpoint("a", 4711)


def test_who_takes_no_connections_advertises_nothing():
    config = NodeConfig(mode="edge", advertise="a:5", accept_peers=False)

    assert config.advertised(BOUND) is None
    assert NodeConfig(mode="gateway", advertise="a:5", accept_peers=False).advertised(BOUND) == Endpoint("a", 5)


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        NodeConfig().mode = Mode.EDGE


def test_configs_with_the_same_values_are_equal():
    assert NodeConfig(name="a") == NodeConfig.load(environ={"NODE_NAME": "a"})
    assert hash(NodeConfig(name="a")) == hash(NodeConfig.load(environ={"NODE_NAME": "a"}))
    assert NodeConfig(name="a") != NodeConfig(name="b")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))])
def test_a_copy_is_the_same_and_knows_where_its_values_are_from(copied):
    config = NodeConfig(realm_secret="hunter2", bootstrap="a:1", deny="10.0.0.0/8")

    assert copied(config) == config
    assert copied(config).describe() == config.describe()


def test_one_with_other_values_is_made_by_dataclasses_replace():
    config = NodeConfig(realm_secret="hunter2", listen="a:1")

    replaced = replace(config, name="y")

    assert replaced == NodeConfig(realm_secret="hunter2", listen="a:1", name="y")
    assert [each.key for each in replaced.describe() if each.origin != "default"] == ["name", "realm_secret", "listen"]


def test_a_secret_may_be_one_already():
    assert NodeConfig(realm_secret=Secret("hunter2")) == NodeConfig(realm_secret="hunter2")
    assert NodeConfig(realm_secret=Secret("hunter2")) != NodeConfig(realm_secret="hunter3")


def test_everything_is_described():
    for each in NodeConfig().describe():
        assert each.meaning
        assert each.allowed
        assert each.source
        assert each.origin == "default"
        assert each.value == each.default


def test_what_is_written_as_toml_is_read_as_the_same(tmp_path):
    config = NodeConfig(name='a "b" \u00e9', mode="edge", bootstrap="a:1,[::1]:2", deny="10.0.0.0/8", data_dir=tmp_path)

    assert load(tmp_path, config.to_toml()) == config


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"mode = ", "a TOML file (Invalid value"),
        (b"\xff", "a TOML file ('utf-8' codec"),
        (b"a = " + b"[" * 5000, "a TOML file ("),
        (b"a = " + b"1" * 5000, "a TOML file (Exceeds the limit"),
        (b"#" * 1_048_577, "a TOML file of at most 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_toml_is_refused(tmp_path, content, reason):
    (tmp_path / "node.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=re.escape(f"allowed: {reason}")) as caught:
        NodeConfig.load(tmp_path / "node.toml", environ={})
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"config = .*nowhere': .*No such file"):
        NodeConfig.load(tmp_path / "nowhere", environ={})


@pytest.mark.parametrize("wrap", [lambda number: number, lambda number: [number]])
def test_a_number_too_long_to_be_text_is_refused_like_others(wrap):
    assert error(dht_k=wrap(1 << 20_000)) == (
        "dht_k = '(too long a number)': allowed: a whole number from 1 to 1000000000"
    )


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["auto", "none", "127.0.0.1:1", "edge", "[::1]:2", "1.5", "~nobody-there", "\0", "1" * 5000])
    | st.dates()
    | st.times(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(KEYS) | st.text() | st.sampled_from(["self", "_build_sources", "values", "_origins"])


@given(st.dictionaries(keys, values, max_size=5))
def test_any_values_give_a_config_or_a_config_error_of_one_line(table):
    try:
        config = NodeConfig(**table)
    except ConfigError as caught:
        assert len(str(caught).splitlines()) == 1
    else:
        assert len(config.describe()) == len(KEYS)


@given(st.dictionaries(st.sampled_from(KEYS), st.text() | st.integers() | st.booleans() | st.lists(st.text())))
def test_any_toml_gives_a_config_or_a_config_error(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join(starmap(toml_line, table.items())))

    try:
        config = NodeConfig.load(path, environ={})
    except ConfigError:
        pass
    else:
        assert config == NodeConfig.load(environ={}, **table)


@given(st.dictionaries(st.sampled_from([f"MACULA_{key.upper()}" for key in KEYS]), st.text()))
def test_any_variables_give_a_config_or_a_config_error(environ):
    try:
        NodeConfig.load(environ=environ)
    except ConfigError as caught:
        assert os.linesep not in str(caught)
