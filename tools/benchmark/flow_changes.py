"""A client that keeps changing flows, at a steady rate and over one connection: OpenFlow 1.0 to Open vSwitch, the
control socket to switchd. `ovs-ofctl` cannot: it reads a file to its end before it sends the first change."""

import contextlib
import itertools
import json
import socket
import struct
import threading
import time

from .flow_rules import BEHIND, OTHER, dotted
from .host import BenchError

PER_SECOND = 1000
TICK = 0.01
PRIORITY = 200


LIVES = 20  # so many rules there are at a time


def changes():
    """(whether to add or to delete, port, network of 24 bits): rules that part of the traffic matches come and go."""
    def rule(number):
        port = number % 2 + 1
        return port, BEHIND[OTHER[port]] | (number * 1667 & 0xfff) << 8

    for number in itertools.count(LIVES):
        yield True, *rule(number)
        yield False, *rule(number - LIVES)


class OpenFlowClient:
    """OpenFlow 1.0, at the socket `ovs-ofctl` uses."""

    HELLO, FLOW_MOD, BARRIER, ERROR = 0, 14, 18, 1
    ADD, DELETE_STRICT = 0, 4
    # All fields but the port, the Ethernet type and the first 24 bits of the destination.
    WILDCARDS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 32 << 8 | 8 << 14 | 1 << 20 | 1 << 21

    def __init__(self, switch):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(20)
        self.connection.connect(str(switch.directory / "br0.mgmt"))
        self.connection.sendall(self._message(self.HELLO))
        self._receive(self.HELLO)

    def send(self, some):
        messages = [self._change(*change) for change in some]
        self.connection.sendall(b"".join(messages) + self._message(self.BARRIER))
        self._receive(self.BARRIER + 1)

    @staticmethod
    def _message(kind, body=b""):
        return struct.pack("!BBHI", 1, kind, 8 + len(body), 1) + body

    def _change(self, add, port, network):
        match = struct.pack("!IH12xHBxHBB2xIIHH", self.WILDCARDS, port, 0, 0, 0x0800, 0, 0, 0, network, 0, 0)
        body = match + struct.pack("!QHHHHIHH", 0, self.ADD if add else self.DELETE_STRICT, 0, 0, PRIORITY, 0xffffffff,
                                   0xffff, 0)
        return self._message(self.FLOW_MOD, body + (struct.pack("!HHHH", 0, 8, OTHER[port], 0) if add else b""))

    def _receive(self, wanted):
        while True:
            _, kind, length, _ = struct.unpack("!BBHI", self._exactly(8))
            self._exactly(length - 8)
            if kind == self.ERROR:
                raise BenchError("the switch refused a change of its flows")
            if kind == wanted:
                return

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            if not part:
                raise BenchError("the switch closed its OpenFlow connection")
            data += part
        return data


class ControlClient:
    """switchd's control socket: JSON-RPC, the changes of a tick in one request."""

    def __init__(self, switch):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(20)
        self.connection.connect(str(switch.control_socket()))

    def send(self, some):
        request = {"id": 0, "method": "flow/mod", "params": ["br0", *(self._change(*change) for change in some)]}
        self.connection.sendall(json.dumps(request).encode())
        text = ""
        while True:
            data = self.connection.recv(1 << 16)
            if not data:
                raise BenchError("switchd closed its control socket")
            text += data.decode()
            with contextlib.suppress(ValueError):
                answer = json.loads(text)
                break
        if answer.get("error"):
            raise BenchError(f"flow/mod: {answer['error']}")

    @staticmethod
    def _change(add, port, network):
        flow = f"priority={PRIORITY},in_port={port},ip,nw_dst={dotted(network, 24)}"
        return f"add {flow},actions=output:{OTHER[port]}" if add else f"delete_strict {flow}"


class FlowChanges:
    """Makes changes until it is stopped; `made` says how many the switch has acknowledged."""

    def __init__(self, client):
        self.client, self.made, self.error = client, 0, None
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.started = time.monotonic()
        self.thread.start()

    def _run(self):
        source = changes()
        try:
            while not self.ends.is_set():
                due = int((time.monotonic() - self.started) * PER_SECOND) - self.made
                if due > 0:
                    self.client.send(list(itertools.islice(source, due)))
                    self.made += due
                self.ends.wait(TICK)
        except (BenchError, OSError) as error:
            self.error = error
        finally:
            self.client.connection.close()

    def stop(self):
        """How many changes a second there were."""
        self.ends.set()
        self.thread.join(30)
        if self.error:
            raise BenchError(f"flows could not be changed: {self.error}")
        return self.made / (time.monotonic() - self.started)
