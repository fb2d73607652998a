"""How a row is judged: medians of one distance are compared, and a goal that is missed says by how much."""

import dataclasses

from .measurement import METRICS, number


@dataclasses.dataclass
class Verdict:
    goal: str
    distance: str
    result: str
    met: bool
    missed_by: str = ""


def _verdict(goal, distance, value, limit, at_most, result):
    met = value <= limit if at_most else value >= limit
    if met:
        return Verdict(goal, distance, result, True)
    share = abs(value / limit - 1) * 100
    return Verdict(goal, distance, result, False, f"{share:.0f} %" if share >= 1 else f"{share:.1f} %")


def _of(case, text):
    return f"{case}: {text}" if case else text


@dataclasses.dataclass
class Ratio:
    """switchd's median against a peer's."""
    case: str
    metric: str
    peer: str
    at_most: float = None
    at_least: float = None

    def judge(self, series):
        lower = self.at_most is not None
        limit = self.at_most if lower else self.at_least
        goal = _of(self.case, f"{self.metric} {'at most' if lower else 'at least'} {limit:g} × {self.peer}")
        for distance in series.distances(self.case, self.metric):
            ours = series.summary("switchd", self.case, self.metric, distance)
            theirs = series.summary(self.peer, self.case, self.metric, distance)
            if ours and theirs and theirs.median > 0:
                value = ours.median / theirs.median
                result = f"{value:.2f} × ({number(ours.median)} / {number(theirs.median)})"
                yield _verdict(goal, distance, value, limit, lower, result)
            elif ours and theirs:
                result = f"{number(ours.median)} against nothing"
                yield Verdict(goal, distance, result, not lower)


@dataclasses.dataclass
class BestOf:
    """switchd's median against the best median among several peers."""
    case: str
    metric: str
    peers: tuple
    at_least: float

    def judge(self, series):
        for distance in series.distances(self.case, self.metric):
            medians = {p: series.summary(p, self.case, self.metric, distance) for p in self.peers}
            medians = {p: s for p, s in medians.items() if s}
            if series.summary("switchd", self.case, self.metric, distance) and medians:
                best = max(medians, key=lambda p: medians[p].median)
                yield from (v for v in Ratio(self.case, self.metric, best, at_least=self.at_least).judge(series)
                            if v.distance == distance)


@dataclasses.dataclass
class Limit:
    """switchd's median against a fixed figure."""
    case: str
    metric: str
    at_most: float
    unit: str

    def judge(self, series):
        goal = _of(self.case, f"{self.metric} under {self.at_most:g} {self.unit}")
        for distance in series.distances(self.case, self.metric):
            ours = series.summary("switchd", self.case, self.metric, distance)
            if ours:
                yield _verdict(goal, distance, ours.median, self.at_most, True, f"{number(ours.median)} {self.unit}")


@dataclasses.dataclass
class NoneLost:
    """No frame is missing after any of switchd's runs."""
    case: str

    def judge(self, series):
        by_distance = series.values.get((self.case, "missing"), {}).get("switchd", {})
        for distance, values in by_distance.items():
            lost = sum(value > 0 for value in values)
            result = f"in {lost} of {len(values)} runs, {number(max(values))} at most" if lost else "none"
            yield Verdict(_of(self.case, "no frame is lost"), distance, result, not lost)


@dataclasses.dataclass
class Growth:
    """By how many cycles a frame gets dearer from the first case to another, against the peer's growth."""
    start: str
    end: str
    peer: str

    def judge(self, series):
        goal = f"{self.start} → {self.end}: cost grows less than {self.peer}'s"
        for distance in series.distances(self.end, "cycles"):
            figures = [series.summary(subject, case, "cycles", distance)
                       for subject in ("switchd", self.peer) for case in (self.start, self.end)]
            if all(figures):
                ours, theirs = figures[1].median - figures[0].median, figures[3].median - figures[2].median
                result = f"{ours:+.0f} cycles against {theirs:+.0f}"
                met = ours < theirs
                yield Verdict(goal, distance, result, met, "" if met else f"{ours - theirs:.0f} cycles")


@dataclasses.dataclass
class Slowdown:
    """By what factor a figure gets worse from the first case to another, against the peer's factor."""
    start: str
    end: str
    metric: str
    peer: str

    def judge(self, series):
        goal = f"{self.start} → {self.end}: {self.metric} get worse less than {self.peer}'s"
        for distance in series.distances(self.end, self.metric):
            figures = [series.summary(subject, case, self.metric, distance)
                       for subject in ("switchd", self.peer) for case in (self.start, self.end)]
            if all(figures) and all(figure.median > 0 for figure in figures):
                ours, theirs = (end.median / start.median for start, end in (figures[:2], figures[2:]))
                if METRICS[self.metric].better == "higher":
                    ours, theirs = 1 / ours, 1 / theirs
                yield _verdict(goal, distance, ours, theirs, True, f"{ours:.2f} × against {theirs:.2f} ×")
