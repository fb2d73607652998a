"""How figures are taken: in turns, and apart for each distance between the two processors.

core-distance.c says what that distance is and watches it during every run. A run is cut into slices; those during which
the distance changed are dropped, and the rest counts for the distance it was taken at, if there is enough of it.
"""

import collections
import dataclasses
import statistics
import sys
import time

from .host import BenchError, RowTimeout, wait_until
from .switches import GENERATOR_CPU, POLL_CPU

Metric = collections.namedtuple("Metric", "title unit better")

METRICS = {
    "cycles": Metric("cycles per frame", "cycles", "lower"),
    "mpps": Metric("frames, all ports", "Mpps", "higher"),
    "gbps": Metric("TCP throughput", "Gbit/s", "higher"),
    "p50_ns": Metric("one-way latency, median", "ns", "lower"),
    "p99_ns": Metric("one-way latency, 99th percentile", "ns", "lower"),
    "cpu": Metric("processor time", "% of a core", "lower"),
    "tps": Metric("transactions", "a second", "higher"),
    "seconds": Metric("time", "s", "lower"),
    "memory": Metric("resident memory", "MiB", "lower"),
    "missing": Metric("frames that were lost", "frames", "lower"),
    "hugepages": Metric("hugepages", "MiB", "lower"),
}

# "any": of the control plane, where the distance of the processors does not matter.
ANY = "any"
DISTANCES = ("sibling", "near", "far", ANY)


