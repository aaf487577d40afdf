"""The report of a batch counts right, hides no call that needs a person, and shows any text as text."""

from __future__ import annotations

import base64
import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from counting import functions_called
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from airflow_provider_wolkvox.batch_report import html, markdown

STATES = ["accepted", "unknown", "refused", "not_sent", "skipped", "left"]
NEED_A_PERSON = ["unknown", "refused", "not_sent", "skipped"]
BEGUN = datetime(2026, 11, 20, 14, 0, tzinfo=timezone(timedelta(hours=-5)))
SUMMARY = {
    "started": BEGUN.isoformat(),
    "ended": (BEGUN + timedelta(minutes=10)).isoformat(),
    "calls": 4,
    "calls_per_minute": 12.34,
    "ended_because": None,
}


def result(index: int = 0, state: str = "accepted", seconds: float | None = 0, **of):
    return {
        "index": index,
        "agent_id": f"1{index:04}",
        "customer_phone": f"***{index % 10000:04}",
        "state": state,
        "conn_id": "10001.0101.1795369706.10001" if state == "accepted" else None,
        "reason": "" if state in ("accepted", "left") else f"because {state}",
        "at": None if seconds is None else (BEGUN + timedelta(seconds=seconds)).isoformat(),
        **of,
    }


def results_of(states: list[str]):
    return [result(index, state, index) for index, state in enumerate(states)]


# Reading a report back

