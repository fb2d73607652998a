"""The switches that are compared. Each can add ports, say what it forwarded at what cost, and be stopped and continued.

All of a switch runs on the processor the kernel gives it, except in rows that pass `poll_cpu`: there its poll thread
is pinned to that processor and everything else of it to processor 0, beside the generator.
"""

import collections
import json
import os
import pathlib
import re
import signal
import time

from .host import REPOSITORY, BenchError, command, unix_control, wait_until

# Frames received, and the cycles of the poll thread's turns that moved frames.
Counters = collections.namedtuple("Counters", "frames cycles")

POLL_CPU, GENERATOR_CPU = 1, 0


class Switch:
    name = ""
    process = None

    def counters(self):
        raise BenchError(f"{self.name} does not count cycles")

    def pause(self):
        """Makes it cost nothing while another is measured."""

    def resume(self):
        pass

    def vhost_ports(self, count, mtu=1500):
        """Adds that many vhost-user ports, and returns their sockets."""
        sockets = [self.add_vhost_port(f"p{index}", mtu) for index in range(count)]
        for socket in sockets:
            wait_until(f"{self.name}: {socket}", socket.exists)
        return sockets

    def stop(self):
        if self.process:
            self.process.stop()


class DatabaseSwitch(Switch):
    """A switch that is configured through an Open_vSwitch database."""

    def __init__(self, lab, namespace=None):
        self.lab = lab
        self.namespace = namespace or lab.namespace("switch")
        self.directory = lab.directory(self.slug)
        self.environment = {f"OVS_{name}DIR": str(self.directory) for name in ("RUN", "LOG", "DB", "SYSCONF")}

    def add_bridge(self, *settings):
        settings = [*self.bridge_settings, *settings]
        self.configure("add-br", "br0", *(["--", "set", "bridge", "br0", *settings] if settings else []))

    def add_vhost_port(self, name, mtu):
        request = [f"mtu_request={mtu}"] if mtu != 1500 else []
        self.configure("add-port", "br0", name, "--", "set", "Interface", name, "type=dpdkvhostuser", *request)
        return self.directory / name

    def add_vhost_client_port(self, name, socket):
        """A port that connects to the socket a guest listens at."""
        self.configure("add-port", "br0", name, "--", "set", "Interface", name, "type=dpdkvhostuserclient",
                       f"options:vhost-server-path={socket}")

    def add_system_port(self, name):
        self.configure("add-port", "br0", name)

    def add_tap(self, name):
        self.configure("add-port", "br0", name, "--", "set", "Interface", name, "type=tap")

    def replace_flows(self, path):
        self.flow_command("del-flows")
        self.flow_command("add-flows", "--bundle", path)

    def settle(self, ready):
        wait_until(f"{self.name} gets ready", lambda: (self.process.check(), ready())[1], 30, 0.01)


