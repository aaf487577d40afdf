"""The report of a batch counts right, hides no call that needs a person, and shows any text as text."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from airflow_provider_wolkvox.batch_report import markdown

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


class Read:
    """What a reader sees: a title, headings, and under each its texts and its table's rows."""

    def __init__(self) -> None:
        self.title = ""
        self.texts: dict[str, list[str]] = {"": []}
        self.rows: dict[str, list[list[str]]] = {}

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


# What is nothing but text, after all escapes are undone.
PLAIN = {"text", "text_special", "entity"}


def read_markdown(text: str) -> Read:
    """Read a report as a common Markdown parser does, which must find no markup in it but the report's own."""
    read, heading, inside, row = Read(), "", "", []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        match token.type:
            case "heading_open":
                inside = token.tag
            case "tr_open":
                row = []
            case "tr_close" if inside == "td":
                read.rows.setdefault(heading, []).append(row)
            case "paragraph_open" | "th_open" | "td_open":
                inside = token.tag
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


FORMATS = {"markdown": lambda *given: read_markdown(markdown(*given))}
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


# What it takes, and what it never shows


@pytest.mark.parametrize("write", [markdown])
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


@pytest.mark.parametrize("write", [markdown])
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
