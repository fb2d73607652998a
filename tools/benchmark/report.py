"""The report: report.md, report.json, a plot per row, and the table on the terminal."""

import json

from . import svg
from .measurement import ANY, METRICS, number

NOT_MEASURED = "not measured"


def write(output, results, about):
    (output / "report.md").write_text(markdown(results, about))
    (output / "report.json").write_text(json.dumps(as_json(results, about), indent=1) + "\n")
    for row, series, _ in results:
        if series.values:
            (output / f"{row.name}.svg").write_text(svg.plot(row.title, series))


def verdicts(row, series):
    return [verdict for goal in row.goals for verdict in goal.judge(series)]


def lines(series):
    """Every figure: (case, metric, subject, distance, summary)."""
    for (case, metric), by_subject in series.values.items():
        for distance in series.distances(case, metric):
            for subject in by_subject:
                summary = series.summary(subject, case, metric, distance)
                if summary:
                    yield case, metric, subject, distance, summary


def where(distance):
    return "" if distance == ANY else distance


# ---- report.md -----------------------------------------------------------------------------------------------------

def markdown(results, about):
    parts = [
        "# switchd beside its peers",
        f"{about['date']}, commit {about['commit']}, {about['cpu']}, Linux {about['kernel']}; at least {about['runs']} "
        f"runs of {about['seconds']:g} s each where the table does not say otherwise. Made by `tools/bench datapath`.",
        "*sibling*, *near* and *far* are the distances of the two processors while a figure was taken: two threads of "
        "one core, neighbours, or further apart (tools/benchmark/core-distance.c). Figures of different distances must "
        "not be compared. Goals compare medians.",
        "## Goals", goals_table(results)]
    for row, series, error in results:
        parts += section(row, series, error)
    return "\n\n".join(parts) + "\n"


def goals_table(results):
    text = ["| row | goal | distance | result | |", "|---|---|---|---|---|"]
    for row, series, error in results:
        found = verdicts(row, series)
        for verdict in found:
            text.append(f"| {row.name} | {verdict.goal} | {where(verdict.distance)} | {verdict.result} |"
                        f" {outcome(verdict)} |")
        if series.skipped:
            text.append(f"| {row.name} | {row.title} | | {cell(series.skipped)} | skipped |")
        elif error or not found:
            text.append(f"| {row.name} | {row.title} | | {cell(error) if error else NOT_MEASURED} | **failed** |")
    return "\n".join(text)


def outcome(verdict):
    return "met" if verdict.met else f"**missed** by {verdict.missed_by}" if verdict.missed_by else "**missed**"


def cell(text):
    return " ".join(str(text).split()).replace("|", "\\|")[:300]


def section(row, series, error):
    parts = [f"## {row.title}", f"Row `{row.name}`, beside: {row.peers}."]
    if error:
        parts.append(f"**This row failed:** {cell(error)}")
    if series.skipped:
        parts.append(f"Not measured: {cell(series.skipped)}.")
    if series.values:
        parts.append(f"![{row.title}]({row.name}.svg)")
        table = ["| case | figure | distance | switch | best | median | runs |", "|---|---|---|---|---|---|---|"]
        for case, metric, subject, distance, summary in lines(series):
            figure = f"{METRICS[metric].title}, {METRICS[metric].unit}"
            table.append(f"| {case} | {figure} | {where(distance)} | {subject} | {number(summary.best)} |"
                         f" {number(summary.median)} | {summary.runs} |")
        parts.append("\n".join(table))
    notes = list(series.notes)
    if series.dropped:
        notes.append(f"runs dropped because the processors moved all the time: {series.dropped}")
    if notes:
        parts.append("\n".join(f"* {cell(note)}" for note in notes))
    return parts


# ---- The other forms -----------------------------------------------------------------------------------------------

def as_json(results, about):
    return {**about, "rows": [{
        "row": row.name, "title": row.title, "error": error, "skipped": series.skipped, "dropped": series.dropped,
        "notes": series.notes,
        "goals": [vars(verdict) for verdict in verdicts(row, series)],
        "results": [{
            "case": case, "metric": metric, "unit": METRICS[metric].unit, "switch": subject, "distance": distance,
            "best": summary.best, "median": summary.median, "runs": summary.runs,
            "values": series.values[case, metric][subject][distance],
        } for case, metric, subject, distance, summary in lines(series)],
    } for row, series, error in results]}


def terminal(results):
    text = []
    for row, series, error in results:
        text.append(f"\n{row.name}: {row.title}")
        if error:
            text.append(f"  FAILED: {error}")
        if series.skipped:
            text.append(f"  skipped: {series.skipped}")
        for case, metric, subject, distance, summary in lines(series):
            text.append(f"  {case:22} {METRICS[metric].title:32} {where(distance):8} {subject:18} "
                        f"best {number(summary.best):>10}  median {number(summary.median):>10} "
                        f"{METRICS[metric].unit:14}{summary.runs:>3} runs")
        for verdict in verdicts(row, series):
            state = "met   " if verdict.met else "MISSED"
            by = f", by {verdict.missed_by}" if verdict.missed_by else ""
            distance = f" [{verdict.distance}]" if where(verdict.distance) else ""
            text.append(f"  {state} {verdict.goal}{distance}: {verdict.result}{by}")
    return "\n".join(text)
