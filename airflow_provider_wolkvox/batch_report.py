"""What became of a batch of calls, for the person who has to answer for it: as Markdown, or as a page of HTML.

Pure: values come in, a text goes out. Both tell the same story, made once in `_story`. Nothing that came in is trusted
to be harmless text. Of a customer's number the report shows what came in under `customer_phone`; no `conn_id`, as
nobody documents what of the number it holds.

Example::

    text = markdown("Callbacks of campaign 32841", results, summary)
"""

from __future__ import annotations

import base64
import html as html_text
import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Final

MOST_REASONS: Final = 20
MOST_CALLS: Final = 200
LONGEST_TEXT: Final = 400
MOST_BARS: Final = 120
MOST_LINES: Final = 24
"""The plot as text: as long as a screen."""


class _State(StrEnum):
    """What became of a call, in the order of tables, and of a bar from its foot up."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    SKIPPED = "skipped"
    LEFT = "left"

    @property
    def word(self) -> str:
        return self.value.replace("_", " ")

    @property
    def letter(self) -> str:
        return self.value[0].upper()


_MEANS: Final = {
    _State.ACCEPTED: "wolkvox took the call",
    _State.UNKNOWN: "nobody knows whether the phone rang: look in wolkvox's reports before anyone calls again",
    _State.REFUSED: "wolkvox refused the call; no phone rang",
    _State.NOT_SENT: "the request never left; no phone rang",
    _State.SKIPPED: "not to be called, so nothing was asked of wolkvox",
    _State.LEFT: "the batch ended before its turn, so nothing was asked of wolkvox",
}
# Unknown first: whoever calls one of them again without looking may ring a phone twice.
_NEED_A_PERSON: Final = (_State.UNKNOWN, _State.REFUSED, _State.NOT_SENT, _State.SKIPPED)
# An accepted call needs no reason, and that of the ones left is the batch's own.
_NEED_NO_REASON: Final = (_State.ACCEPTED, _State.LEFT)


def markdown(title: str, results: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """Return the report as Markdown, with its plot twice: as text, and as an image that the file itself holds.

    :param title: what the batch was
    :param results: one mapping for each call, in the batch's order: `index`, `agent_id`, `customer_phone` (masked),
        `state` (accepted, unknown, refused, not_sent, skipped or left), `reason`, and `at` (ISO 8601 with its zone,
        or None)
    :param summary: `started`, `ended` (ISO 8601 with their zones), `calls`, `calls_per_minute`, `ended_because`; what
        is missing is shown as not known. Its counts by state are not read: the report counts the results themselves
    :raises ValueError: an unknown state, or a time that is none or has no zone
    """
    story = _story(title, results, summary)
    parts = [f"# {_markdown_escaped(story.title)}", _markdown_escaped(story.lead)]
    for table in (story.counts, story.run):
        parts += [f"## {table.heading}", _markdown_table(table)]
    parts += ["## Outcomes over time"]
    if story.plot:
        parts += [f"```text\n{_histogram(story.lines)}\n```", f"![{_markdown_escaped(_told(story.plot))}][plot]"]
    parts += [_markdown_escaped(story.not_plotted)] if story.not_plotted else []
    for table in (story.reasons, story.people):
        parts += [f"## {table.heading}", _markdown_table(table)]
    if story.plot:
        # At the very end, where the image's data is in nobody's way who reads the file as it is.
        parts += [
            f"[plot]: data:image/svg+xml;base64,{base64.b64encode(_svg(story.plot, hovers=False).encode()).decode()}"
        ]
    return "\n\n".join(parts) + "\n"


def html(title: str, results: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """Return the report as one page of HTML that fetches nothing; it is well-formed XML too.

    Parameters and errors are as for `markdown`.
    """
    story = _story(title, results, summary)
    outcomes = ["<section><h2>Outcomes over time</h2>"]
    if story.plot:
        table = _html_table(_each_bucket(story.plot))
        outcomes += [_svg(story.plot, hovers=True), f"<details><summary>The same as a table</summary>{table}</details>"]
    outcomes += [f"<p>{html_text.escape(story.not_plotted)}</p>"] if story.not_plotted else []
    return _PAGE.format(
        title=html_text.escape(story.title),
        lead=html_text.escape(story.lead),
        sections="\n".join(
            [
                *map(_html_section, (story.counts, story.run)),
                *[*outcomes, "</section>"],
                *map(_html_section, (story.reasons, story.people)),
            ]
        ),
    )


# What is told


@dataclass(frozen=True, slots=True)
class _Call:
    index: int
    agent: str
    customer: str
    state: _State
    reason: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class _Table:
    heading: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    more: str = ""
    """What is said of the rows that are not shown, or instead of rows if there are none."""


@dataclass(frozen=True, slots=True)
class _Bucket:
    begins: datetime
    ends: datetime
    counts: Counter[_State]


@dataclass(frozen=True, slots=True)
class _Story:
    title: str
    lead: str
    counts: _Table
    run: _Table
    plot: list[_Bucket]
    lines: list[_Bucket]
    """The same as text: fewer buckets."""
    not_plotted: str
    reasons: _Table
    people: _Table


def _story(title: str, results: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> _Story:
    started, ended = (_instant(summary.get(name), name) for name in ("started", "ended"))
    # All times by one clock: the one by which the batch was started.
    zone = started.tzinfo if started else UTC
    calls = [_call(result, zone) for result in results]
    outcomes = [(call.at, call.state) for call in calls if call.at]
    return _Story(
        title=_clean(title) or "Batch of calls",
        lead=_lead(calls),
        counts=_counts(calls),
        run=_run(started, ended and ended.astimezone(zone), summary),
        plot=_buckets(outcomes, MOST_BARS),
        lines=_buckets(outcomes, MOST_LINES),
        not_plotted=_not_plotted(len(calls) - len(outcomes)),
        reasons=_reasons(calls),
        people=_people(calls),
    )


def _call(result: Mapping[str, Any], zone: tzinfo | None) -> _Call:
    which = f"call {result['index']}"
    try:
        state = _State(result["state"])
    except ValueError:
        raise ValueError(f"{which}: {result['state']!r} is no state; known are {', '.join(_State)}") from None
    at = _instant(result.get("at"), f"{which}: at")
    return _Call(
        index=result["index"],
        agent=_clean(result.get("agent_id")),
        customer=_clean(result.get("customer_phone")),
        state=state,
        reason=_clean(result.get("reason")) or ("" if state in _NEED_NO_REASON else "no reason given"),
        at=at and at.astimezone(zone),
    )


def _lead(calls: list[_Call]) -> str:
    asked = f"{_number(len(calls), 'call')} asked for. "
    need = sum(call.state in _NEED_A_PERSON for call in calls)
    unknown = sum(call.state is _State.UNKNOWN for call in calls)
    if not need:
        return asked + "None needs a person."
    return asked + f"{need} {'needs' if need == 1 else 'need'} a person; the outcome of {unknown} is unknown."


def _counts(calls: list[_Call]) -> _Table:
    count = Counter(call.state for call in calls)
    rows = [(state.word, str(count[state]), _MEANS[state]) for state in _State]
    return _Table("What became of the calls", ("state", "calls", "means"), [*rows, ("all", str(len(calls)), "")])


def _run(started: datetime | None, ended: datetime | None, summary: Mapping[str, Any]) -> _Table:
    took = ended - started if started and ended else None
    rate = summary.get("calls_per_minute")
    facts = {
        "started": _shown(started),
        "ended": _shown(ended),
        # A clock that was put back meanwhile tells no length.
        "took": str(timedelta(seconds=took // timedelta(seconds=1))) if took is not None and took.days >= 0 else "",
        "calls": _clean(summary.get("calls")),
        "calls a minute": f"{rate:.1f}" if isinstance(rate, int | float) and math.isfinite(rate) else "",
    }
    rows = [(name, fact or "not known") for name, fact in facts.items()]
    because = _shortened(_clean(summary.get("ended_because")))
    return _Table("When it ran", ("what", "value"), [*rows, *([("ended because", because)] if because else [])])


def _not_plotted(count: int) -> str:
    return f"{_number(count, 'call')} without a time {'is' if count == 1 else 'are'} not shown here." if count else ""


def _reasons(calls: list[_Call]) -> _Table:
    order = {state: place for place, state in enumerate(_State)}
    count = Counter((call.state, call.reason) for call in calls if call.reason)
    groups = sorted(count.items(), key=lambda group: (-group[1], order[group[0][0]], group[0][1]))
    shown, hidden = groups[:MOST_REASONS], groups[MOST_REASONS:]
    more = "" if groups else "No call has a reason."
    if hidden:
        of_calls = _number(sum(calls for _, calls in hidden), "call")
        more = f"And {_number(len(hidden), 'more reason')}, of {of_calls}."
    rows = [(state.word, _shortened(reason), str(calls)) for (state, reason), calls in shown]
    return _Table("Reasons", ("state", "reason", "calls"), rows, more)


def _people(calls: list[_Call]) -> _Table:
    found = [call for state in _NEED_A_PERSON for call in calls if call.state is state]
    more = "" if found else "None."
    if len(found) > MOST_CALLS:
        more = f"And {_number(len(found) - MOST_CALLS, 'more call')}."
    rows = [
        (str(call.index), call.state.word, call.agent, call.customer, _shown(call.at), _shortened(call.reason))
        for call in found[:MOST_CALLS]
    ]
    return _Table("Calls that need a person", ("call", "state", "agent", "customer", "time", "reason"), rows, more)


def _instant(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no time in ISO 8601") from None
    if instant.utcoffset() is None:
        raise ValueError(f"{name}: {text!r} has no zone, so nobody can tell which instant it is")
    return instant


def _shown(instant: datetime | None) -> str:
    return instant.isoformat(" ", "seconds") if instant else ""


def _number(count: int, of: str) -> str:
    return f"{count} {of}{'' if count == 1 else 's'}"


# Outcomes over time

# Lengths that a clock's face knows; beyond the last, twice as long each.
_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
_UNITS: Final = ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_MONDAY: Final = datetime(2001, 1, 1)  # by the report's own clock, whichever that is
_LETTERS: Final = 60


def _buckets(outcomes: list[tuple[datetime, _State]], most: int) -> list[_Bucket]:
    """Return the outcomes in buckets of one length, without a gap: the shortest length that makes at most so many."""
    if not outcomes:
        return []
    second = timedelta(seconds=1)
    seconds = [((at.replace(tzinfo=None) - _MONDAY) // second, state) for at, state in outcomes]
    first, last = min(seconds)[0], max(seconds)[0]
    lengths = itertools.chain(_SECONDS, (_SECONDS[-1] << power for power in itertools.count(1)))
    length = next(length for length in lengths if last // length - first // length < most)
    count = Counter((at // length, state) for at, state in seconds)
    zone = outcomes[0][0].tzinfo
    begins = [
        (_MONDAY + place * length * second).replace(tzinfo=zone) for place in range(first // length, last // length + 2)
    ]
    places = range(first // length, last // length + 1)
    return [
        _Bucket(begin, end, Counter({state: count[place, state] for state in _State if count[place, state]}))
        for place, (begin, end) in zip(places, itertools.pairwise(begins), strict=True)
    ]


def _counted(buckets: list[_Bucket]) -> dict[_State, int]:
    """Return the states that occur, each with its count."""
    count = sum((bucket.counts for bucket in buckets), Counter[_State]())
    return {state: count[state] for state in _State if count[state]}


def _clock(buckets: list[_Bucket]) -> str:
    """Return how a bucket's beginning is written: with its day if the plot does not tell it once for all."""
    begins = [bucket.begins for bucket in buckets]
    time = "%H:%M" if all(begin.second == 0 for begin in begins) else "%H:%M:%S"
    return time if begins[0].date() == begins[-1].date() else f"%m-%d {time}"