def number(value):
    """Four digits, which is more than can be trusted."""
    if value and abs(value) < 0.001:
        return "0.000"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def say(text):
    print(text, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Summary:
    best: float
    median: float
    runs: int


class Series:
    """Everything measured in one row."""

    def __init__(self):
        # (case, metric) -> subject -> distance -> values, all in the order first seen
        self.values = {}
        self.dropped = 0
        self.skipped = None  # why nothing is measured
        self.notes = []

    def add(self, subject, case, metric, value, distance=ANY):
        by_subject = self.values.setdefault((case, metric), {})
        by_subject.setdefault(subject, {}).setdefault(distance, []).append(value)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            say(f"    {text}")

    def summary(self, subject, case, metric, distance):
        values = self.values.get((case, metric), {}).get(subject, {}).get(distance)
        if not values:
            return None
        best = max(values) if METRICS[metric].better == "higher" else min(values)
        return Summary(best, statistics.median(values), len(values))

    def distances(self, case, metric):
        seen = {d for by_distance in self.values.get((case, metric), {}).values() for d in by_distance}
        return [d for d in DISTANCES if d in seen]


# A piece of a run: when it began and ended (monotonic clock), and what was counted in it.
Slice = collections.namedtuple("Slice", "start end figures")
SLICE_SECONDS = 0.125
# A run says something about a distance that lasted this share of it.
LEAST_SHARE = 0.1


class Subject:
    """One of those that take turns."""

    # Whether its figures depend on the distance of the processors.
    monitored = True

    def __init__(self, name, switch=None):
        self.name, self.switch, self.failures = name, switch, 0

    def slices(self, seconds):
        """Does one run, and yields its slices."""
        raise NotImplementedError

    def combine(self, slices):
        """What the slices of one distance amount to: {(case, metric): value}."""
        raise NotImplementedError

    def run(self, seconds):
        if self.switch:
            self.switch.resume()
        try:
            return list(self.slices(seconds))
        finally:
            if self.switch:
                self.switch.pause()


class Flow(Subject):
    """Something that runs between `begin()` and `end()`, with counters `read()`: {name: number}.

    `derive(counted, seconds)` makes {metric: value} of what was counted.
    """

    def __init__(self, name, switch, case, begin, read, end, derive, monitored=True):
        super().__init__(name, switch)
        self.monitored = monitored
        self.case, self.begin, self.read, self.end, self.derive = case, begin, read, end, derive

    def slices(self, seconds):
        self.begin()
        time.sleep(0.5)
        count = max(1, round(seconds / SLICE_SECONDS)) if self.monitored else 1
        try:
            before, start = self.read(), time.monotonic()
            for _ in range(count):
                time.sleep(max(0, start + seconds / count - time.monotonic()))
                after, end = self.read(), time.monotonic()
                yield Slice(start, end, {key: after[key] - before[key] for key in after})
                before, start = after, end
        finally:
            self.end()

    def combine(self, slices):
        counted = {key: sum(piece.figures[key] for piece in slices) for key in slices[0].figures}
        values = self.derive(counted, sum(piece.end - piece.start for piece in slices))
        return {(self.case, metric): value for metric, value in values.items()}


class Once(Subject):
    """Something that is not a matter of distance: `measure()` returns {(case, metric): value}."""

    monitored = False

    def __init__(self, name, measure, switch=None):
        super().__init__(name, switch)
        self.measure = measure

    def slices(self, seconds):
        start = time.monotonic()
        yield Slice(start, time.monotonic(), self.measure())

    def combine(self, slices):
        return slices[0].figures


class DistanceMonitor:
    """core-distance.c, running beside what is measured."""

    def __init__(self, lab):
        self.log = lab.work / "distance.log"
        self.process = lab.spawn([lab.host.compile("core-distance.c"), POLL_CPU, GENERATOR_CPU, 20], log=self.log)
        wait_until("core-distance begins", lambda: (self.process.check(), self.log.stat().st_size)[1], 5)

    def classify(self, slices):
        """distance -> those slices during which nothing else was seen."""
        self.process.check()
        start, end = slices[0].start, slices[-1].end
        samples = []
        for line in self.log.read_text().splitlines()[-4000:]:
            words = line.split()
            if len(words) == 3 and start - 0.02 <= float(words[0]) <= end + 0.02:
                samples.append((float(words[0]), words[1]))
        found = {}
        for piece in slices:
            seen = {d for moment, d in samples if piece.start - 0.02 <= moment <= piece.end + 0.02}
            if len(seen) == 1:
                found.setdefault(seen.pop(), []).append(piece)
        return found


class Bench:
    """What every row is given: the lab it may use, and how long and often it is to measure."""

    def __init__(self, lab, series, runs, seconds, limit):
        self.lab, self.series, self.runs, self.seconds = lab, series, runs, seconds
        self.deadline = time.monotonic() + limit

    def interleave(self, subjects, runs=None):
        """Lets the subjects measure in turn until each has enough runs at one distance: A B A B …

        Runs at another distance are kept too, for the same comparison there; there are at most twice as many turns as
        wanted runs. A subject that fails twice in a row is left out from then on; the others go on.
        """
        runs = runs or self.runs
        monitored = any(subject.monitored for subject in subjects)
        monitor = DistanceMonitor(self.lab) if monitored else None
        kept = collections.Counter()
        for turn in range(2 * runs if monitored else runs):
            started = time.monotonic()
            for subject in [s for s in subjects if s.failures < 2]:
                self._take_run(subject, monitor, kept)
            active = [s for s in subjects if s.failures < 2]
            if not active or any(all(kept[s, d] >= runs for s in active) for d in DISTANCES):
                break
            if 2 * time.monotonic() - started > self.deadline:
                self.series.note(f"stopped after {turn + 1} turns: the row's time is up")
                break
        if monitor:
            monitor.process.stop()

    def _take_run(self, subject, monitor, kept):
        try:
            slices = subject.run(self.seconds)
            found = monitor.classify(slices) if monitor else {ANY: slices}
            least = LEAST_SHARE * (slices[-1].end - slices[0].start)
            found = {d: some for d, some in found.items() if sum(s.end - s.start for s in some) >= least}
            results = {distance: subject.combine(some) for distance, some in found.items()}
        except RowTimeout:
            raise
        except (BenchError, OSError) as error:
            subject.failures += 1
            self.series.note(f"{subject.name} failed: {error}")
            return
        subject.failures = 0
        if not results:
            self.series.dropped += 1
            say(f"    {subject.name}: dropped, the processors moved all the time")
        for distance, values in results.items():
            kept[subject, distance] += 1
            texts = []
            for (case, metric), value in values.items():
                self.series.add(subject.name, case, metric, value, distance)
                texts.append(f"{case + ': ' if case and not texts else ''}{number(value)} {METRICS[metric].unit}")
            say(f"    {subject.name:12} {distance:7} {', '.join(texts)}")
