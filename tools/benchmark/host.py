"""What a run takes from the machine, and gives back however it ends: processes, namespaces, hugepages, files."""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")
HUGEPAGE_COUNT = 4096  # of 2 MiB: two OVS-DPDK of 2,048 MB, four front-ends of 512 MB, and room
NAMESPACE_PREFIX = "swbench"
FILES_PREFIX = "switchd-bench."


class BenchError(Exception):
    """One sentence for whoever runs the bench."""


class RowTimeout(BenchError):
    pass


def command(arguments, timeout=60, environment=None, check=True):
    """Runs a program to its end and returns what it printed."""
    try:
        done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=timeout,
                              env=environment, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(map(str, arguments))[:200]}: not done after {timeout} s") from None
    if check and done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, arguments))[:200]}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def wait_until(what, condition, seconds=20.0, interval=0.02):
    """Waits for the condition, and returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise BenchError(f"{what}: not within {seconds:.0f} s")
        time.sleep(interval)


def unix_control(path, method, parameters=(), timeout=20):
    """Asks a daemon at its control socket, as ovs-appctl and switchctl do: JSON-RPC, one request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(json.dumps({"id": 0, "method": method, "params": list(parameters)}).encode())
        decoder, text = json.JSONDecoder(), ""
        while True:
            data = connection.recv(1 << 16)
            if not data:
                raise BenchError(f"{path}: closed the connection before answering {method}")
            text += data.decode()
            with contextlib.suppress(ValueError):
                answer, _ = decoder.raw_decode(text)
                break
    if answer.get("error"):
        raise BenchError(f"{method}: {answer['error']}")
    return answer["result"]