class Switchd(DatabaseSwitch):
    name = slug = "switchd"
    bridge_settings = ()
    programs = None  # set by the command

    def start(self, poll_cpu=None, bridge=True, database=()):
        self.launch(poll_cpu)
        settings = [f"other_config:pmd-cpu-mask={1 << poll_cpu:#x}"] if poll_cpu is not None else []
        if settings:
            self.configure("set", "Open_vSwitch", ".", *settings)
        if bridge:
            self.add_bridge(*database)
        return self

    def launch(self, poll_cpu=None):
        self.process = self.lab.spawn(
            [self.programs / "switchd", f"--rundir={self.directory}", f"--schema={REPOSITORY}/etc/vswitch.ovsschema",
             self.directory / "conf.db"],
            namespace=self.namespace, log=self.directory / "switchd.log",
            cpu=GENERATOR_CPU if poll_cpu is not None else None, urgent=poll_cpu is not None)
        self.settle(lambda: (self.directory / "db.sock").exists() and self.control_socket())

    def configure(self, *arguments, timeout=60):
        return command([self.programs / "switchctl", "--timeout=50", *arguments], timeout,
                       {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", **self.environment})

    def flow_command(self, verb, *arguments, timeout=280):
        return command([self.programs / "switchctl", f"--timeout={timeout}", verb, "br0", *arguments], timeout,
                       {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", **self.environment})

    def control_socket(self):
        return next(iter(self.directory.glob(f"switchd.{self.process.pid}.ctl")), None)

    def counters(self):
        answer = unix_control(self.control_socket(), "pmd-stats", ["--format=json"])
        table = json.loads(answer)
        column = {name: index for index, name in enumerate(table["headings"])}
        rows = table["data"]
        return Counters(sum(row[column["frames"]] for row in rows), sum(row[column["busy_cycles"]] for row in rows))


class SwitchdBefore(Switchd):
    """Another build of it: the programs in $SWITCHD_BASELINE."""

    name, slug = "switchd before", "switchd-before"
    programs = pathlib.Path(os.environ.get("SWITCHD_BASELINE") or "/nonexistent")


class OpenVSwitch(DatabaseSwitch):
    """The userspace datapath of Debian's openvswitch-switch."""

    name, slug = "OVS", "ovs"
    program = "/usr/lib/openvswitch-switch/ovs-vswitchd"
    bridge_settings = ("datapath_type=netdev",)
    other_config = ()
    pinned = True

    def start(self, poll_cpu=None, bridge=True, database=()):
        self.start_database()
        settings = [*self.other_config]
        if poll_cpu is not None:
            settings.append(f"other_config:pmd-cpu-mask={1 << poll_cpu:#x}")
        if settings:
            self.configure("--no-wait", "set", "Open_vSwitch", ".", *settings)
        self.launch(poll_cpu)
        if bridge:
            self.add_bridge(*database)
        return self

    def start_database(self):
        database = self.directory / "conf.db"
        command(["ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema"])
        self.database = self.lab.spawn(
            ["ovsdb-server", database, f"--remote=punix:{self.directory}/db.sock"], log=self.directory / "ovsdb.log",
            environment=self.environment, cpu=GENERATOR_CPU)
        wait_until("ovsdb-server", (self.directory / "db.sock").exists)
        self.configure("--no-wait", "init")

    def launch(self, poll_cpu=None):
        self.process = self.lab.spawn(
            [self.program, f"unix:{self.directory}/db.sock"], namespace=self.namespace,
            log=self.directory / "vswitchd.log", environment=self.environment,
            cpu=GENERATOR_CPU if poll_cpu is not None and self.pinned else None, urgent=poll_cpu is not None)
        self.settle(self.control_socket)

    def configure(self, *arguments, timeout=60):
        return command(["ovs-vsctl", f"--db=unix:{self.directory}/db.sock", "--timeout=50", *arguments], timeout)

    def flow_command(self, verb, *arguments, timeout=280):
        return command(["ovs-ofctl", "--protocols=OpenFlow15", f"--timeout={timeout}", verb,
                        f"unix:{self.directory}/br0.mgmt", *arguments], timeout)

    def control_socket(self):
        return next(iter(self.directory.glob(f"ovs-vswitchd*.{self.process.pid}.ctl")), None)

    def counters(self):
        text = unix_control(self.control_socket(), "dpif-netdev/pmd-stats-show")
        found = re.search(r"^pmd thread.*?avg processing cycles per packet: [\d.]+ \((\d+)/(\d+)\)", text, re.M | re.S)
        return Counters(int(found[2]), int(found[1])) if found else Counters(0, 0)


class OVSDPDK(OpenVSwitch):
    """Its poll thread takes a whole processor, so it is stopped while another switch is measured."""

    name, slug = "OVS-DPDK", "ovs-dpdk"
    program = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    other_config = (
        "other_config:dpdk-init=true", "other_config:dpdk-extra=--no-pci --iova-mode=va",
        "other_config:dpdk-socket-mem=2048", "other_config:dpdk-lcore-mask=0x1")

    pinned = False  # dpdk-lcore-mask does that

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)
        time.sleep(0.1)


class OVSDPDKSegmentation(OVSDPDK):
    """With its option for TCP segmentation, which is off unless set."""

    name, slug = "OVS-DPDK, TSO", "ovs-dpdk-tso"
    other_config = (*OVSDPDK.other_config, "other_config:userspace-tso-enable=true")


class VhostLibrary(Switch):
    """DPDK's vhost library alone: dpdk-testpmd passing frames between two ports without looking at them."""

    name = "vhost PMD io"

    def __init__(self, lab):
        self.lab = lab
        self.directory = lab.directory("vhost")

    def start(self):
        from .frontends import Testpmd
        self.sockets = [self.directory / f"p{index}" for index in range(2)]
        devices = [f"net_vhost{index},iface={path},queues=1" for index, path in enumerate(self.sockets)]
        self.testpmd = Testpmd(self.lab, devices, POLL_CPU, "--record-core-cycles", "--forward-mode=io")
        self.process = self.testpmd.process
        self.testpmd.ask("start")
        return self

    def vhost_ports(self, count, mtu=1500):
        for socket in self.sockets:
            wait_until(f"{self.name}: {socket}", socket.exists)
        return self.sockets[:count]

    def counters(self):
        text = self.testpmd.ask("show fwd stats all", r"CPU cycles/packet=")
        found = re.search(r"total cycles=(\d+) / total \w+ packets=(\d+)", text)
        return Counters(int(found[2]), int(found[1])) if found else Counters(0, 0)

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)


class LinuxBridge(Switch):
    name = "Linux bridge"

    def __init__(self, lab, namespace=None):
        self.namespace = namespace or lab.namespace("switch")

    def start(self):
        command(["ip", "-n", self.namespace, "link", "add", "br0", "type", "bridge"])
        command(["ip", "-n", self.namespace, "link", "set", "br0", "up"])
        return self

    def add_system_port(self, name):
        command(["ip", "-n", self.namespace, "link", "set", name, "master", "br0"])
