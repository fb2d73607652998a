"""What drives vhost-user ports: DPDK's virtio-user front-ends, in dpdk-testpmd and in generator.c."""

import itertools
import json
import re
import select
import subprocess
import time

from .host import BenchError, command, wait_until
from .switches import GENERATOR_CPU

_numbers = itertools.count()


def eal(devices, cpu, lcores):
    """The arguments every DPDK program here has. In memory: nothing stays in /dev/hugepages when it is killed."""
    return [f"--lcores={','.join(f'{n}@{cpu}' for n in range(lcores))}", "--no-pci", "--iova-mode=va", "--in-memory",
            "--single-file-segments", "-m", "512", "--no-telemetry", *(f"--vdev={device}" for device in devices)]


def virtio_user(index, socket, number=None):
    number = index if number is None else number
    return f"net_virtio_user{index},path={socket},mac=02:00:00:00:01:{number:02x},queues=1,queue_size=1024"


class Testpmd:
    """A dpdk-testpmd at its prompt."""

    def __init__(self, lab, devices, cpu, *arguments):
        self.log = lab.work / f"testpmd{next(_numbers)}.log"
        self.process = lab.spawn(
            ["stdbuf", "-oL", "dpdk-testpmd", *eal(devices, cpu, 2), "--", "-i", "--nb-cores=1",
             "--txd=1024", "--rxd=1024", *arguments], stdin=subprocess.PIPE, log=self.log,
            urgent=True)
        self._wait("testpmd>", 0, 1)

    def _wait(self, pattern, offset, count):
        def found():
            self.process.check()
            text = self.log.read_bytes()[offset:].decode(errors="replace")
            return text if len(re.findall(pattern, text)) >= count else None
        return wait_until(f"dpdk-testpmd says {pattern}", found, 20, 0.01)

    def ask(self, line, pattern="testpmd>", count=1):
        """Types a line, and returns what was printed until `pattern` had been seen `count` times."""
        offset = self.log.stat().st_size
        self.process.popen.stdin.write(f"{line}\n".encode())
        self.process.popen.stdin.flush()
        return self._wait(pattern, offset, count)


class FrameLoop:
    """Frames that circle through a switch's two ports: testpmd sends each back as it comes, none is lost."""

    def __init__(self, lab, sockets):
        self.testpmd = Testpmd(
            lab, [virtio_user(index, socket) for index, socket in enumerate(sockets)], GENERATOR_CPU,
            "--eth-peer=0,02:00:00:00:01:01", "--eth-peer=1,02:00:00:00:01:00")

    def start(self, length, mode="mac"):
        for line in (f"set fwd {mode}", f"set txpkts {length}", "start tx_first 8"):
            self.testpmd.ask(line)

    def stop(self):
        self.testpmd.ask("stop")


class StreamingGuests:
    """The tests' own front-ends on two ports, sending to each other all the time: there are ways to be a guest that DPDK's
    do not know, such as behind a vIOMMU."""

    def __init__(self, lab, programs, sockets, *options):
        self.lab, self.sockets, self.options = lab, sockets, options
        self.program = programs / "switchd-soak"
        if not self.program.exists():
            raise BenchError(f"{self.program} is not there: build the product switchd-soak, or unset SWITCHD_PROGRAMS")

    def start(self, seconds):
        """For so long at most."""
        self.process = self.lab.spawn([self.program, f"--rate={seconds}", *self.options, *self.sockets],
                                      cpu=GENERATOR_CPU, urgent=True)

    def check(self):
        self.process.check()

    def stop(self):
        self.process.stop()


class Generator:
    """generator.c on a switch's ports. DPDK knows at most 32 ports a process; more are spread over several."""

    per_process = 32

    def __init__(self, lab, sockets):
        flags = command(["pkg-config", "--cflags", "--libs", "libdpdk"]).split()
        program = lab.host.compile("generator.c", *flags)
        self.processes = []
        for first in range(0, len(sockets), self.per_process):
            part = sockets[first:first + self.per_process]
            devices = [virtio_user(index, socket, first + index) for index, socket in enumerate(part)]
            self.processes.append(lab.spawn(
                [program, *eal(devices, GENERATOR_CPU, 1), "--", first],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, urgent=True))
            self._answer(self.processes[-1], 30)

    def begin(self, **settings):
        """Starts the traffic; `end` returns its figures. The settings are those of generator.c."""
        self.settings = {"yield": int(len(self.processes) > 1), **settings}
        line = "traffic " + " ".join(f"{key}={value}" for key, value in self.settings.items()) + "\n"
        for process in self.processes:
            process.popen.stdin.write(line.encode())
            process.popen.stdin.flush()

    def end(self):
        limit = self.settings.get("seconds", 3) + 30
        answers = [self._answer(process, limit) for process in self.processes]
        total = {key: sum(answer[key] for answer in answers) for key in ("sent", "received", "lost", "missing", "mpps")}
        return {**answers[0], **total}

    def run(self, **settings):
        self.begin(**settings)
        return self.end()

    def learn(self, stations=1, seconds=10):
        """Every station is heard once, so that its address is known."""
        wait_until("the generator's ports come up", lambda: self.run(learn=1, warm=0, seconds=0.5)["received"], 10)
        self.run(learn=1, warm=0, seconds=1)
        return self.run(learn=1, warm=0, stations=stations, seconds=seconds)

    @staticmethod
    def _answer(process, seconds):
        end = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([process.popen.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise BenchError(f"the generator does not answer within {seconds} s: {process.last_words()}")
            line = process.popen.stdout.readline().decode()
            if not line:
                process.popen.wait(5)
                process.check()
                raise BenchError("the generator closed its output")
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise BenchError(f"generator: {answer['error']}")
                return answer

    def stop(self):
        for process in self.processes:
            process.stop()
