"""Rows between vhost-user ports: cost of a frame, and its latency."""

import statistics
import time

from .frontends import FrameLoop, Generator, StreamingGuests
from .goals import Growth, Ratio
from .host import BenchError, wait_until
from .measurement import SLICE_SECONDS, Flow, Slice, Subject
from .switches import OVSDPDK, POLL_CPU, Switchd, VhostLibrary


def cost(bench, switch, case, begin, end):
    """Cycles per frame, and frames of all ports together, as the switch counts both."""
    def read():
        return switch.counters()._asdict()

    def derive(counted, seconds):
        if counted["frames"] <= 0:
            raise BenchError("no frame was forwarded")
        return {"cycles": counted["cycles"] / counted["frames"], "mpps": counted["frames"] / seconds / 1e6}

    switch.pause()
    return Flow(switch.name, switch, case, begin, read, end, derive)


def loop(bench, switch, length):
    """A switch with two ports between which frames circle."""
    # The length is that in memory, without a check sequence: 1,518 B take 1,504 after the Ethernet header.
    frames = FrameLoop(bench.lab, switch.vhost_ports(2, mtu=max(1500, length - 14)))
    return cost(bench, switch, f"{length} B", lambda: frames.start(length), frames.stop)


def forwarding(length):
    def row(bench):
        subjects = [loop(bench, kind(bench.lab).start(POLL_CPU), length) for kind in (OVSDPDK, Switchd)]
        bench.interleave(subjects[::-1])
    return row


def forwarding_goals(length):
    case = f"{length} B"
    return [Ratio(case, "cycles", "OVS-DPDK", at_most=0.4), Ratio(case, "mpps", "OVS-DPDK", at_least=2)]


def library(bench):
    peer = loop(bench, VhostLibrary(bench.lab).start(), 64)
    ours = loop(bench, Switchd(bench.lab).start(POLL_CPU), 64)
    bench.interleave([ours, peer])


library_goals = [Ratio("64 B", "cycles", "vhost PMD io", at_most=1)]


# ---- Behind a vIOMMU -----------------------------------------------------------------------------------------------

# Case, and how the guests' memory is mapped for good: in one piece, or each 2 KiB buffer at an address of its own.
MAPPINGS = [("in one piece", "region"), ("buffer by buffer", "pages")]
NO_IOMMU = "no vIOMMU"


def viommu(bench):
    """64 B between the same guests, with a vIOMMU before them and without."""
    def guests(name, case, *options):
        switch = Switchd(bench.lab).start(POLL_CPU)
        streams = StreamingGuests(bench.lab, switch.programs, switch.vhost_ports(2), *options)

        def begin():
            # The guests begin when all their memory is translated, message by message.
            before = switch.counters().frames
            streams.start(bench.seconds + 30)
            wait_until(f"{case}: guests send", lambda: (streams.check(), switch.counters().frames > before + 10_000)[1], 20)

        flow = cost(bench, switch, case, begin, streams.stop)
        flow.name = name
        return flow

    for case, mapping in MAPPINGS:
        subjects = [guests("switchd", case, f"--iommu={mapping}"), guests(NO_IOMMU, case)]
        bench.interleave(subjects)
        for subject in subjects:
            subject.switch.stop()


viommu_goals = [Ratio(case, "mpps", NO_IOMMU, at_least=0.8) for case, _ in MAPPINGS]


# ---- Many flows, stations and ports --------------------------------------------------------------------------------

MAC_TABLE = ("other_config:mac-table-size=1000000", "other_config:mac-aging-time=3600")


def generated(bench, kind, ports):
    switch = kind(bench.lab).start(POLL_CPU, database=MAC_TABLE)
    return switch, Generator(bench.lab, switch.vhost_ports(ports))


def traffic(bench, switch, generator, case, **settings):
    """The generator's traffic between all ports, as fast as none of it is lost."""
    def end():
        figures = generator.end()
        if figures["lost"] > figures["sent"] / 1000:
            bench.series.note(f"{switch.name}, {case}: {figures['lost']:,} of {figures['sent']:,} frames were lost")

    return cost(bench, switch, case,
                       lambda: generator.begin(seconds=bench.seconds + 0.7, warm=0, **settings), end)


def flows(bench):
    """100,000 UDP flows, half of them in each direction, in turn."""
    subjects = []
    for kind in (OVSDPDK, Switchd):
        switch, generator = generated(bench, kind, 2)
        generator.learn()
        subjects.append(traffic(bench, switch, generator, "100,000 flows", flows=50000))
    bench.interleave(subjects[::-1])


