"""The command line of tools/bench."""

import argparse
import datetime
import os
import pathlib
import subprocess
import sys
import time
import traceback

from . import report
from .databases import Switchdbd
from .host import REPOSITORY, BenchError, Host, RowTimeout, command
from .measurement import Bench, Series, say
from .rows import DATABASE_ROWS, ROWS
from .switches import Switchd

# Words for single rows of `datapath`.
SHORT = {"start": ["start"], "idle": ["idle"], "ports": ["ports"]}

DESCRIPTION = """\
Measures switchd beside its peers, in turns within one run, and writes a report: a table on the terminal, report.md,
report.json and one plot per row. Needs root and two processors. Installs the Debian packages it needs, and takes
hugepages, namespaces and files only while it runs."""


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/bench", description=DESCRIPTION)
    parser.add_argument("what", choices=["datapath", "db", *SHORT],
                        help="datapath, db: every row; start, idle, ports: that row of datapath only")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="only these rows")
    parser.add_argument("--list", action="store_true", help="print the rows, and measure nothing")
    parser.add_argument("--runs", type=int, default=5, help="runs of each switch, row and distance (default: 5)")
    parser.add_argument("--seconds", type=float, default=3, help="measured seconds of a run (default: 3)")
    parser.add_argument("--output", type=pathlib.Path, default=REPOSITORY / ".build" / "bench-report", metavar="DIR",
                        help="where the report goes (default: .build/bench-report)")
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.seconds <= 0:
        parser.error("--runs and --seconds must be above 0")
    rows = DATABASE_ROWS if options.what == "db" else ROWS
    names = options.only or SHORT.get(options.what) or [row.name for row in rows]
    known = {row.name for row in rows}
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(row.name for row in rows)}")
    options.rows = [row for row in rows if row.name in names]
    return options


def main(arguments):
    options = parse(arguments)
    if options.list:
        for row in options.rows:
            print(f"{row.name:12} {row.title} (beside: {row.peers})")
        return 0
    if os.geteuid() != 0:
        print("tools/bench: needs root, for network namespaces and hugepages", file=sys.stderr)
        return 1
    subprocess.run([REPOSITORY / "tools" / "setup", "bench"], check=True)
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        return run(options)
    except KeyboardInterrupt:
        print("tools/bench: interrupted; everything is cleaned up", file=sys.stderr)
        return 130
    except BenchError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return 1


def run(options):
    results = []
    with Host(keep_logs=options.output / "logs") as host:
        say("bench: building")
        Switchd.programs = Switchdbd.programs = host.build_switchd()
        if options.what != "db":
            host.reserve_hugepages()
        for row in options.rows:
            results.append((row, *measure(host, row, options)))
            # After each row, so that an interrupted run leaves what it has.
            report.write(options.output, results, about(options))
    print(report.terminal(results))
    print(f"The report: {options.output / 'report.md'}")
    return 0 if all(error is None for _, _, error in results) else 1


def measure(host, row, options):
    """One row: its series, and why it failed, or None."""
    say(f"bench: {row.name}: {row.title}")
    series, started = Series(), time.monotonic()
    try:
        with host.lab(row.name, row.limit) as lab:
            row.measure(Bench(lab, series, options.runs, options.seconds, row.limit - 20))
        error = None
    except RowTimeout:
        error = f"it took longer than {row.limit} s"
    except BenchError as problem:
        error = str(problem)
    except Exception as problem:  # a mistake in one row must not cost the others
        traceback.print_exc()
        error = f"{type(problem).__name__}: {problem}"
    if error:
        say(f"bench: {row.name} FAILED: {error}")
    say(f"bench: {row.name}: {time.monotonic() - started:.0f} s")
    return series, error


def about(options):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    commit = command(["git", "-C", REPOSITORY, "describe", "--always", "--dirty"], check=False).strip() or "unknown"
    return {"commit": commit, "cpu": model, "kernel": os.uname().release, "runs": options.runs,
            "seconds": options.seconds,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