def _scale(buckets: list[_Bucket], of: str) -> str:
    """Return by which clock a plot is, and how much of the time one piece of it covers."""
    first, last = buckets[0], buckets[-1]
    days = dict.fromkeys((first.begins.date().isoformat(), last.begins.date().isoformat()))
    seconds = (first.ends - first.begins) // timedelta(seconds=1)
    unit, word = next((unit, word) for unit, word in _UNITS if seconds % unit == 0)
    zone = first.begins.isoformat(timespec="seconds")[19:]
    return f"{' to '.join(days)}, UTC{zone}; {of} is {_number(seconds // unit, word)}"


def _told(buckets: list[_Bucket]) -> str:
    """Return the plot in one sentence, for those who do not see it."""
    count = _counted(buckets)
    counts = ", ".join(f"{calls} {state.word}" for state, calls in count.items())
    began, ended = _shown(buckets[0].begins), _shown(buckets[-1].ends)
    return f"Outcomes of {_number(sum(count.values()), 'call')} from {began} to {ended}: {counts}"


def _each_bucket(buckets: list[_Bucket]) -> _Table:
    states = list(_counted(buckets))
    rows = [
        (_shown(bucket.begins), *(str(bucket.counts[state]) for state in states)) for bucket in buckets if bucket.counts
    ]
    return _Table("Outcomes over time", ("from", *(state.word for state in states)), rows)


