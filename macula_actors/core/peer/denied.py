"""Networks that this node neither dials nor lets in."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["Denied"]


class Denied:
    """Tells whether an address is in one of ``networks``; IPv4 in IPv6 is IPv4."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def __call__(self, address: tuple[str, int]) -> bool:
        """Tell it of an ``address`` as sockets give it: an IP address, perhaps with a scope, and a port."""
        if not self._networks:
            return False
        ip = ip_address(address[0].partition("%")[0])
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks)
