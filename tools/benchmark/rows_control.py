"""Rows of the control plane: idle cost, many ports, start."""

import json
import time

from .frontends import Generator
from .goals import Limit, Ratio
from .host import BenchError, command
from .measurement import Once
from .rows_tcp import add_host
from .switches import OVSDPDK, POLL_CPU, OpenVSwitch, Switchd


# ---- Idle ----------------------------------------------------------------------------------------------------------

def idle(bench):
    """8 front-ends connect, start their queues, say one frame, and are silent."""
    subjects = []
    for kind in (OVSDPDK, Switchd):
        switch = kind(bench.lab).start(POLL_CPU)
        Generator(bench.lab, switch.vhost_ports(8)).learn()

        def measure(switch=switch):
            time.sleep(0.5)
            before, start = switch.process.cpu_seconds(), time.monotonic()
            time.sleep(bench.seconds)
            used = switch.process.cpu_seconds() - before
            resident, huge = switch.process.memory_mib()
            return {("8 ports", "cpu"): used / (time.monotonic() - start) * 100,
                    ("8 ports", "memory"): resident, ("8 ports", "hugepages"): huge}

        switch.pause()
        subjects.append(Once(switch.name, measure, switch))
    bench.interleave(subjects[::-1])


idle_goals = [Limit("8 ports", "cpu", 1, "% of a core"), Limit("8 ports", "memory", 64, "MiB")]


# ---- 1,000 ports ---------------------------------------------------------------------------------------------------

PORTS = 1000
SINGLE, TOGETHER = "one by one", "one transaction"


def _vsctl(switch, *arguments, timeout=290):
    """Both switches are told by the same client, which waits until each change has been made."""
    return command(["ovs-vsctl", f"--db=unix:{switch.directory}/db.sock", "--timeout=280", *arguments], timeout)


def _add(name):
    return ["add-port", "br0", name, "--", "set", "Interface", name, "type=internal"]


def _count_devices(switch):
    listed = json.loads(command(["ip", "-n", switch.namespace, "-j", "link", "show"]))
    return sum(link["ifname"].startswith("i") for link in listed)


def _add_ports(switch, together):
    names = [f"i{number}" for number in range(PORTS)]
    start = time.monotonic()
    if together:
        _vsctl(switch, *[word for name in names for word in ("--", *_add(name))][1:])
    else:
        for name in names:
            _vsctl(switch, *_add(name))
    seconds = time.monotonic() - start
    if _count_devices(switch) != PORTS:
        raise BenchError(f"{switch.name} made {_count_devices(switch)} of {PORTS} devices")
    return seconds


def ports(bench):
    """Internal ports, which are TAP devices to both. A new switch for each measurement.

    Few runs, because taking 1,000 devices away again is slow, and one by one is an average of 1,000 already.
    """
    def subject(kind, together):
        case = TOGETHER if together else SINGLE

        def measure():
            switch = kind(bench.lab).start()
            try:
                return {(case, "seconds"): _add_ports(switch, together)}
            finally:
                switch.stop()
                command(["ip", "netns", "delete", switch.namespace], check=False)
        return Once(kind.name, measure)

    for together in (True, False):
        bench.interleave([subject(kind, together) for kind in (Switchd, OpenVSwitch)],
                         runs=min(bench.runs, 3 if together else 2))


ports_goals = [Ratio(case, "seconds", "OVS", at_most=1) for case in (SINGLE, TOGETHER)]


# ---- Start ---------------------------------------------------------------------------------------------------------

def start(bench):
    """From starting the configured switch until a ping between two NICs is answered; then its memory."""
    subjects = []
    for kind in (OVSDPDK, Switchd):
        switch = kind(bench.lab).start()
        sender = add_host(bench.lab, switch, "veth1", 1)
        receiver = add_host(bench.lab, switch, "veth2", 2)
        for namespace, number in ((sender, 2), (receiver, 1)):
            command(["ip", "-n", namespace, "neighbour", "add", f"10.0.0.{number}", "lladdr",
                     f"02:00:00:00:02:{number:02x}", "dev", "eth0"])
        switch.stop()

        def measure(switch=switch, sender=sender):
            begin = time.monotonic()
            switch.launch()
            answered = command(["ip", "netns", "exec", sender, "ping", "-q", "-n", "-i", "0.002", "-c", "1", "-w", "20",
                                "10.0.0.2"], check=False)
            seconds = time.monotonic() - begin
            resident, huge = switch.process.memory_mib()
            switch.stop()
            if " 0% packet loss" not in answered and "1 received" not in answered:
                raise BenchError("no ping was answered within 20 s")
            return {("", "seconds"): seconds, ("", "memory"): resident, ("", "hugepages"): huge}

        subjects.append(Once(switch.name, measure))
    bench.interleave(subjects[::-1])


start_goals = [Limit("", "seconds", 0.3, "s"), Limit("", "memory", 64, "MiB"),
               Ratio("", "seconds", "OVS-DPDK", at_most=1)]
