"""Rows of the flow table: cost of a frame by what the flows do, of a flow's first frame, and of changes.

Both switches get the same flows from the same file. In "64 B" rows generator.c sends from both ports rather than
testpmd's flowgen, whose traffic it has (destinations differ), and which sends more than can be forwarded: here nothing
is lost, so all that is counted was forwarded.
"""

import os
import time

from . import flow_rules
from .flow_changes import ControlClient, FlowChanges, OpenFlowClient
from .goals import NoneLost, Ratio, Slowdown
from .host import BenchError
from .measurement import Flow, Once
from .rows_vhost import Latency, cost, generated, loop, traffic
from .switches import OVSDPDK, POLL_CPU, OpenVSwitch, Switchd, SwitchdBefore


def _file(bench, lines):
    return flow_rules.write(bench.lab.directory("flows") / "flows", lines)


def _pair(bench, flows=None):
    """OVS-DPDK and switchd with two ports and the generator at them, paused. OVS-DPDK may keep all it caches."""
    pairs = []
    for kind in (OVSDPDK, Switchd):
        switch, generator = generated(bench, kind, 2)
        if kind is OVSDPDK:
            switch.configure("set", "Open_vSwitch", ".", "other_config:flow-limit=2000000",
                             "other_config:max-idle=60000")
        if flows:
            switch.replace_flows(flows)
            generator.learn()
        switch.pause()
        pairs.append((switch, generator))
    return pairs[::-1]


# ---- Cost of a frame ----------------------------------------------------------------------------------------------

FLOWS = (1024, 10_000, 100_000)


def _flows_case(count):
    return f"{count:,} flows"


def _warm_up(bench, pairs, **settings):
    """Every flow's first frame goes by before anything is counted."""
    for switch, generator in pairs:
        switch.resume()
        for _ in range(10):
            figures = generator.run(seconds=2, warm=0, **settings)
            if figures["sent"] >= 4 * settings["flows"]:
                break
        else:
            bench.series.note(f"{switch.name}: not all of {2 * settings['flows']:,} flows had a frame within 20 s")
        switch.pause()


