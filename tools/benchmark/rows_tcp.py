"""Rows of TCP throughput: between namespaces, and with guests."""

import pathlib
import re
import subprocess
import time

from . import guest
from .goals import BestOf, Ratio
from .host import command, wait_until
from .measurement import Flow
from .switches import OVSDPDK, DatabaseSwitch, LinuxBridge, OpenVSwitch, OVSDPDKSegmentation, Switchd


def received_bytes(process, device):
    """What the device in that process's namespace has received, as the kernel counts it."""
    text = pathlib.Path(f"/proc/{process.pid}/net/dev").read_text()
    return int(re.search(rf"^\s*{device}:\s*(\d+)", text, re.M)[1])


def gbps(counted, seconds):
    return {"gbps": counted["bytes"] * 8 / seconds / 1e9}


# ---- Between network namespaces ------------------------------------------------------------------------------------

def add_host(lab, switch, name, number, offloads=True):
    """A namespace with a NIC eth0 whose other end is a port of the switch."""
    host = lab.namespace(name)
    command(["ip", "-n", switch.namespace, "link", "add", name, "type", "veth",
             "peer", "name", "eth0", "netns", host, "address", f"02:00:00:00:02:{number:02x}"])
    command(["ip", "-n", switch.namespace, "link", "set", name, "up"])
    command(["ip", "-n", host, "address", "add", f"10.0.0.{number}/24", "dev", "eth0"])
    command(["ip", "-n", host, "link", "set", "eth0", "up"])
    if not offloads:
        for namespace, device in ((host, "eth0"), (switch.namespace, name)):
            command(["ip", "netns", "exec", namespace, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off",
                     "gro", "off"])
    switch.add_system_port(name)
    return host


class Stream:
    """One TCP connection from one host to the other: iperf3."""

    def __init__(self, lab, sender, receiver):
        self.lab, self.sender = lab, sender
        self.server = lab.spawn(["iperf3", "-s"], namespace=receiver)
        self.client = None

    def begin(self):
        self.client = self.lab.spawn(["iperf3", "-c", "10.0.0.2", "-t", "60", "--connect-timeout", "2000"],
                                     namespace=self.sender)
        time.sleep(0.5)

    def read(self):
        return {"bytes": received_bytes(self.server, "eth0")}

    def end(self):
        self.client.stop()
        time.sleep(0.2)  # the server gets ready for the next one


def namespaces(bench):
    """Processors that sleep now and then are moved all the time, so runs are not told apart by distance here."""
    subjects = []
    for kind, name, offloads in ((Switchd, "switchd", True), (LinuxBridge, "Linux bridge", True),
                                 (OpenVSwitch, "OVS", True), (OpenVSwitch, "OVS, offloads off", False)):
        switch = kind(bench.lab).start()
        sender, receiver = (add_host(bench.lab, switch, f"veth{n}", n, offloads) for n in (1, 2))
        ping(sender)
        stream = Stream(bench.lab, sender, receiver)
        subjects.append(Flow(name, switch, "", stream.begin, stream.read, stream.end, gbps,
                             monitored=False))
    bench.interleave(subjects)


def ping(namespace, address="10.0.0.2"):
    wait_until("the switch forwards", lambda: subprocess.run(
        ["ip", "netns", "exec", namespace, "ping", "-q", "-c", "1", "-W", "1", address], capture_output=True,
        check=False).returncode == 0, 20)


namespaces_goals = [BestOf("", "gbps", ("OVS", "OVS, offloads off"), at_least=10),
                    Ratio("", "gbps", "Linux bridge", at_least=0.7)]


# ---- With guests ---------------------------------------------------------------------------------------------------

GUESTS, OUT, IN = "guest → guest", "guest → TAP", "TAP → guest"
TAP_ADDRESS = "10.0.0.3"
# Sends for ever, receives for ever: what busybox has.
SEND, RECEIVE = "nc {} 5001 </dev/zero >/dev/null", "nc -l -p 5001 >/dev/null"


class Pair:
    """A switch with two guests and a TAP, whose other end is in the switch's own namespace."""

    def __init__(self, bench, switch: DatabaseSwitch, boot):
        self.lab, self.switch = bench.lab, switch
        switch.add_tap("tap0")
        device = ["ip", "-n", switch.namespace, "link", "show", "tap0"]
        wait_until(f"{switch.name}: tap0", lambda: command(device, check=False), 10)
        command(["ip", "-n", switch.namespace, "address", "add", f"{TAP_ADDRESS}/24", "dev", "tap0"])
        command(["ip", "-n", switch.namespace, "link", "set", "tap0", "up"])
        self.guests = [guest.Guest(bench.lab, boot, number) for number in (1, 2)]
        for machine in self.guests:
            # Only as this type of port can OVS-DPDK use its option for segmentation.
            switch.add_vhost_client_port(f"vm{machine.address[-1]}", machine.socket)

    def ready(self):
        for machine in self.guests:
            machine.ready()
        for target in (self.guests[1].address, TAP_ADDRESS):
            wait_until(f"{self.switch.name}: guest 1 reaches {target}", lambda: " 0% packet loss" in
                       self.guests[0].run(f"ping -c 1 -W 2 {target}"), 30)

    def begin(self, case):
        first, second = self.guests
        if case == OUT:
            self.helper = self.lab.spawn(["busybox", "nc", "-l", "-p", "5001"], namespace=self.switch.namespace,
                                         stdout=subprocess.DEVNULL, stdin=subprocess.PIPE)
            self._start(first, SEND.format(TAP_ADDRESS))
        else:
            receiver = second if case == GUESTS else first
            self._start(receiver, f"{RECEIVE} <>/tmp/hold")
            if case == GUESTS:
                self._start(first, SEND.format(second.address))
            else:
                self.helper = self.lab.spawn(["busybox", "nc", first.address, "5001"], namespace=self.switch.namespace,
                                             stdin=open("/dev/zero", "rb"), stdout=subprocess.DEVNULL)

    @staticmethod
    def _start(machine, line):
        machine.run(f"[ -p /tmp/hold ] || mkfifo /tmp/hold; ({line}) & sleep 0.3")

    def read(self, case):
        machine = self.guests[1] if case == GUESTS else self.guests[0]
        if case == OUT:
            # What the host's stack receives from the TAP.
            return {"bytes": received_bytes(self.helper, "tap0")}
        return {"bytes": int(machine.run("cat /sys/class/net/eth0/statistics/rx_bytes"))}

    def end(self, case):
        if case != GUESTS:
            self.helper.stop()
        for machine in self.guests:
            machine.run("killall nc; sleep 0.1")


def guests(bench):
    """The guests' processors are emulated: they set the pace, and share the two processors with the switch."""
    boot = guest.image()
    pairs = []
    for kind in (OVSDPDK, OVSDPDKSegmentation, Switchd):
        pair = Pair(bench, kind(bench.lab).start(), boot)
        pair.ready()
        pair.switch.pause()
        pairs.append(pair)
    for case in (GUESTS, OUT, IN):
        bench.interleave([
            Flow(pair.switch.name, pair.switch, case, lambda p=pair: p.begin(case), lambda p=pair: p.read(case),
                 lambda p=pair: p.end(case), gbps, monitored=False) for pair in pairs[::-1]])


guests_goals = [BestOf(case, "gbps", ("OVS-DPDK", "OVS-DPDK, TSO"), at_least=1) for case in (GUESTS, OUT, IN)]
