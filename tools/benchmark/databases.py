"""The database servers that are compared, and clients of them: as little Python as can be while the clock runs."""

import json
import multiprocessing
import os
import signal
import socket
import time

from .host import REPOSITORY, BenchError, command, wait_until

SCHEMA = REPOSITORY / "etc" / "vswitch.ovsschema"
DATABASE = "Open_vSwitch"


class Database:
    """One server of one file, both in a directory of their own."""
    name = ""

    def __init__(self, lab):
        self.lab = lab
        self.directory = lab.directory(self.slug)
        self.file, self.socket = self.directory / "conf.db", self.directory / "db.sock"
        self.process = None

    def start(self):
        self.socket.unlink(missing_ok=True)
        self.process = self.lab.spawn(self.arguments(), log=self.directory / "log",
                                      environment={"OVS_RUNDIR": str(self.directory)})
        wait_until(f"{self.name} listens", lambda: (self.process.check(), self._answers())[1], 60, 0.001)
        return self

    def _answers(self):
        try:
            Client(self).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.stop()

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)


class Switchdbd(Database):
    name = slug = "switchd"
    programs = None  # set by the command

    def arguments(self):
        return [self.programs / "switchdbd", f"--rundir={self.directory}", f"--remote=punix:{self.socket}",
                f"--schema={SCHEMA}", self.file]


class OVSDBServer(Database):
    name = slug = "ovsdb-server"

    def __init__(self, lab):
        super().__init__(lab)
        command(["ovsdb-tool", "create", self.file, SCHEMA])

    def arguments(self):
        return ["ovsdb-server", f"--remote=punix:{self.socket}", f"--unixctl={self.directory}/ctl", "-vconsole:off",
                "-vsyslog:off", "--no-chdir", self.file]


def request(method, params, identity=0):
    return json.dumps({"method": method, "params": params, "id": identity}).encode()


def transaction(*operations):
    return request("transact", [DATABASE, *operations])


class Client:
    """A session: bytes out, and replies or updates counted by a word of theirs, whatever way they are cut."""

    def __init__(self, database):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(str(database.socket))
        self.rest, self.surplus = b"", 0

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise BenchError("the server hung up")
        return data

    def await_words(self, word, count):
        """Returns once the word has come so often since the last call."""
        self.surplus -= count
        while self.surplus < 0:
            data = self.rest + self.receive()
            self.surplus += data.count(word)
            end = data.rfind(word) + len(word) if word in data else 0
            self.rest = data[max(end, len(data) - len(word) + 1):]

    def await_document(self):
        """One message, however long; returns its bytes."""
        parts, depth = [], 0
        while not parts or depth:
            data = self.receive()
            depth += data.count(b"{") - data.count(b"}")
            parts.append(data)
        return b"".join(parts)

    def ask(self, data):
        self.send(data)
        reply = json.loads(self.await_document())
        failed = [r for r in reply["result"] or () if isinstance(r, dict) and r.get("error")]
        if reply["error"] or failed:
            raise BenchError(f"the server refused: {reply['error'] or failed[0]}")
        return reply["result"]


def root(database):
    """The UUID of the only row of Open_vSwitch, made if there is none."""
    client = Client(database)
    select = transaction({"op": "select", "table": DATABASE, "where": [], "columns": ["_uuid"]})
    rows = client.ask(select)[0]["rows"]
    if not rows:
        client.ask(transaction({"op": "insert", "table": DATABASE, "row": {}}))
        rows = client.ask(select)[0]["rows"]
    client.close()
    return rows[0]["_uuid"]


def change(uuid, value, durable=False):
    """A small transaction: one key of one row."""
    operations = [{"op": "update", "table": DATABASE, "where": [["_uuid", "==", uuid]],
                   "row": {"external_ids": ["map", [["key", str(value)]]]}}]
    return transaction(*operations, *([{"op": "commit", "durable": True}] if durable else []))


def many_ports(uuid, count):
    """One transaction that inserts a bridge with `count` ports, each with an interface."""
    operations, ports = [], []
    for number in range(count):
        operations += [
            {"op": "insert", "table": "Interface", "uuid-name": f"i{number}",
             "row": {"name": f"port{number}", "type": "internal"}},
            {"op": "insert", "table": "Port", "uuid-name": f"p{number}",
             "row": {"name": f"port{number}", "interfaces": ["named-uuid", f"i{number}"]}}]
        ports.append(["named-uuid", f"p{number}"])
    operations += [
        {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br0", "ports": ["set", ports]}},
        {"op": "update", "table": DATABASE, "where": [["_uuid", "==", uuid]], "row": {"bridges": ["named-uuid", "b"]}}]
    return transaction(*operations)


def _pipeline(database, messages, depth, ready, go, ended):
    client = Client(database)
    ready.put(os.getpid())
    go.wait()
    half = depth // 2
    answered = 0
    for start in range(0, len(messages), half):
        # One half is being answered while the other is on its way.
        client.send(b"".join(messages[start:start + half]))
        if start:
            client.await_words(b'"result"', half)
            answered += half
    client.await_words(b'"result"', len(messages) - answered)
    ended.put(time.monotonic())
    client.close()


def pipelining_clients(database, uuid, clients, each, depth, durable=False):
    """Transactions a second of so many clients at once, each with up to `depth` under way."""
    # No value comes twice: a transaction that changes nothing is not written by either server.
    batches = [[change(uuid, f"{client} {number}", durable) for number in range(each)] for client in range(clients)]
    ready, ended, go = multiprocessing.Queue(), multiprocessing.Queue(), multiprocessing.Event()
    workers = [multiprocessing.Process(target=_pipeline, args=(database, messages, depth, ready, go, ended), daemon=True)
               for messages in batches]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.get(timeout=30)
    start = time.monotonic()
    go.set()
    end = max(ended.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    return clients * each / (end - start)