def _many_flows(bench, pairs, count):
    """So many flows in both directions together."""
    settings = {"flows": count // 2, "spread": 1}
    _warm_up(bench, pairs, **settings)
    bench.interleave([traffic(bench, switch, generator, _flows_case(count), **settings)
                      for switch, generator in pairs])


def many_masks(bench):
    pairs = _pair(bench, _file(bench, flow_rules.many_masks()))
    for count in FLOWS:
        _many_flows(bench, pairs, count)


many_masks_goals = [Ratio(_flows_case(count), "cycles", "OVS-DPDK", at_most=0.5) for count in FLOWS]


def port_to_port(bench):
    flows = _file(bench, flow_rules.PORT_TO_PORT)
    for length in (64, 1518):
        subjects = []
        for kind in (OVSDPDK, Switchd):
            switch = kind(bench.lab).start(POLL_CPU)
            subjects.append(loop(bench, switch, length))
            switch.resume()
            switch.replace_flows(flows)
            switch.pause()
        bench.interleave(subjects[::-1])
        for subject in subjects:
            subject.switch.stop()


port_to_port_goals = [Ratio(f"{length} B", "cycles", "OVS-DPDK", at_most=0.4) for length in (64, 1518)]


PIPELINE = "1,000 flows"


def pipeline(bench):
    pairs = _pair(bench, _file(bench, flow_rules.three_tables()))
    _many_flows(bench, pairs, 1000)


pipeline_goals = [Ratio(PIPELINE, "cycles", "OVS-DPDK", at_most=0.6)]


# ---- The first frame of a flow ------------------------------------------------------------------------------------

NEW_FLOWS = "2,000 new flows a second"


class FirstFrames(Latency):
    """Latency of frames each of which is the first of its flow, and finds a rule of its own."""

    rules = 60_000
    rate = 2000

    def __init__(self, switch, generator, note):
        super().__init__(switch, generator, NEW_FLOWS, self.rate, note)
        self.next = 0

    def settings(self, seconds):
        count = int(self.rate * (seconds + 0.2))
        first, self.next = self.next, self.next + count
        if self.next > self.rules:
            first, self.next = 0, count  # the caches have forgotten those by now
        return {**super().settings(seconds), "spread": 2, "first": first, "flows": max(2, count)}


def first_frames(bench):
    flows = _file(bench, [*flow_rules.many_masks(elsewhere=True),
                          *flow_rules.own_rules(FirstFrames.rules, ports=(1,), masks=1)])
    subjects = []
    for kind in (OVSDPDK, Switchd):
        switch, generator = generated(bench, kind, 2)
        switch.replace_flows(flows)
        generator.learn()
        switch.pause()
        subjects.append(FirstFrames(switch, generator, bench.series.note))
    bench.interleave(subjects[::-1])


first_frames_goals = [Ratio(NEW_FLOWS, metric, "OVS-DPDK", at_most=0.5) for metric in ("p50_ns", "p99_ns")]


# ---- Many flows ---------------------------------------------------------------------------------------------------

def _timed(switch, *arguments, timeout=280):
    start = time.monotonic()
    text = switch.flow_command(*arguments, timeout=timeout)
    return time.monotonic() - start, text


def _dumped(text):
    return text.count("actions=")


LOAD = 100_000


def load(bench):
    flows = _file(bench, flow_rules.own_rules(LOAD))
    subjects = []
    for kind in (OpenVSwitch, Switchd):
        switch = kind(bench.lab).start()
        for name in ("tap1", "tap2"):
            switch.add_tap(name)
        switch.flow_command("del-flows")

        def measure(switch=switch):
            loaded, _ = _timed(switch, "add-flows", flows)
            dumped, text = _timed(switch, "dump-flows")
            deleted, _ = _timed(switch, "del-flows")
            together, _ = _timed(switch, "add-flows", "--bundle", flows)
            switch.flow_command("del-flows")
            if _dumped(text) != LOAD:
                raise BenchError(f"{_dumped(text):,} of {LOAD:,} flows were dumped")
            if _dumped(switch.flow_command("dump-flows")):
                raise BenchError("flows were left after they had been deleted")
            return {("loaded", "seconds"): loaded, ("loaded as a bundle", "seconds"): together,
                    ("dumped", "seconds"): dumped, ("deleted", "seconds"): deleted}

        subjects.append(Once(switch.name, measure))
    bench.interleave(subjects[::-1])


load_goals = [Ratio(case, "seconds", "OVS", at_most=1) 
              for case in ("loaded", "loaded as a bundle", "dumped", "deleted")]


MILLION = 1_000_000
FIRST = "first frames"
FEW = "100,000 of their flows"


def million(bench):
    """Loads them, and then lets traffic of them go by. Open vSwitch gets them as a bundle, which is quicker there."""
    flows = _file(bench, flow_rules.own_rules(MILLION))
    pairs = _pair(bench)
    loads = []
    for switch, _ in pairs:
        def measure(switch=switch):
            switch.flow_command("del-flows")
            bundle = ["--bundle"] if isinstance(switch, OpenVSwitch) else []
            seconds, _ = _timed(switch, "add-flows", *bundle, flows)
            return {("loaded", "seconds"): seconds, ("loaded", "memory"): switch.process.memory_mib()[0]}
        loads.append(Once(switch.name, measure, switch))
    bench.interleave(loads, runs=min(bench.runs, 2))
    bench.interleave([_first_frames_cost(bench, switch, generator) for switch, generator in pairs])
    settings = {"flows": 50_000, "spread": 2}
    _warm_up(bench, pairs, **settings)
    bench.interleave([traffic(bench, switch, generator, FEW, **settings) for switch, generator in pairs])


def _first_frames_cost(bench, switch, generator):
    """Cycles of frames each of which is the first of its flow, at a rate both can bear."""
    rate, state = 10_000, {"first": 0}

    def begin():
        count = int(rate * (bench.seconds + 1))
        if state["first"] + count > MILLION // 2:
            state["first"] = 0
        generator.begin(seconds=bench.seconds + 0.7, warm=0, rate=rate, spread=2, flows=count, first=state["first"])
        state["first"] += count

    def end():
        figures = generator.end()
        if figures["missing"]:
            bench.series.note(f"{switch.name}, {FIRST}: {figures['missing']:,} of {figures['sent']:,} frames were lost")

    return cost(bench, switch, FIRST, begin, end)


million_goals = [Ratio("loaded", "seconds", "OVS-DPDK", at_most=1), Ratio("loaded", "memory", "OVS-DPDK", at_most=1),
                 Ratio(FIRST, "cycles", "OVS-DPDK", at_most=0.5), Ratio(FEW, "cycles", "OVS-DPDK", at_most=0.5)]


# ---- Changes ------------------------------------------------------------------------------------------------------

STEADY = "no changes"
CHANGING = "1,000 changes a second"


def churn(bench):
    """The rules of `many_masks`, and others that come and go and that some of the traffic matches meanwhile.

    The two cases take turns too.
    """
    pairs = _pair(bench, _file(bench, flow_rules.many_masks()))
    settings = {"flows": FLOWS[0] // 2, "spread": 1}
    _warm_up(bench, pairs, **settings)
    bench.interleave([_Changed(bench, switch, generator, changing, settings)
                      for switch, generator in pairs for changing in (False, True)])


class _Changed(Flow):
    """Traffic, during which flows are changed or not. No frame may be missing after it."""

    def __init__(self, bench, switch, generator, changing, settings):
        self.bench, self.generator, self.changing, self.settings = bench, generator, changing, settings
        of = cost(bench, switch, CHANGING if changing else STEADY, self._begin, self._end)
        super().__init__(switch.name, switch, of.case, of.begin, of.read, of.end, of.derive)

    def _begin(self):
        self.generator.begin(seconds=self.bench.seconds + 0.7, warm=0, patient=1, **self.settings)
        client = OpenFlowClient if isinstance(self.switch, OpenVSwitch) else ControlClient
        self.changes = FlowChanges(client(self.switch)) if self.changing else None

    def _end(self):
        try:
            self.figures = self.generator.end()
        finally:
            rate = self.changes.stop() if self.changes else 0
        if self.changes and rate < 950:
            self.bench.series.note(f"{self.switch.name}: only {rate:.0f} changes a second were made")

    def combine(self, slices):
        return {**super().combine(slices), (self.case, "missing"): self.figures["missing"]}


churn_goals = [*(Slowdown(STEADY, CHANGING, metric, "OVS-DPDK") for metric in ("mpps", "cycles")), NoneLost(CHANGING)]


# ---- Without a flow table -----------------------------------------------------------------------------------------

def normal(bench):
    """A bridge that has only its first flow, NORMAL, beside an earlier build, from before there was a flow table."""
    if not os.environ.get("SWITCHD_BASELINE"):
        bench.series.skipped = "SWITCHD_BASELINE is not set to the directory of the programs to compare with"
        return
    for length in (64, 1518):
        subjects = [loop(bench, kind(bench.lab).start(POLL_CPU), length) for kind in (SwitchdBefore, Switchd)]
        bench.interleave(subjects[::-1])
        for subject in subjects:
            subject.switch.stop()


normal_goals = [Ratio(f"{length} B", "cycles", "switchd before", at_most=1.03) for length in (64, 1518)]