PLOT = "Outcomes over time"
SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"
OWN_ELEMENTS = {
    *["html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "section", "details", "summary"],
    *["table", "thead", "tbody", "tr", "th", "td"],
}


class Read:
    """What a reader sees: a title, headings, and under each its texts and its table's rows."""

    def __init__(self) -> None:
        self.title = ""
        self.texts: dict[str, list[str]] = {"": []}
        self.rows: dict[str, list[list[str]]] = {}
        self.histogram: list[str] = []
        self.plot: Plot | None = None

    def counts(self) -> dict[str, int]:
        return {state.replace(" ", "_"): int(calls) for state, calls, _ in self.rows["What became of the calls"]}

    def run(self) -> dict[str, str]:
        return dict(self.rows["When it ran"])

    def reasons(self) -> list[tuple[str, str, int]]:
        return [(state.replace(" ", "_"), reason, int(calls)) for state, reason, calls in self.rows.get("Reasons", [])]

    def people(self) -> list[list[str]]:
        return self.rows.get("Calls that need a person", [])

    def said(self, heading: str = "") -> str:
        return " ".join(self.texts[heading])


class Plot:
    """What the SVG of a plot draws."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg)
        self.width, self.height = float(self.root.get("width")), float(self.root.get("height"))
        self.told = self.root.findtext("{*}title")
        self.words = [each.text for each in self.root.iter(f"{SVG}text")]
        self.patterns = {
            each.get("id").removeprefix("plot-"): each.find("{*}path").get("d")
            for each in self.root.iter(f"{SVG}pattern")
        }
        self.bars: dict[str, list[tuple[float, ...]]] = {
            path.get("fill").removeprefix("url(#plot-").removesuffix(")"): [
                tuple(map(float, re.fullmatch(r"(.+) (.+)h(.+)v(.+)h-.+z", bar).groups()))
                for bar in path.get("d").split("M")[1:]
            ]
            for path in self.root.findall("{*}g/{*}path")
        }

        self.hovers = [each.findtext("{*}title") for each in self.root.findall("{*}rect[@class='hover']")]

    def told_counts(self) -> dict[str, int]:
        counts = re.findall(r"(\d+) ([a-z ]+)(?:,|$)", self.told.partition(": ")[2])
        return {state.replace(" ", "_"): int(calls) for calls, state in counts}


# What is nothing but text, after all escapes are undone.
PLAIN = {"text", "text_special", "entity"}


def read_markdown(text: str) -> Read:
    """Read a report as a common Markdown parser does, which must find no markup in it but the report's own."""
    read, heading, inside, row = Read(), "", "", []
    parser = MarkdownIt("commonmark").enable("table")
    # By itself this parser takes no image but PNG, GIF, JPEG and WebP out of a text.
    parser.validateLink = lambda url: True
    for token in parser.parse(text):
        match token.type:
            case "heading_open":
                inside = token.tag
            case "tr_open":
                row = []
            case "tr_close" if inside == "td":
                read.rows.setdefault(heading, []).append(row)
            case "paragraph_open" | "th_open" | "td_open":
                inside = token.tag
            case "fence":
                read.histogram = token.content.splitlines()
            case "inline" if heading == PLOT and token.children[0].type == "image":
                [image] = token.children
                kind, _, data = image.attrs["src"].partition(";base64,")
                assert kind == "data:image/svg+xml"
                read.plot = Plot(base64.b64decode(data).decode())
                assert image.content == read.plot.told
            case "inline":
                assert {child.type for child in token.children} <= PLAIN, token.content
                content = "".join(child.content for child in token.children)
                if inside == "h1":
                    read.title = content
                elif inside == "h2":
                    heading = content
                    read.texts[heading] = []
                elif inside in ("th", "td"):
                    row.append(content)
                else:
                    read.texts[heading].append(content)
            case "html_block":
                raise AssertionError(token.content)
    return read


def read_html(text: str) -> Read:
    """Read a report as XML, in which no elements may stand but the report's own."""
    read, page = Read(), ElementTree.fromstring(text)
    assert {each.tag.removeprefix(XHTML) for each in page.iter() if not each.tag.startswith(SVG)} <= OWN_ELEMENTS
    read.title = page.findtext(f".//{XHTML}h1")
    assert page.findtext(f"{XHTML}head/{XHTML}title") == read.title
    main = page.find(f".//{XHTML}main")
    read.texts[""] = [each.text for each in main.findall(f"{XHTML}p")]
    for section in main.findall(f"{XHTML}section"):
        heading = section.findtext(f"{XHTML}h2")
        read.texts[heading] = [each.text for each in section.findall(f"{XHTML}p")]
        for row in section.findall(f".//{XHTML}tbody/{XHTML}tr"):
            read.rows.setdefault(heading, []).append([cell.text or "" for cell in row])
        if (svg := section.find(f"{SVG}svg")) is not None:
            read.plot = Plot(ElementTree.tostring(svg, encoding="unicode"))
    return read


FORMATS = {
    "markdown": lambda *given: read_markdown(markdown(*given)),
    "html": lambda *given: read_html(html(*given)),
}
in_each_format = pytest.mark.parametrize("report", FORMATS.values(), ids=FORMATS.keys())


# What it tells


@in_each_format
def test_every_state_is_counted_and_so_are_all_calls(report):
    states = ["accepted"] * 5 + ["unknown", "refused", "refused", "skipped", "left"]
    counts = report("A batch", results_of(states), SUMMARY).counts()
    assert counts == {"accepted": 5, "unknown": 1, "refused": 2, "not_sent": 0, "skipped": 1, "left": 1, "all": 10}


@in_each_format
def test_an_empty_batch_has_a_report_too(report):
    read = report("Nothing", [], {})
    assert set(read.counts().values()) == {0}
    assert read.said() == "0 calls asked for. None needs a person."
    assert read.said("Calls that need a person") == "None."
    assert set(read.run().values()) == {"not known"}


@in_each_format
def test_one_call_is_a_batch(report):
    read = report("One", [result(0, "unknown")], SUMMARY)
    assert read.said() == "1 call asked for. 1 needs a person; the outcome of 1 is unknown."
    assert read.people() == [["0", "unknown", "10000", "***0000", "2026-11-20 14:00:00-05:00", "because unknown"]]


@in_each_format
def test_it_tells_when_the_batch_ran_how_fast_and_why_it_ended(report):
    read = report("A batch", results_of(["accepted"]), {**SUMMARY, "ended_because": "the hours | closed"})
    assert read.run() == {
        "started": "2026-11-20 14:00:00-05:00",
        "ended": "2026-11-20 14:10:00-05:00",
        "took": "0:10:00",
        "calls": "4",
        "calls a minute": "12.3",
        "ended because": "the hours | closed",
    }


@in_each_format
@pytest.mark.parametrize("rate", [None, float("inf"), float("nan")])
def test_a_rate_that_is_no_number_is_not_known(report, rate):
    assert report("A batch", [], {**SUMMARY, "calls_per_minute": rate}).run()["calls a minute"] == "not known"


@in_each_format
def test_a_clock_that_was_put_back_tells_no_length(report):
    read = report("A batch", [], {**SUMMARY, "ended": (BEGUN - timedelta(seconds=1)).isoformat()})
    assert read.run()["took"] == "not known"


@in_each_format
def test_all_times_are_by_the_clock_by_which_the_batch_started(report):
    at = BEGUN.astimezone(UTC).isoformat()
    read = report("A batch", [result(0, "refused", at=at)], {**SUMMARY, "ended": at})
    assert [row[4] for row in read.people()] == ["2026-11-20 14:00:00-05:00"]
    assert read.run()["ended"] == "2026-11-20 14:00:00-05:00"


@in_each_format
def test_reasons_are_grouped_the_most_frequent_first(report):
    reasons = ["agent busy"] * 3 + ["quota"] + ["token busy"] * 2
    results = [result(index, "refused", reason=reason) for index, reason in enumerate(reasons)]
    results += [result(6, "unknown", reason="agent busy"), result(7, "not_sent", reason=None)]
    assert report("A batch", results, SUMMARY).reasons() == [
        ("refused", "agent busy", 3),
        ("refused", "token busy", 2),
        ("unknown", "agent busy", 1),
        ("refused", "quota", 1),
        ("not_sent", "no reason given", 1),
    ]


@in_each_format
def test_twenty_reasons_are_shown_and_the_rest_is_counted(report):
    results = [result(index, "refused", reason=f"reason {index // 2:02}") for index in range(44)]
    read = report("A batch", results, SUMMARY)
    assert [reason for _, reason, _ in read.reasons()] == [f"reason {number:02}" for number in range(20)]
    assert read.said("Reasons") == "And 2 more reasons, of 4 calls."


@in_each_format
def test_calls_that_need_a_person_come_unknown_first_and_then_in_the_batch_s_order(report):
    read = report("A batch", results_of([*STATES, *STATES]), SUMMARY)
    assert [(row[1].replace(" ", "_"), int(row[0])) for row in read.people()] == [
        *[("unknown", 1), ("unknown", 7), ("refused", 2), ("refused", 8)],
        *[("not_sent", 3), ("not_sent", 9), ("skipped", 4), ("skipped", 10)],
    ]


@in_each_format
def test_two_hundred_calls_are_shown_and_the_rest_is_counted(report):
    read = report("A batch", results_of(["refused"] * 201 + ["unknown"]), SUMMARY)
    assert [int(row[0]) for row in read.people()] == [201, *range(199)]
    assert read.said("Calls that need a person") == "And 2 more calls."


@in_each_format
def test_a_long_reason_is_cut_in_the_tables_but_not_when_grouped(report):
    long = "x" * 1000
    read = report(
        "A batch", [result(0, "refused", reason=long + "a"), result(1, "refused", reason=long + "b")], SUMMARY
    )
    assert [calls for _, _, calls in read.reasons()] == [1, 1]
    assert {len(row[5]) for row in read.people()} == {400}
    assert read.people()[0][5].endswith("x…")


# The plot

A_WHILE = [0, 0.5, 59, 600, 86_400, 10_000_000, 2_000_000_000]


@in_each_format
def test_without_any_time_there_is_no_plot_and_it_says_so(report):
    read = report("A batch", [result(0, "left", None), result(1, "left", None)], SUMMARY)
    assert (read.plot, read.histogram) == (None, [])
    assert read.said(PLOT) == "2 calls without a time are not shown here."


@in_each_format
def test_calls_without_a_time_are_counted_but_not_drawn(report):
    read = report("A batch", [result(0), result(1, "left", None)], SUMMARY)
    assert read.plot.told_counts() == {"accepted": 1}
    assert read.said(PLOT) == "1 call without a time is not shown here."
    assert read.counts()["left"] == 1


@in_each_format
@pytest.mark.parametrize("while_", A_WHILE)
@pytest.mark.parametrize("calls", [1, 2, 7, 500])
def test_the_plot_has_every_call_with_a_time_in_at_most_120_bars_within_its_frame(report, while_, calls):
    results = [result(index, STATES[index % 6], while_ * index / calls) for index in range(calls)]
    plot = report("A batch", results[::-1], SUMMARY).plot
    count = Counter(each["state"] for each in results)
    assert plot.told_counts() == count
    assert set(plot.bars) == set(plot.patterns) == set(count)
    assert len({x for bars in plot.bars.values() for x, *_ in bars}) <= 120
    for x, foot, width, height in [bar for bars in plot.bars.values() for bar in bars]:
        assert 0 <= x < x + width <= plot.width
        assert 0 < foot < foot + height <= plot.height
        assert height >= 2


@in_each_format
def test_a_bar_stands_on_the_one_below_and_is_as_high_as_its_calls(report):
    states = ["accepted"] * 60 + ["refused"] * 30 + ["unknown"] * 10
    bars = report("A batch", [result(index, state) for index, state in enumerate(states)], SUMMARY).plot.bars
    [(_, accepted, _, high)], [(_, unknown, _, low)], [(_, refused, _, middle)] = (
        bars[state] for state in ("accepted", "unknown", "refused")
    )
    assert (high / low, middle / low) == (pytest.approx(6, rel=0.02), pytest.approx(3, rel=0.02))
    assert (unknown + low, refused + middle) == (pytest.approx(accepted, abs=0.2), pytest.approx(unknown, abs=0.2))


@in_each_format
def test_one_unknown_call_among_ten_thousand_is_drawn(report):
    results = [result(index, "unknown" if index == 5000 else "accepted") for index in range(10_000)]
    read = report("A batch", results, SUMMARY)
    assert [height for *_, height in read.plot.bars["unknown"]] == [2]


@in_each_format
def test_the_plot_s_words_name_states_times_and_scale(report):
    results = [result(index, state, 30 * index) for index, state in enumerate(STATES)]
    words = report("A batch", results, SUMMARY).plot.words
    assert {"accepted", "unknown", "refused", "not sent", "skipped", "left"} < set(words)
    assert "14:00:00" in words
    assert words[-1] == "2026-11-20, UTC-05:00; a bar is 2 seconds"


def test_states_are_told_apart_without_colours():
    plot = read_markdown(markdown("A batch", results_of(STATES), SUMMARY)).plot
    marked = [marks for marks in plot.patterns.values() if marks]
    assert len(set(marked)) == len(marked) == 4
    light, dark = plot.root.findtext("{*}style").split("@media(prefers-color-scheme:dark)")
    for scheme in (light, dark):
        # The two without marks differ in lightness, from each other and from the paper.
        accepted, unknown, paper = (
            lightness(re.search(rf"\.{name}{{fill:(#\w+)", scheme)[1]) for name in ("accepted", "unknown", "paper")
        )
        assert contrast(accepted, unknown) >= 3
        assert contrast(accepted, paper) >= 3
        assert contrast(unknown, paper) >= 3


def lightness(colour: str) -> float:
    """Return the relative luminance that WCAG defines."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("while_", A_WHILE)
def test_the_plot_as_text_has_every_call_on_few_lines(while_):
    results = [result(index, STATES[index % 6], while_ * index / 500) for index in range(500)]
    lines = read_markdown(markdown("A batch", results, SUMMARY)).histogram
    of_buckets = lines[: lines.index("")]
    assert len(of_buckets) <= 24
    assert sum(int(line.split()[-1]) for line in of_buckets) == 500
    assert max(map(len, lines)) <= 100


def test_the_plot_as_text_hides_no_state_and_tells_its_scale():
    states = ["accepted"] * 3000 + ["unknown"]
    results = [result(index, state, index % 2) for index, state in enumerate(states)] + [result(3001, "refused", 3)]
    assert read_markdown(markdown("A batch", results, SUMMARY)).histogram == [
        "14:00:00 " + "A" * 58 + "U 1501",
        "14:00:01 " + "A" * 58 + "  1500",
        "14:00:02 " + " " * 59 + " 0",
        "14:00:03 " + "R" + " " * 58 + " 1",
        "",
        "A accepted, U unknown, R refused; a letter is up to 26 calls",
        "2026-11-20, UTC-05:00; a line is 1 second",
    ]


def test_a_plot_over_midnight_tells_the_day_with_the_time():
    lines = read_markdown(markdown("A batch", [result(0), result(1, seconds=12 * 3600)], SUMMARY)).histogram
    assert (lines[0], lines[-1]) == ("11-20 14:00 A 1", "2026-11-20 to 2026-11-21, UTC-05:00; a line is 1 hour")


# The page


class Tags(HTMLParser):
    """What a browser finds, which does not read XML: every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.attributes += attrs

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@settings(deadline=None)
@given(reason=st.deferred(lambda: texts))
def test_the_page_is_well_formed_for_a_browser_and_fetches_nothing(reason):
    page = Tags(html(reason, [result(0, "refused", reason=reason, agent_id=reason)], SUMMARY))
    assert page.open == []
    assert {name for name, _ in page.attributes} & {"src", "href", "srcset", "action", "onload", "onclick"} == set()
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_the_page_follows_light_and_dark():
    text = html("A batch", results_of(STATES), SUMMARY)
    assert ("content", "light dark") in Tags(text).attributes
    assert "prefers-color-scheme:dark" in text


def test_the_plot_is_told_to_those_who_do_not_see_it():
    plot = read_html(html("A batch", results_of(STATES), SUMMARY)).plot
    assert plot.root.get("role") == "img"
    assert plot.root.get("aria-label") == plot.told
    assert plot.told_counts() == dict.fromkeys(STATES, 1)


@pytest.mark.parametrize("while_", A_WHILE)
def test_the_plot_stands_below_it_as_a_table(while_):
    results = [result(index, STATES[index % 6], while_ * index / 600) for index in range(600)]
    read = read_html(html("A batch", results, SUMMARY))
    rows = read.rows[PLOT]
    assert len(rows) == len(read.plot.hovers) <= 120
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert [sum(int(row[column]) for row in rows) for column in range(1, 7)] == [100] * 6


# What it takes, and what it never shows


@pytest.mark.parametrize("write", [markdown, html])
@pytest.mark.parametrize("reason", ["busy", "<a | long reason> " * 100], ids=["short", "long"])
def test_ten_thousand_calls_cost_ten_times_as_much_as_a_thousand(write, reason):
    def cost(number: int) -> int:
        results = [result(index, STATES[index % 6], index * 1.7, reason=f"{reason} {index}") for index in range(number)]
        return functions_called(lambda: write("A batch", results, SUMMARY))

    assert cost(10_000) < 11 * cost(1_000)
    # In time: `benchmarks/report_cost.py`.
    assert cost(10_000) < 1_000_000


@pytest.mark.parametrize("write", [markdown, html])
def test_no_conn_id_is_shown_for_it_may_hold_more_of_the_number(write):
    told = write("A batch", [result(0, state, conn_id="10001.3005550101.1.1") for state in STATES], SUMMARY)
    assert "3005550101" not in told


@in_each_format
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"state": "ringing"}, "call 7: 'ringing' is no state"),
        ({"at": "yesterday"}, "call 7: at: 'yesterday' is no time"),
        ({"at": "2026-11-20T14:00:00"}, "has no zone"),
    ],
)
def test_what_is_no_result_is_named(report, wrong, named):
    with pytest.raises(ValueError, match=named):
        report("A batch", [{**result(7), **wrong}], SUMMARY)


