"""Where a node can be reached: a host and a UDP port.

Erlang: macula_connection:parse_url/1, macula_peer_connector:parse_endpoint/1, macula_core_types:encode_address/1 and
three more parsers. RFC: 3986, section 3.2.2 (IPv6 in brackets).
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Self

from typing_extensions import override

__all__ = ["DEFAULT_PORT", "Endpoint"]

DEFAULT_PORT: Final = 9443  # macula_gateway

_MAX_PORT: Final = 65535
_MAX_HOST_LENGTH: Final = 253  # characters; RFC 1035, 2.3.4
_PORT_BYTES: Final = 2
_TEXT: Final = re.compile(
    r"(?:https?://)?(?:\[(?P<ipv6>[^\[\]]*:[^\[\]]*)\]|(?P<name>[^:/\[\]]*))(?::(?P<port>[0-9]{1,5}))?/*",
    re.ASCII | re.IGNORECASE,
)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")  # RFC 1123, 2.1; and "_", as container names have it
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port; ``str()`` of it is ``host:port``, an IPv6 host in brackets.

    Args:
        host: a DNS name, kept in lower case, or an IPv4 or IPv6 address, kept in its short form.
        port: 0 to 65535. 0 is for listening: any port that is free.

    Raises:
        ValueError: either is something else.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _MAX_PORT:
            raise ValueError(f"port {self.port}; allowed are 0 to {_MAX_PORT}")
        object.__setattr__(self, "host", _canonical_host(self.host))

    @classmethod
    def parse(cls, text: str, default_port: int = DEFAULT_PORT) -> Self:
        """Return the endpoint written as ``host``, ``host:port``, or a URL of either: ``https://host:port/``.

        An IPv6 address stands in brackets. A path, a user or another scheme is refused: none would be obeyed.

        Raises:
            ValueError: ``text`` is written in another way, or its host or port is none.
        """
        parts = _TEXT.fullmatch(text)
        if parts is None:
            raise ValueError(f"endpoint {text[:80]!r}; allowed are host:port, [IPv6]:port and https://host:port")
        return cls(parts["ipv6"] or parts["name"], int(parts["port"] or default_port))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the endpoint that `to_bytes` made ``data`` of.

        Raises:
            ValueError: the family is neither 4 nor 6, or the length is not that of its addresses.
        """
        family, address, port = data[:1], data[1:-_PORT_BYTES], data[-_PORT_BYTES:]
        match family, len(address):
            case (b"\x04", 4) | (b"\x06", 16):
                return cls(str(ip_address(address)), int.from_bytes(port))
            case _:
                raise ValueError(f"address {data[:32].hex()!r}; allowed are 7 bytes that begin with 4, 19 with 6")

    def to_bytes(self) -> bytes:
        """Return the family (one byte: 4 or 6), the address and the port, big-endian: 7 or 19 bytes.

        Raises:
            ValueError: the host is a name.
        """
        address = ip_address(self.host)
        return bytes([address.version]) + address.packed + self.port.to_bytes(_PORT_BYTES)

    @property
    def url(self) -> str:
        """The endpoint as v0.8 advertises it: ``https://host:port``."""
        return f"https://{self}"

    @override
    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _canonical_host(host: str) -> str:
    if ":" in host:
        address = IPv6Address(host)
        # RFC 4007, 11.2: a zone means something on one machine only
        if address.scope_id is not None:
            raise ValueError(f"host {host!r} has a zone; an address without one is needed")
        # RFC 4291, 2.5.5.2: it is that IPv4 address, which a socket for IPv4 can dial, too
        return str(address.ipv4_mapped or address)
    labels = host.lower().split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # a name never ends so, and resolvers read 127.1, 0177.0.0.1 or 0x7f000001 each in its own way
        return str(IPv4Address(host))
    if not host.isascii() or len(host) > _MAX_HOST_LENGTH or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"host {host[:80]!r}; allowed are a DNS name in ASCII, an IPv4 and an IPv6 address")
    return ".".join(labels)