class Process:
    """A child that ends with the bench, whatever ends the bench."""

    def __init__(self, arguments, log, cpu=None, urgent=False, namespace=None, environment=None, stdin=None,
                 stdout=None):
        if namespace:
            arguments = ["ip", "netns", "exec", namespace, *arguments]
        self.name = pathlib.Path(str(arguments[0])).name if not namespace else str(arguments[4])
        self.log = pathlib.Path(log)
        parent = os.getpid()

        def prepare():
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if os.getppid() != parent:
                os._exit(1)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            if urgent:  # what polls gives way to the kernel's own threads for milliseconds otherwise
                os.setpriority(os.PRIO_PROCESS, 0, -20)

        with open(self.log, "ab") as file:
            # A session of its own: an interruption at the terminal is for the bench, which then ends its children.
            self.popen = subprocess.Popen(
                [str(a) for a in arguments], stdin=stdin or subprocess.DEVNULL, stdout=stdout or file, stderr=file,
                start_new_session=True, bufsize=0, preexec_fn=prepare,
                env={**os.environ, **(environment or {})})
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def check(self):
        if not self.alive():
            raise BenchError(f"{self.name} ended with status {self.popen.returncode}; it said: {self.last_words()}")

    def last_words(self, count=400):
        return self.log.read_text(errors="replace").strip()[-count:]

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def stop(self):
        """Asks it to end, then makes it."""
        if self.alive():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(90)  # the kernel takes its time to remove 1,000 devices
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def cpu_seconds(self):
        """Time on a processor of all its threads so far."""
        threads = pathlib.Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def memory_mib(self):
        """Resident memory and hugepages, in MiB."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        sizes = {key: int(value) / 1024 for key, value in re.findall(r"^(VmRSS|HugetlbPages):\s+(\d+)", text, re.M)}
        return sizes.get("VmRSS", 0.0), sizes.get("HugetlbPages", 0.0)


class Lab:
    """What one row uses; leaving it takes everything away again, in the opposite order."""

    def __init__(self, host, name):
        self.host = host
        self.work = host.work / name
        self.work.mkdir()
        self._undo = contextlib.ExitStack()
        self._undo.callback(self._remove_files)
        self._count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        previous = [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            self._undo.close()
        finally:
            for number, handler in zip((signal.SIGINT, signal.SIGTERM), previous):
                signal.signal(number, handler)

    def _remove_files(self):
        if self.host.keep_logs:
            kept = self.host.keep_logs / self.work.name
            shutil.rmtree(kept, ignore_errors=True)
            for log in self.work.rglob("*.log"):
                target = kept / log.relative_to(self.work)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(log, target)
        shutil.rmtree(self.work, ignore_errors=True)

    def directory(self, name):
        self._count += 1
        path = self.work / f"{name}{self._count}"
        path.mkdir()
        return path

    def spawn(self, arguments, **options):
        self._count += 1
        log = options.pop("log", None) or self.work / f"process{self._count}.log"
        process = Process(arguments, log=log, **options)
        self._undo.callback(process.stop)
        return process

    def namespace(self, role):
        self._count += 1
        name = f"{NAMESPACE_PREFIX}-{os.getpid()}-{role}{self._count}"
        command(["ip", "netns", "add", name])
        self._undo.callback(lambda: command(["ip", "netns", "delete", name], check=False))
        command(["ip", "-n", name, "link", "set", "lo", "up"])
        # Nothing is to be sent that the bench did not ask for.
        for setting in ("all", "default"):
            command(["ip", "netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{setting}.disable_ipv6=1"],
                    check=False)
        return name

    def defer(self, action):
        self._undo.callback(action)


class Host:
    """The machine for the length of one run of the bench."""

    def __init__(self, keep_logs=None):
        self.keep_logs = keep_logs
        self._undo = contextlib.ExitStack()

    def __enter__(self):
        self._lock = open("/run/lock/switchd-bench", "a+")  # holds the number of hugepages there were before
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError("another bench is running; two would measure each other") from None
        self._remove_stale_files()
        self.work = pathlib.Path(tempfile.mkdtemp(prefix=f"{FILES_PREFIX}{os.getpid()}.", dir="/tmp"))
        self._undo.callback(lambda: shutil.rmtree(self.work, ignore_errors=True))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupted)
        signal.signal(signal.SIGALRM, self._row_timed_out)
        self._remove_stale_namespaces()
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._undo.close()

    @staticmethod
    def _interrupted(*_):
        raise KeyboardInterrupt

    @staticmethod
    def _row_timed_out(*_):
        raise RowTimeout("took longer than its limit")

    @contextlib.contextmanager
    def lab(self, name, limit):
        """A lab that is given up on after `limit` seconds."""
        try:
            with Lab(self, name) as lab:
                try:
                    signal.alarm(int(limit))
                    yield lab
                finally:
                    signal.alarm(0)
        finally:
            signal.alarm(0)

    @staticmethod
    def _remove_stale_files():
        for path in pathlib.Path("/tmp").glob(f"{FILES_PREFIX}*"):
            if not pathlib.Path(f"/proc/{path.name.split('.')[1]}").exists():
                shutil.rmtree(path, ignore_errors=True)

    @staticmethod
    def _remove_stale_namespaces():
        for name in re.findall(rf"^({NAMESPACE_PREFIX}-\d+-\S+)", command(["ip", "netns", "list"], check=False), re.M):
            if not pathlib.Path(f"/proc/{name.split('-')[1]}").exists():
                command(["ip", "netns", "delete", name], check=False)

    def reserve_hugepages(self):
        if not os.path.ismount("/dev/hugepages"):
            os.makedirs("/dev/hugepages", exist_ok=True)
            command(["mount", "-t", "hugetlbfs", "hugetlbfs", "/dev/hugepages"])
        self._lock.seek(0)
        before = int(self._lock.read() or HUGEPAGES.read_text())  # what a killed bench found counts
        self._lock.truncate(0)
        self._lock.write(str(before))
        self._lock.flush()
        self._undo.callback(self._return_hugepages, before)
        if int(HUGEPAGES.read_text()) >= HUGEPAGE_COUNT:
            return
        HUGEPAGES.write_text(f"{HUGEPAGE_COUNT}\n")
        got = int(HUGEPAGES.read_text())
        if got < HUGEPAGE_COUNT:
            raise BenchError(f"only {got} of {HUGEPAGE_COUNT} hugepages (2 MiB) can be had: free some memory first")

    def _return_hugepages(self, count):
        HUGEPAGES.write_text(f"{count}\n")
        self._lock.truncate(0)

    def compile(self, source, *arguments):
        """Builds a C program of this folder, once."""
        source = pathlib.Path(__file__).with_name(source)
        program = REPOSITORY / ".build" / "bench-programs" / source.stem
        program.parent.mkdir(parents=True, exist_ok=True)
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            command(["cc", "-O3", "-march=native", "-pthread", "-o", program, source, *arguments], timeout=120)
        return program

    def build_switchd(self):
        """The directory of the release programs: $SWITCHD_PROGRAMS, or built now."""
        if os.environ.get("SWITCHD_PROGRAMS"):
            return pathlib.Path(os.environ["SWITCHD_PROGRAMS"])
        # A scratch directory of its own: `swift package bench` holds the ordinary one.
        options = ["-c", "release", "--static-swift-stdlib", "--package-path", REPOSITORY,
                   "--scratch-path", REPOSITORY / ".build" / "bench"]
        for product in ("switchd", "switchdbd", "switchctl", "switchd-soak"):
            command(["swift", "build", *options, "--product", product], timeout=1800)
        return pathlib.Path(command(["swift", "build", *options, "--show-bin-path"]).strip())