@pytest.mark.parametrize("write", [markdown, html])
def test_the_same_batch_has_the_same_report(write):
    results = results_of(STATES * 50)
    assert write("A batch", results, SUMMARY) == write("A batch", results, SUMMARY)


NASTY = [
    *["<script>alert(1)</script>", "a | b", "a \\| b", "\\", "\n\n# no heading", "```", "[x](http://x)", "![x][plot]"],
    *["<!-- ", "]]>", "&lt;", "&#124;", "</td>", "*a* _b_ ~~c~~", "| --- |", "\x00\x1b[31m", "\u202e1010", "\ud800"],
    *["- a", "1. a", "> a", "---", "http://example.com", "<http://example.com>", "\ufffe", "\u2028", "$a$", "{{ x }}"],
]
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=40), st.lists(st.sampled_from(NASTY)).map("".join))
UNFIT = "\ufffd"


def as_shown(text: str) -> str:
    """What of a text has to be seen: all its words, if it is fit to be seen at all."""
    return " ".join(text.split())


def alike(seen: str, text: str) -> bool:
    wanted = as_shown(text)
    return len(seen) == len(wanted) and all(a in (b, UNFIT) for a, b in zip(seen, wanted, strict=True))


batches = st.lists(
    st.tuples(
        st.sampled_from(STATES), texts, st.none() | st.floats(-100_000, 10_000_000), st.sampled_from(["***", "***0101"])
    ),
    max_size=30,
)