def _histogram(buckets: list[_Bucket]) -> str:
    """Return the plot as text, a line for each bucket. No state that occurs in one is rounded away."""
    each = math.ceil(max(bucket.counts.total() for bucket in buckets) / _LETTERS)
    bars = ["".join(state.letter * math.ceil(bucket.counts[state] / each) for state in _State) for bucket in buckets]
    width = max(map(len, bars))
    clock = _clock(buckets)
    legend = ", ".join(f"{state.letter} {state.word}" for state in _counted(buckets))
    return "\n".join(
        [
            *[
                f"{bucket.begins.strftime(clock)} {bar:{width}} {bucket.counts.total()}".rstrip()
                for bucket, bar in zip(buckets, bars, strict=True)
            ],
            "",
            f"{legend}; a letter is {'1 call' if each == 1 else f'up to {each} calls'}",
            _scale(buckets, "a line"),
        ]
    )


# The plot as an image. It brings its own paper, as nobody knows on which page it will lie.

_WIDTH, _HEIGHT = 720, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 708, 44, 220
_WIDEST_BAR = 48.0
_LEAST_HEIGHT = 2.0
"""One unknown call among a thousand accepted ones has to be seen."""

# Each is told from the others by its marks, or by its lightness, in both schemes: no colour is needed.
_MARKS: Final = {
    _State.ACCEPTED: "",
    _State.UNKNOWN: "",
    _State.REFUSED: "M-1 1L1-1M0 6L6 0M5 7L7 5",
    _State.NOT_SENT: "M2 3h2",
    _State.SKIPPED: "M0 3h6",
    _State.LEFT: "M-1 5L1 7M0 0L6 6M5-1L7 1",
}
_PLOT_STYLE: Final = """
.plot{font:12px system-ui,sans-serif}.plot .paper{fill:#fff}.plot text{fill:#1b1b1b}.plot .line{stroke:#8a8a8a}
.plot .mark{stroke:#111;stroke-width:1.5}.plot .bars{stroke:#fff;stroke-width:.5}
.plot .hover{fill:none;pointer-events:all}
.plot .accepted{fill:#0072b2}.plot .unknown{fill:#111}.plot .refused{fill:#f0935a}.plot .not_sent{fill:#f0e442}
.plot .skipped{fill:#8fd3b4}.plot .left{fill:#d8d8d8}
@media(prefers-color-scheme:dark){.plot .paper{fill:#16181c}.plot text{fill:#e8e8e8}.plot .bars{stroke:#16181c}
.plot .accepted{fill:#2f8fd0}.plot .unknown{fill:#fff}}
"""


