"""The wire between the host and a node: a veth pair with a small subnet of its own."""

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from wi_testkit.controlplane.apiserver import SERVICE_RANGE
from wi_testkit.controlplane.errors import ControlPlaneError

NODE_ADDRESS = "10.88.0.1"
POD_RANGE = "10.88.0.0/16"
FIRST_POD_ADDRESS = "10.88.1.1"
_INSIDE = "uplink"
_SUBNETS = 256


@dataclass(frozen=True)
class Wire:
    """The pair whose host end is the interface ``interface``; ``number`` picks the subnet 10.231.<number>.0/30."""

    interface: str
    number: int

    @property
    def subnet(self) -> str:
        """Return the subnet."""
        return f"10.231.{self.number}.0/30"

    @property
    def host_address(self) -> str:
        """Return the host's end."""
        return f"10.231.{self.number}.1"

    @property
    def node_address(self) -> str:
        """Return the node's end: where the host reaches the API server."""
        return f"10.231.{self.number}.2"

    def lay(self, pid: int) -> None:
        """Make the pair between the host and the network namespace of ``pid``, and the node's addresses."""
        _run("ip", "link", "add", self.interface, "type", "veth", "peer", "name", _INSIDE, "netns", str(pid))
        _run("ip", "address", "add", f"{self.host_address}/30", "dev", self.interface)
        _run("ip", "link", "set", self.interface, "up")
        # By nsenter: `ip netns exec` would mount a fresh /sys without the control groups.
        _run("nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip", "-batch", "-", text=self._render_inside())

    def cut(self) -> None:
        """Remove the pair if it is there; the kernel does so too, some time after the namespace has ended."""
        subprocess.run(["ip", "link", "delete", self.interface], capture_output=True, check=False)

    def _render_inside(self) -> str:
        lines = [
            "link set lo up",
            f"address add {NODE_ADDRESS}/32 dev lo",
            f"address add {self.node_address}/30 dev {_INSIDE}",
            f"link set {_INSIDE} up",
            # A packet needs a route before kube-proxy's rules can send it elsewhere.
            f"route add {SERVICE_RANGE} dev lo src {NODE_ADDRESS}",
            # There is no way out; saying so at once spares every client its timeout.
            "route add unreachable default",
        ]
        return "\n".join(lines)


def pick_number(taken: Iterable[int]) -> int:
    """Return the first number whose subnet nobody has: not ``taken``, no address or route of the host in it.

    Raises ControlPlaneError when none is free.
    """
    used = {*taken}
    networks = _list_networks()
    for number in range(_SUBNETS):
        subnet = ipaddress.ip_network(f"10.231.{number}.0/30")
        if number not in used and not any(subnet.overlaps(network) for network in networks):
            return number
    raise ControlPlaneError("no subnet in 10.231.0.0/16 is free for a node")


def _list_networks() -> list[ipaddress.IPv4Network]:
    routes = json.loads(_run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    targets = [str(route.get("dst", "default")) for route in routes]
    return [ipaddress.IPv4Network(target, strict=False) for target in targets if target[:1].isdigit()]


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ControlPlaneError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
