"""Which addresses are denied."""

from ipaddress import ip_network

import pytest

from macula_actors.core.peer.denied import Denied

NETWORKS = tuple(map(ip_network, ("10.1.0.0/16", "192.0.2.7/32", "fd00::/8")))


@pytest.mark.parametrize("host", ["10.1.2.3", "192.0.2.7", "fd12::1", "fd12::1%eth0", "::ffff:10.1.2.3"])
def test_an_address_of_a_denied_network_is_denied(host):
    assert Denied(NETWORKS)((host, 9443))


@pytest.mark.parametrize("host", ["10.2.2.3", "192.0.2.8", "fe80::1%eth0", "::ffff:10.2.2.3"])
def test_any_other_address_is_not(host):
    assert not Denied(NETWORKS)((host, 9443))


def test_without_networks_nothing_is_denied():
    assert not Denied(())(("10.1.2.3", 9443))