def _svg(buckets: list[_Bucket], *, hovers: bool) -> str:
    """Return the plot.

    :param hovers: whether a bar tells its counts when pointed at: for a plot within a page, as no image can
    """
    slot = min((_RIGHT - _LEFT) / len(buckets), _WIDEST_BAR)
    step, top = _axis(max(bucket.counts.total() for bucket in buckets))
    states = list(_counted(buckets))
    told = html_text.escape(_told(buckets))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" aria-label="{told}"'
            f' width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
            f"<title>{told}</title><style>{_PLOT_STYLE}</style>",
            f"<defs>{''.join(map(_pattern, states))}</defs>",
            f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
            *_legend(states),
            *_grid(step, top),
            *_bars(buckets, states, slot, top),
            *_times(buckets, slot),
            *(_hovers(buckets, slot) if hovers else []),
            "</svg>",
        ]
    )


def _pattern(state: _State) -> str:
    return (
        f'<pattern id="plot-{state}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<rect class="{state}" width="6" height="6"/><path class="mark" d="{_MARKS[state]}"/></pattern>'
    )


def _legend(states: list[_State]) -> list[str]:
    return [
        f'<rect fill="url(#plot-{state})" x="{_LEFT + 108 * place}" y="10" width="18" height="18"/>'
        f'<text x="{_LEFT + 108 * place + 24}" y="23">{state.word}</text>'
        for place, state in enumerate(states)
    ]


def _axis(most: int) -> tuple[int, int]:
    """Return the step between two lines, and the topmost: at most five steps of 1, 2 or 5 times a power of ten."""
    steps = (digit * 10**power for power in itertools.count() for digit in (1, 2, 5))
    step = next(step for step in steps if step * 5 >= most)
    return step, math.ceil(most / step) * step


