"""A run in one HTML file: counts, the histogram of scores, pictures with what was kept and dropped; no scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from seesay.bootstrapping.tally import BINS, KINDS, Sample, Tally
from seesay.capfilt import Judged, Origin

ORIGINS: Mapping[Origin, str] = {"web": "Found", "synthetic": "Written"}
PLOT_WIDTH, PLOT_HEIGHT = 640, 200
ROOM = 24
"""Around the plot, for its labels."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2327; --dim: #5c666e; --paper: #fff; --panel: #f4f6f7; --line: #d5dbdf;
  --web: #b5651d; --synthetic: #1f6fb2; --kept: #1c7c3c; --dropped: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaed; --dim: #9aa5ad; --paper: #14181b; --panel: #1e2428;
  --line: #363f45; --web: #e39a55; --synthetic: #6db3ee; --kept: #6fce8d; --dropped: #f2877f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
.dim { color: var(--dim); } .web { color: var(--web); } .synthetic { color: var(--synthetic); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 1.25rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--dim); font-weight: normal; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
svg { width: 100%; max-width: 44rem; height: auto; display: block; } svg text { font-size: 11px; fill: var(--dim); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
figure img { width: 100%; height: 11rem; object-fit: contain; display: block; background: var(--line); }
figcaption { padding: .6rem .8rem .8rem; font-size: .875rem; }
figcaption ul { list-style: none; margin: 0; padding: 0; }
figcaption li { display: grid; grid-template-columns: 3.2rem 1fr; gap: .25rem; padding: .15rem 0; }
figcaption li > b { font-weight: 600; font-variant-numeric: tabular-nums; }
.kept > b { color: var(--kept); } .dropped > b { color: var(--dropped); }
.dropped > span { color: var(--dim); text-decoration: line-through; overflow-wrap: anywhere; }
.kept > span { overflow-wrap: anywhere; }
.name { margin: 0 0 .3rem; font-size: .75rem; color: var(--dim); overflow-wrap: anywhere; }
small { font-size: .7rem; text-decoration: none; display: inline-block; }
""".strip()


def render(tally: Tally, facts: Mapping[str, str], threshold: float) -> str:
    """The page. `facts`: how the run was made, in words, such as {"filter": "blip-itm-base-coco"}."""
    parts = [
        "<h1>CapFilt</h1>",
        f'<p class="dim">{_summary(tally)}</p>',
        _facts(facts),
        "<h2>Texts</h2>",
        _table(tally),
        "<h2>Probability that a text matches its picture</h2>",
        _histogram(tally, threshold),
        *(_section(kind, tally) for kind in KINDS),
        _broken(tally),
    ]
    body = "\n".join(part for part in parts if part)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>CapFilt: {tally.pairs:,} of {tally.pictures:,} pictures kept</title>\n"
        f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    return page.encode("utf-8", "replace").decode()  # names of files may hold what no text can


def _summary(tally: Tally) -> str:
    kept = f"{tally.pairs:,} of {tally.pictures:,} pictures kept a text ({_share(tally.pairs, tally.pictures)})"
    broken = {"unusable pictures": tally.broken_pictures, "broken rows of the input": tally.broken_rows}
    return "; ".join([kept, *(f"{what}: {count:,}" for what, count in broken.items() if count)]) + "."


def _facts(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items()) + "</dl>"


def _table(tally: Tally) -> str:
    head = "<tr><th></th><th>texts</th><th>kept</th><th>dropped</th><th>kept share</th><th>without a word</th></tr>"
    rows = "".join(
        f'<tr><td class="{origin}">{word}</td>'
        + "".join(f"<td>{cell}</td>" for cell in _cells(tally, origin))
        + "</tr>"
        for origin, word in ORIGINS.items()
    )
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _cells(tally: Tally, origin: Origin) -> Iterator[str]:
    kept, all_texts = tally.texts[origin, True], tally.count(origin)
    for count in (all_texts, kept, all_texts - kept):
        yield f"{count:,}"
    yield _share(kept, all_texts)
    yield f"{tally.empty[origin]:,}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _histogram(tally: Tally, threshold: float) -> str:
    """Two bars a bin, found and written, each as its share of its own kind, and the threshold as a line."""
    scored = {origin: sum(tally.histogram[origin, place] for place in range(BINS)) for origin in ORIGINS}
    if not any(scored.values()):
        return '<p class="dim">Nothing was scored.</p>'
    shares = {
        (origin, place): tally.histogram[origin, place] / total
        for origin, total in scored.items()
        if total
        for place in range(BINS)
    }
    highest = max(shares.values())
    bars = "".join(_bar(tally, key, share / highest) for key, share in shares.items() if share)
    base = ROOM + PLOT_HEIGHT
    line = ROOM + threshold * PLOT_WIDTH
    side = "end" if threshold > 0.5 else "start"
    labels = "".join(
        f'<text x="{ROOM + tick / 4 * PLOT_WIDTH:.0f}" y="{base + 16}" text-anchor="middle">{tick / 4:g}</text>'
        for tick in range(5)
    )
    legend = " ".join(
        f'<span class="{origin}">■</span> {word.lower()} ({scored[origin]:,})' for origin, word in ORIGINS.items()
    )
    return (
        f'<svg viewBox="0 0 {PLOT_WIDTH + 2 * ROOM} {PLOT_HEIGHT + 2 * ROOM}" role="img" '
        f'aria-label="Histogram of matching probabilities">{bars}'
        f'<path d="M{ROOM} {base}H{ROOM + PLOT_WIDTH}" stroke="var(--line)"/>'
        f'<path d="M{line:.1f} {ROOM - 8}V{base}" stroke="var(--ink)" stroke-dasharray="4 3"/>'
        f'<text x="{line + (-5 if side == "end" else 5):.1f}" y="{ROOM - 4}" text-anchor="{side}">'
        f"kept from {threshold:g}</text>{labels}</svg>"
        f'<p class="dim">{legend}; a bar is a share of its kind, the highest {highest:.1%}.</p>'
    )


def _bar(tally: Tally, key: tuple[Origin, int], height: float) -> str:
    origin, place = key
    width = PLOT_WIDTH / BINS / 2 - 3
    left = ROOM + place / BINS * PLOT_WIDTH + (3 if origin == "web" else width + 3)
    tall = max(1.0, height * PLOT_HEIGHT)  # a single text among millions is still to be seen
    title = f"{ORIGINS[origin]}, {place / BINS:.2f} to {(place + 1) / BINS:.2f}: {tally.histogram[key]:,}"
    return (
        f'<rect x="{left:.1f}" y="{ROOM + PLOT_HEIGHT - tall:.1f}" width="{width:.1f}" height="{tall:.1f}" '
        f'fill="var(--{origin})"><title>{title}</title></rect>'
    )


def _section(kind: str, tally: Tally) -> str:
    samples = [sample for sample in tally.samples if sample.kind == kind]
    if not samples:
        return ""
    return f'<h2>{KINDS[kind]}</h2><div class="pictures">' + "".join(map(_figure, samples)) + "</div>"


def _figure(sample: Sample) -> str:
    texts = "".join(map(_text, sample.texts))
    return (
        f'<figure><img alt="" loading="lazy" src="{escape(sample.thumbnail)}">'
        f'<figcaption><p class="name">{escape(sample.name)}</p><ul>{texts}</ul></figcaption></figure>'
    )


def _text(one: Judged) -> str:
    score = "–" if one.probability is None else f"{one.probability:.3f}"
    return (
        f'<li class="{"kept" if one.kept else "dropped"}"><b>{score}</b>'
        f'<span>{escape(one.text) or "(empty)"} <small class="{one.origin}">'
        f"{ORIGINS[one.origin].lower()}</small></span></li>"
    )


def _broken(tally: Tally) -> str:
    if not tally.broken:
        return ""
    missing = tally.broken_pictures + tally.broken_rows - len(tally.broken)
    more = f'<p class="dim">and {missing:,} more; the records have all pictures.</p>' if missing else ""
    return (
        "<h2>What could not be used</h2><ul>"
        + "".join(f"<li>{escape(reason)}</li>" for reason in tally.broken)
        + f"</ul>{more}"
    )
