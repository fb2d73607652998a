"""Rows of the database: switchdbd beside Open vSwitch's ovsdb-server, on files and schemas that are the same."""

import time

from . import databases
from .databases import Client, OVSDBServer, Switchdbd, change, many_ports, pipelining_clients, request, root
from .goals import Ratio
from .measurement import Once

PEER = OVSDBServer.name
PORTS = 10_000


def _interleave(bench, measure, prepare=lambda database: None, fresh=False):
    """`measure(database, prepared)` of each server in turn; with `fresh`, of a new one every time."""
    subjects = []
    for kind in (Switchdbd, OVSDBServer):
        database = None if fresh else kind(bench.lab).start()
        prepared = None if fresh else prepare(database)

        def once(kind=kind, database=database, prepared=prepared):
            if not fresh:
                return measure(database, prepared)
            new = kind(bench.lab).start()
            try:
                return measure(new, prepare(new))
            finally:
                new.stop()
        if database:
            database.pause()
        subjects.append(Once(kind.name, once, database))
    bench.interleave(subjects)


def single(bench):
    """One client, one transaction at a time."""
    def measure(database, uuid):
        client, count = Client(database), int(2000 * bench.seconds)
        messages = [change(uuid, number) for number in range(count)]
        start = time.monotonic()
        for message in messages:
            client.send(message)
            client.receive()
        seconds = time.monotonic() - start
        client.close()
        return {("", "tps"): count / seconds}
    _interleave(bench, measure, root)


single_goals = [Ratio("", "tps", PEER, at_least=1)]


def pipelined(bench):
    """16 clients with up to 32 transactions each under way."""
    def measure(database, uuid):
        return {("", "tps"): pipelining_clients(database, uuid, 16, int(64 * 16 * bench.seconds), 32)}
    _interleave(bench, measure, root)


pipelined_goals = [Ratio("", "tps", PEER, at_least=1)]


def durable(bench):
    """16 clients, each transaction synced to the disk before its reply."""
    def measure(database, uuid):
        return {("", "tps"): pipelining_clients(database, uuid, 16, int(512 * bench.seconds), 8, durable=True)}
    _interleave(bench, measure, root)


durable_goals = [Ratio("", "tps", PEER, at_least=2)]


def bulk(bench):
    """10,000 ports in one transaction, the first reply of a monitor of them, memory, and the file opened again."""
    def measure(database, uuid):
        client, message = Client(database), many_ports(uuid, PORTS)
        start = time.monotonic()
        client.ask(message)
        inserted = time.monotonic() - start
        tables = {name: [{}] for name in ("Bridge", "Port", "Interface")}
        start = time.monotonic()
        client.send(request("monitor_cond", [databases.DATABASE, "m", tables]))
        client.await_document()
        monitored = time.monotonic() - start
        client.close()
        resident = database.process.memory_mib()[0]
        database.stop()
        start = time.monotonic()
        database.start()
        opened = time.monotonic() - start
        return {("insert", "seconds"): inserted, ("monitor", "seconds"): monitored, ("after both", "memory"): resident,
                ("open", "seconds"): opened, ("opened", "memory"): database.process.memory_mib()[0]}
    _interleave(bench, measure, root, fresh=True)


bulk_goals = [Ratio("insert", "seconds", PEER, at_most=1), Ratio("monitor", "seconds", PEER, at_most=1),
              Ratio("after both", "memory", PEER, at_most=0.5), Ratio("open", "seconds", PEER, at_most=1),
              Ratio("opened", "memory", PEER, at_most=0.5)]

FOLLOWERS, CHANGES = 50, 100


def followers(bench):
    """100 changes until 50 monitors have heard of all of them."""
    def measure(database, uuid):
        clients = [Client(database) for _ in range(FOLLOWERS)]
        for client in clients:
            client.ask(request("monitor_cond", [databases.DATABASE, "m",
                                                {databases.DATABASE: [{"columns": ["external_ids"]}]}]))
        writer = Client(database)
        messages = b"".join(change(uuid, f"{time.monotonic()} {number}") for number in range(CHANGES))
        start = time.monotonic()
        writer.send(messages)
        for client in clients:
            client.await_words(b'"update2"', CHANGES)
        seconds = time.monotonic() - start
        for client in (*clients, writer):
            client.close()
        return {("", "seconds"): seconds}
    _interleave(bench, measure, root)


followers_goals = [Ratio("", "seconds", PEER, at_most=1)]
