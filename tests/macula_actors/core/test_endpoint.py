import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.endpoint import Endpoint
from tests.macula_actors.core.refusal import unless_refused

names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z])?(\.[a-z]{1,9}){0,3}", fullmatch=True)
addresses = st.ip_addresses().map(str)
ports = st.integers(0, 65535)
endpoints = st.builds(Endpoint, names | addresses, ports)


@given(endpoints)
def test_an_endpoint_is_read_from_the_texts_it_is_shown_as(endpoint):
    assert Endpoint.parse(str(endpoint)) == Endpoint.parse(endpoint.url) == endpoint


@given(st.builds(Endpoint, addresses, ports))
def test_an_address_is_read_from_the_bytes_it_is_written_as(endpoint):
    assert Endpoint.from_bytes(endpoint.to_bytes()) == endpoint


@given(st.text("a1.:[]/-@ ", max_size=20) | st.text())
def test_any_text_is_an_endpoint_or_refused(text):
    endpoint = unless_refused(Endpoint.parse, text)

    assert endpoint is None or Endpoint.parse(str(endpoint)) == endpoint


@given(st.binary(max_size=20))
def test_any_bytes_are_an_endpoint_or_refused(data):
    endpoint = unless_refused(Endpoint.from_bytes, data)

    assert endpoint is None or Endpoint.from_bytes(endpoint.to_bytes()) == endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:9443", "localhost", 9443),
        ("https://localhost:1", "localhost", 1),
        ("HTTPS://Host.Example/", "host.example", 9443),
        ("http://127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:1", "::1", 1),
        ("https://[2001:DB8:0::1]", "2001:db8::1", 9443),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("my_node-1", "my_node-1", 9443),
        ("h:007", "h", 7),
        ("[::ffff:127.0.0.1]:1", "127.0.0.1", 1),
        ("https://[::FFFF:7f00:1]", "127.0.0.1", 9443),
    ],
)
def test_every_form_is_read(text, host, port):
    assert Endpoint.parse(text) == Endpoint(host, port)


def test_the_default_port_is_for_texts_without_one():
    assert Endpoint.parse("h", 443) == Endpoint("h", 443)
    assert Endpoint.parse("h:1", 443) == Endpoint("h", 1)


@pytest.mark.parametrize(
    "text",
    [
        "a:b:1",
        "::1",
        "h:",
        "h:x",
        "h:+5",
        "h:-1",
        "h:1 ",
        "h:123456",
        "h:٣",
        "ftp://h:21",
        "http\u017f://h",
        "https://h/path",
    ],
)
def test_what_is_not_written_as_an_endpoint_is_refused(text):
    with pytest.raises(ValueError, match="allowed are host:port"):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    "host",
    [
        "",
        " h",
        "a b",
        "user@h",
        "-a",
        "a-",
        "a..b",
        "a.",
        "ü",
        "\u212a",
        "h\n",
        "a" * 64,
        ".".join(["a" * 62] * 5),
        "[h]",
    ],
)
def test_a_host_that_is_no_name_is_refused(host):
    with pytest.raises(ValueError, match="allowed are a DNS name"):
        Endpoint(host, 1)


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "256.0.0.1",
        "0177.0.0.1",
        "0x7f000001",
        "a.0X1",
        "1",
        "a.1",
        ":",
        "::g",
        "[::1]",
        "1::2::3",
        "1.2.3.4:5",
    ],
)
def test_a_host_that_looks_like_an_address_and_is_none_is_refused(host):
    with pytest.raises(ValueError):
        Endpoint(host, 1)


def test_an_address_with_a_zone_is_refused():
    with pytest.raises(ValueError, match="zone"):
        Endpoint("fe80::1%eth0", 1)


@pytest.mark.parametrize("text", ["[127.0.0.1]:1", "[h]:1", "[]:1"])
def test_brackets_are_for_ipv6(text):
    with pytest.raises(ValueError):
        Endpoint.parse(text)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_does_not_fit_is_refused(port):
    with pytest.raises(ValueError, match="allowed are 0 to 65535"):
        Endpoint("h", port)


def test_hosts_are_equal_however_they_are_written():
    assert Endpoint("Host", 1) == Endpoint("host", 1)
    assert Endpoint("0:0:0:0:0:0:0:1", 1) == Endpoint("::1", 1)


def test_an_ipv6_host_is_shown_in_brackets():
    assert str(Endpoint("::1", 9443)) == "[::1]:9443"
    assert Endpoint("::1", 9443).url == "https://[::1]:9443"


def test_addresses_are_written_with_their_family():
    assert Endpoint("127.0.0.1", 9443).to_bytes() == bytes.fromhex("04 7f000001 24e3")
    assert Endpoint("::1", 443).to_bytes() == b"\x06" + bytes(15) + b"\x01" + bytes.fromhex("01bb")


def test_a_name_is_not_written_as_bytes():
    with pytest.raises(ValueError, match="localhost"):
        Endpoint("localhost", 1).to_bytes()


@pytest.mark.parametrize("data", ["", "04", "047f00000124e300", "057f00000124e3", "067f00000124e3"])
def test_bytes_of_another_family_or_length_are_refused(data):
    with pytest.raises(ValueError, match="allowed are 7 bytes"):
        Endpoint.from_bytes(bytes.fromhex(data))
