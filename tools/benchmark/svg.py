"""A row's plot: for each figure a panel of bars, in groups by case and distance, one bar for each switch.

A bar is as long as the median; the tick on it is the best run.
"""

from html import escape

from .measurement import ANY, METRICS, number

WIDTH, LEFT, RIGHT = 900, 250, 190  # the bars are between the two margins
BAR, GAP, GROUP_GAP = 16, 3, 12
COLORS = {"switchd": "#0b6e99"}
PEER_COLORS = ("#c9772b", "#8c8c8c", "#a24f6d", "#6d8b3c")
STYLE = ("text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:12px;fill:#222}"
         ".title{font-size:16px;font-weight:bold}.panel{font-size:13px;font-weight:bold}.value{font-size:11px}"
         ".hint{font-size:11px;fill:#666}")


def plot(title, series):
    subjects = list(dict.fromkeys(s for by_subject in series.values.values() for s in by_subject))
    peers = [subject for subject in subjects if subject != "switchd"]
    colors = {**COLORS, **{peer: PEER_COLORS[index % len(PEER_COLORS)] for index, peer in enumerate(peers)}}
    body, y = [_text(20, 28, title, "title")], 50
    y = _legend(body, y, subjects, colors)
    for metric in dict.fromkeys(metric for _, metric in series.values):
        y = _panel(body, y, series, metric, colors)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" '
            f'viewBox="0 0 {WIDTH} {y + 10}"><style>{STYLE}</style>'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(body)}</svg>\n')


def _legend(body, y, subjects, colors):
    x = 20
    for subject in subjects:
        body.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colors[subject]}"/>')
        body.append(_text(x + 17, y, subject))
        x += 40 + 8 * len(subject)
    body.append(_text(x + 10, y, "bar: median, tick: best run", "hint"))
    return y + 16


def _panel(body, y, series, metric, colors):
    groups = []
    for (case, name), by_subject in series.values.items():
        if name != metric:
            continue
        for distance in series.distances(case, metric):
            subjects = sorted(by_subject, key=lambda subject: subject != "switchd")
            bars = [(subject, series.summary(subject, case, metric, distance)) for subject in subjects]
            label = ", ".join(part for part in (case, "" if distance == ANY else distance) if part)
            groups.append((label, [bar for bar in bars if bar[1]]))
    scale = max(max(s.median, s.best) for _, bars in groups for _, s in bars) or 1
    unit = METRICS[metric]
    body.append(_text(20, y + 18, f"{unit.title} ({unit.unit}; {unit.better} is better)", "panel"))
    y += 30
    for label, bars in groups:
        body.append(_text(LEFT - 10, y + len(bars) * (BAR + GAP) / 2 + 3, label, anchor="end"))
        for subject, summary in bars:
            _bar(body, y, summary, scale, colors[subject])
            y += BAR + GAP
        y += GROUP_GAP
    return y + 4


def _bar(body, y, summary, scale, color):
    per_unit = (WIDTH - LEFT - RIGHT) / scale
    width, best = summary.median * per_unit, LEFT + summary.best * per_unit
    body.append(f'<rect x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" fill="{color}"/>')
    body.append(f'<path d="M{best:.1f} {y - 1}v{BAR + 2}" stroke="#111" stroke-width="2"/>')
    value = f"{number(summary.median)} (best {number(summary.best)})"
    body.append(_text(max(LEFT + width, best) + 7, y + BAR - 4, value, "value"))


def _text(x, y, text, style="", anchor="start"):
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind} text-anchor="{anchor}">{escape(str(text))}</text>'
