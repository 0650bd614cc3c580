"""Hosts of an own network on one machine, by Linux network namespaces; each public, or alone behind a NAT box.

No packet leaves the namespaces, and nothing of the machine's own network changes. Needs root, iproute2 and nftables.
"""

import os
import shutil
import subprocess

NETWORK = "172.20.0"  # /16; that of the original's containers
TOOLS = ("ip", "nft")

# What home routers do: inside to outside by its own address, nothing from outside that nobody inside has asked for.
NAT_BOX = """
table inet box {
  chain leaving { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
  chain passing { type filter hook forward priority filter; iifname "wan" ct state new drop; }
  chain coming { type filter hook input priority filter; iifname "wan" ct state new drop; }
}
"""
# Only what comes is dropped: a drop of what goes is an error at the sender's socket, which no cable makes.
CUT = """
table inet cut {{ chain coming {{ type filter hook prerouting priority raw; }}; }}
add rule inet cut coming ip saddr {address} drop
"""
NO_CUT = "table inet cut\ndelete table inet cut\n"


class NotPossibleError(Exception):
    """There can be no namespaces here, for the reason given."""


class Lab:
    """The hosts. A context manager: they are there inside of it.

    Args:
        hosts: the last byte of the address by name: of the host, or of the NAT box that it is behind.
        behind_nat: the names of those that are behind a box; the host's own address is 192.168.1.2 then.

    Raises:
        NotPossibleError: when it is entered.
    """

    def __init__(self, hosts, behind_nat=()):
        self.outside = {name: f"{NETWORK}.{last}" for name, last in hosts.items()}
        self.behind_nat = frozenset(behind_nat)
        self._prefix = f"macula{os.getpid()}"
        self._namespaces = []

    def __enter__(self):
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if os.geteuid() or missing:
            raise NotPossibleError(f"missing: {', '.join(missing)}" if missing else "only root can make namespaces")
        try:
            self._build()
        except subprocess.CalledProcessError as error:
            self._remove()
            raise NotPossibleError(f"{error.cmd}: {error.stderr.strip()}") from error
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *error):
        self._remove()

    def inside(self, name):
        """Return the command that runs another one on the host ``name``."""
        return ("ip", "netns", "exec", self._namespace(name))

    def own_address(self, name):
        """Return the address that the host ``name`` itself has."""
        return "192.168.1.2" if name in self.behind_nat else self.outside[name]

    def cut(self, name, *others):
        """Lose all that ``name`` sends to ``others``, and back, without a word to anybody."""
        for other in others:
            self._nft(name, CUT.format(address=self.outside[other]))
            self._nft(other, CUT.format(address=self.outside[name]))

    def mend(self):
        """Have all that was cut get through again."""
        for name in self.outside:
            self._nft(name, NO_CUT)

    def _build(self):
        self._add("switch")
        self._ip("switch", "link add lan type bridge forward_delay 0", "link set lan up")
        for name in self.outside:
            self._add(name)
            if name in self.behind_nat:
                self._add_behind_nat(name)
            else:
                self._plug_in(name, "eth0", self.outside[name])

    def _add_behind_nat(self, name):
        box = f"{name}-box"
        self._add(box)
        self._plug_in(box, "wan", self.outside[name])
        self._ip(box, f"link add lan type veth peer name eth0 netns {self._namespace(name)}")
        self._ip(box, "addr add 192.168.1.1/24 dev lan", "link set lan up")
        address = f"{self.own_address(name)}/24"
        self._ip(name, f"addr add {address} dev eth0", "link set eth0 up", "route add default via 192.168.1.1")
        run(*self.inside(box), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self._nft(box, NAT_BOX)

    def _plug_in(self, name, device, address):
        """Give the host ``name`` a cable to the switch."""
        self._ip("switch", f"link add {name} type veth peer name {device} netns {self._namespace(name)}")
        self._ip("switch", f"link set {name} master lan up")
        self._ip(name, f"addr add {address}/16 dev {device}", f"link set {device} up")

    def _add(self, name):
        run("ip", "netns", "add", self._namespace(name))
        self._namespaces.append(self._namespace(name))
        self._ip(name, "link set lo up")

    def _remove(self):
        for namespace in reversed(self._namespaces):
            run("ip", "netns", "delete", namespace)
        self._namespaces.clear()

    def _namespace(self, name):
        return f"{self._prefix}-{name}"

    def _ip(self, name, *lines):
        run("ip", "-n", self._namespace(name), "-batch", "-", given="\n".join(lines))

    def _nft(self, name, rules):
        run(*self.inside(name), "nft", "-f", "-", given=rules)


def run(*command, given=None):
    """Run a command, and return what it prints."""
    return subprocess.run(command, input=given, check=True, capture_output=True, text=True, timeout=30).stdout
