"""What became of a batch of calls, for the person who has to answer for it.

Pure: values come in, a text goes out. Nothing that came in is trusted to be harmless text. Of a customer's number the
report shows what came in under `customer_phone`; no `conn_id`, as nobody documents what of the number it holds.

Example::

    text = markdown("Callbacks of campaign 32841", results, summary)
"""

from __future__ import annotations

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


class _State(StrEnum):
    """What became of a call, in the order of tables."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    SKIPPED = "skipped"
    LEFT = "left"

    @property
    def word(self) -> str:
        return self.value.replace("_", " ")


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
    """Return the report as Markdown.

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
    for table in (story.counts, story.run, story.reasons, story.people):
        parts += [f"## {table.heading}", _markdown_table(table)]
    return "\n\n".join(parts) + "\n"


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
class _Story:
    title: str
    lead: str
    counts: _Table
    run: _Table
    reasons: _Table
    people: _Table


def _story(title: str, results: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> _Story:
    started, ended = (_instant(summary.get(name), name) for name in ("started", "ended"))
    # All times by one clock: the one by which the batch was started.
    zone = started.tzinfo if started else UTC
    calls = [_call(result, zone) for result in results]
    return _Story(
        title=_clean(title) or "Batch of calls",
        lead=_lead(calls),
        counts=_counts(calls),
        run=_run(started, ended and ended.astimezone(zone), summary),
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
    because = _clean(summary.get("ended_because"))
    return _Table("When it ran", ("what", "value"), [*rows, *([("ended because", because)] if because else [])])


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


# Texts of others

# What XML cannot hold, and what turns the direction of the text around it: digits would read as another number.
_UNFIT: Final = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
_MARKDOWN: Final = re.compile(r"[\\`*_{}\[\]#~$!]")
# Not by a backslash: parsers differ in whether one hides a bar from the table around it.
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"})


def _clean(value: object) -> str:
    """Return a value as one line of text that every format can hold."""
    return "" if value is None else _UNFIT.sub("\ufffd", " ".join(str(value).split()))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _markdown_escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", text).translate(_ENTITIES)


def _markdown_table(table: _Table) -> str:
    lines = [table.columns, ("---",) * len(table.columns)]
    lines += [tuple(map(_markdown_escaped, row)) for row in table.rows]
    told = ["\n".join(f"| {' | '.join(cells)} |" for cells in lines)] if table.rows else []
    return "\n\n".join([*told, *([_markdown_escaped(table.more)] if table.more else [])])