flows_goals = [Ratio("100,000 flows", "cycles", "OVS-DPDK", at_most=0.25)]


def _case(ports, stations):
    return f"{ports} ports, {stations:,} MACs"


# Ports, and MAC addresses in all: at least one for each port.
SCALES = [(2, 2), (2, 1000), (2, 100_000), (2, 1_000_000), (64, 64), (64, 1_000_000)]


def scale(bench):
    """Each combination is a case of its own; the switches are started anew when the number of ports changes."""
    for ports in dict.fromkeys(ports for ports, _ in SCALES):
        pairs = []
        for kind in (OVSDPDK, Switchd):
            pairs.append(generated(bench, kind, ports))
            if kind is OVSDPDK:  # every pair of addresses is a flow to it: let its cache hold them all, and keep them
                pairs[-1][0].configure("set", "Open_vSwitch", ".", "other_config:flow-limit=2000000",
                                       "other_config:max-idle=60000")
            pairs[-1][0].pause()
        for stations in [stations for count, stations in SCALES if count == ports]:
            settings = {"stations": stations // ports, "window": 256 if ports == 2 else 64}
            subjects = []
            for switch, generator in pairs[::-1]:
                switch.resume()
                learned = generator.learn(stations // ports, seconds=12)
                if learned["received"] < stations // ports * ports * 0.99:
                    bench.series.note(f"{switch.name}, {_case(ports, stations)}: {learned['received']:,} of the frames"
                                      f" to learn from had arrived after {learned['seconds']:.0f} s")
                if stations > 1000:  # caches fill before anything is counted
                    generator.run(seconds=6, warm=0, **settings)
                subjects.append(traffic(bench, switch, generator, _case(ports, stations), **settings))
            bench.interleave(subjects)
        for switch, generator in pairs:
            generator.stop()
            switch.stop()


scale_goals = [Growth(_case(*SCALES[0]), _case(*scale), "OVS-DPDK") for scale in SCALES[1:]]


# ---- Latency -------------------------------------------------------------------------------------------------------

class Latency(Subject):
    """Frames from one port to the other only, at even distances; each carries the time it was sent."""

    def __init__(self, switch, generator, case, rate, note):
        super().__init__(switch.name, switch)
        self.generator, self.case, self.rate, self.note = generator, case, rate, note
        # At a low rate the poll threads may sleep, and idle processors are moved all the time.
        self.monitored = rate > 10_000

    def slices(self, seconds):
        length = SLICE_SECONDS if self.monitored else seconds
        for _ in range(max(1, round(seconds / length))):
            start = time.monotonic()
            figures = self.generator.run(**self.settings(length))
            yield Slice(start, time.monotonic(), figures)

    def settings(self, seconds):
        return {"seconds": seconds, "warm": 50, "oneway": 1, "latency": 1, "rate": self.rate}

    def combine(self, slices):
        sent, received = (sum(piece.figures[key] for piece in slices) for key in ("sent", "received"))
        if received < sent * 0.999 - 8 * len(slices):  # some are under way when counting ends
            self.note(f"{self.name}, {self.case}: frames were lost")
        if not received:
            raise BenchError("no frame arrived")
        return {(self.case, metric): statistics.median(piece.figures[metric] for piece in slices)
                for metric in ("p50_ns", "p99_ns")}


LOW = "1 kpps"
HALF = "50 % load"


def latency(bench):
    pairs = []
    for kind in (OVSDPDK, Switchd):
        switch, generator = generated(bench, kind, 2)
        generator.learn()
        if kind is OVSDPDK:
            # Both get the same load: half of what the peer can forward in this direction.
            half = max(generator.run(seconds=1, oneway=1)["mpps"] for _ in range(3)) * 1e6 / 2
            bench.series.note(f"{HALF}: {half / 1e6:.2f} Mpps of 64 B one way, half of what OVS-DPDK can")
        switch.pause()
        pairs.append((switch, generator))
    for case, rate in ((LOW, 1000), (HALF, half)):
        bench.interleave([Latency(switch, generator, case, rate, bench.series.note)
                          for switch, generator in pairs[::-1]])


latency_goals = [Ratio(case, metric, "OVS-DPDK", at_most=1) for case in (LOW, HALF) for metric in ("p50_ns", "p99_ns")]