def _grid(step: int, top: int) -> list[str]:
    lines = []
    for calls in range(0, top + 1, step):
        y = _plain(_BOTTOM - (_BOTTOM - _TOP) * calls / top)
        lines += [
            f'<path class="line" d="M{_LEFT} {y}H{_RIGHT}"/>'
            f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end" dominant-baseline="middle">{calls}</text>'
        ]
    return lines


def _bars(buckets: list[_Bucket], states: list[_State], slot: float, top: int) -> list[str]:
    bars: dict[_State, list[str]] = {state: [] for state in states}
    for place, bucket in enumerate(buckets):
        x, width, foot = _plain(_LEFT + place * slot), _plain(slot), float(_BOTTOM)
        for state in states:
            if calls := bucket.counts[state]:
                height = max((_BOTTOM - _TOP) * calls / top, _LEAST_HEIGHT)
                foot -= height
                bars[state].append(f"M{x} {_plain(foot)}h{width}v{_plain(height)}h-{width}z")
    paths = [f'<path fill="url(#plot-{state})" d="{"".join(bars[state])}"/>' for state in states]
    return ['<g class="bars">', *paths, "</g>"]


def _hovers(buckets: list[_Bucket], slot: float) -> list[str]:
    return [
        f'<rect class="hover" x="{_plain(_LEFT + place * slot)}" y="{_TOP}" width="{_plain(slot)}"'
        f' height="{_BOTTOM - _TOP}"><title>{_told([bucket])}</title></rect>'
        for place, bucket in enumerate(buckets)
        if bucket.counts
    ]


def _times(buckets: list[_Bucket], slot: float) -> list[str]:
    clock = _clock(buckets)
    every = math.ceil(95 / slot)
    labels = [
        f'<path class="line" d="M{_plain(_LEFT + place * slot)} {_BOTTOM}v5"/>'
        f'<text x="{_plain(_LEFT + place * slot)}" y="{_BOTTOM + 18}">{buckets[place].begins.strftime(clock)}</text>'
        for place in range(0, len(buckets), every)
        # The last one must not run over the edge.
        if _LEFT + place * slot < _WIDTH - 85
    ]
    return [*labels, f'<text x="{_LEFT}" y="{_BOTTOM + 40}">{_scale(buckets, "a bar")}</text>']


def _plain(number: float) -> str:
    return f"{round(number, 1):g}"


# Texts of others

# What XML cannot hold, and what turns the direction of the text around it: digits would read as another number.
_UNFIT: Final = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
_MARKDOWN: Final = re.compile(r"[\\`*_{}\[\]#~$!]")
# Not by a backslash: parsers differ in whether one hides a bar from the table around it.
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"})


def _clean(value: object) -> str:
    """Return a value as one line of text that every format can hold."""
    text = "" if value is None else " ".join(str(value).split())
    # Most texts are, and the search costs more than all else in a report of ten thousand long reasons.
    return text if text.isascii() and text.isprintable() else _UNFIT.sub("\ufffd", text)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _markdown_escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", text).translate(_ENTITIES)


def _markdown_table(table: _Table) -> str:
    lines = [table.columns, ("---",) * len(table.columns)]
    lines += [tuple(map(_markdown_escaped, row)) for row in table.rows]
    told = ["\n".join(f"| {' | '.join(cells)} |" for cells in lines)] if table.rows else []
    return "\n\n".join([*told, *([_markdown_escaped(table.more)] if table.more else [])])


_PAGE: Final = """<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>{title}</title>
<style>
:root{{color-scheme:light dark}}
body{{font:16px/1.45 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}}
svg{{max-width:100%;height:auto}}
table{{border-collapse:collapse}}
th,td{{border-bottom:1px solid #8a8a8a;padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top}}
td{{font-variant-numeric:tabular-nums}}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{lead}</p>
{sections}
</main>
</body>
</html>
"""


def _html_section(table: _Table) -> str:
    rows = _html_table(table) if table.rows else ""
    more = f"<p>{html_text.escape(table.more)}</p>" if table.more else ""
    return f"<section><h2>{table.heading}</h2>\n{rows}{more}</section>"


def _html_table(table: _Table) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in table.columns)
    rows = "\n".join(f"<tr>{''.join(f'<td>{html_text.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    label = f'aria-label="{table.heading}"'
    return f"<table {label}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