@in_each_format
@settings(deadline=None)
@given(title=texts, batch=batches, because=texts)
def test_any_text_is_shown_as_text_and_the_counts_are_those_of_the_results(report, title, batch, because):
    results = [
        result(index, state, seconds, reason=reason, customer_phone=customer, agent_id=reason)
        for index, (state, reason, seconds, customer) in enumerate(batch)
    ]
    read = report(title, results, {**SUMMARY, "ended_because": because})
    count = Counter(state for state, *_ in batch)
    assert read.counts() == {**{state: count[state] for state in STATES}, "all": len(batch)}
    assert alike(read.title, title) or not as_shown(title)
    assert alike(read.run().get("ended because", ""), because)
    people = {int(row[0]): row for row in read.people()}
    assert set(people) == {index for index, (state, *_) in enumerate(batch) if state in NEED_A_PERSON}
    for index, row in people.items():
        state, reason, seconds, customer = batch[index]
        assert (row[1].replace(" ", "_"), row[3], bool(row[4])) == (state, customer, seconds is not None)
        assert alike(row[2], reason)
        assert alike(row[5], reason or "no reason given") or not as_shown(reason)
    with_reason = sum(state in NEED_A_PERSON or bool(as_shown(reason)) for state, reason, *_ in batch)
    told = sum(calls for *_, calls in read.reasons())
    hidden = read.said("Reasons")
    assert told == with_reason or (told < with_reason and f"of {with_reason - told} call" in hidden)
