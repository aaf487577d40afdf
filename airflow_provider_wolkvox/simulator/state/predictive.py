"""When a campaign dials whom, what becomes of it and which agent has it: a pure function of what is given.

What wolkvox's dialler does inside is documented nowhere, so all here is a GUESS, but for this: a predictive
campaign dials by itself, and its answered calls go to agents; in a preview campaign the agents dial.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

from airflow_provider_wolkvox.simulator.state.calls import OUT_PRE, CallRecord, CallResult, Event

PREDICTIVE = "predictive"
PREVIEW = "preview"

LONGEST_GAP = timedelta(seconds=4)
"""From the end of a dial to the next for the same agent, at most."""

_SECOND = timedelta(seconds=1)
_ABANDONED = CallResult.of("ABANDON", ring_seconds=0)


@dataclass(frozen=True, slots=True)
class Record:
    """One customer as loaded into a campaign.

    :param number: unlike any other record's of the operation
    :param fields: the fields as they came
    """

    number: int
    fields: Mapping[str, str]

    @property
    def customer_id(self) -> str:
        """The customer's id; two records may have the same."""
        return self.fields["customer_id"]

    @property
    def phone(self) -> str:
        """The number that is dialled. GUESS: the first that there is, in every round."""
        return first_telephone(self.fields)


def first_telephone(fields: Mapping[str, str]) -> str:
    """Return the first of tel1 to tel10 that is not empty; an empty text if all are."""
    return next((fields[name] for number in range(1, 11) if fields.get(name := f"tel{number}")), "")


@dataclass(frozen=True, slots=True)
class Dial(CallRecord):
    """One dial of a campaign: a `CallRecord`, and why it was made.

    :param record: the record that was dialled
    :param round: counts the dials of this record, from 1
    :param line: the agent for whom it was dialled, and who has the call if it comes to one
    :param ready_since: since when this agent had been waiting, aware
    """

    record: Record = field(kw_only=True)
    round: int = field(kw_only=True)
    line: str = field(kw_only=True)
    ready_since: datetime = field(kw_only=True)

    @property
    def by_campaign(self) -> bool:
        """A campaign's dial is planned to its end before it begins."""
        return True

    @property
    def customer(self) -> Mapping[str, str]:
        """The record that was dialled."""
        return self.record.fields

    @property
    def taken(self) -> datetime:
        """When the agent was no longer waiting: as the customer answered, or as the agent dialled in a preview."""
        return self.answered if self.type_interaction == OUT_PRE else self.begun

    @property
    def events(self) -> tuple[Event, ...]:
        """The states of the agent who had the call, and the READY before it.

        GUESS: while a predictive campaign rings a customer, no agent is in RING.
        """
        if not self.agent_id:
            return ()
        spans = [
            ("READY", self.ready_since, self.taken, None),
            ("RING", self.taken, self.answered, self),
            ("TALK", self.answered, self.over, self),
            ("ACW", self.over, self.finished, self),
        ]
        return tuple(
            Event(self.agent_id, status, begun, over, call) for status, begun, over, call in spans if begun < over
        )

    def without_agent(self) -> Dial:
        """Return this dial as it ends if its agent is gone when the customer answers: nobody talks."""
        what = replace(_ABANDONED, ring_seconds=self.what.ring_seconds)
        return replace(self, agent_id="", what=what, conn_id=_conn_id("", self.record, self.round, self.begun))


Outcome = Callable[[Record, str, int], CallResult]
"""Tells what becomes of a dial: record, agent and round."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What one campaign has still to dial, in this order: records and their rounds. `since` is when it was started."""

    campaign_id: str
    kind: str
    agents: frozenset[str] | None
    seed: int
    since: datetime
    outcome: Outcome
    waiting: Sequence[tuple[Record, int]]

    def has_agent(self, agent_id: str) -> bool:
        """Return whether an agent works for it; `None` stands for all."""
        return self.agents is None or agent_id in self.agents


@dataclass(frozen=True, slots=True)
class Line:
    """An agent to dial for: waiting since `ready_since`, the last dial for it over at `free`."""

    agent_id: str
    ready_since: datetime
    free: datetime


def plan(queues: Sequence[Queue], lines: Sequence[Line], now: datetime) -> Iterator[Dial]:
    """Return every dial to come after `now`, each at most `LONGEST_GAP` later than one that comes after it.

    For each agent that waits one record is dialled at a time, so that whoever answers finds an agent free.
    What comes next depends on what the lines have done, not on when one asks: planning again changes nothing.
    """
    waiting = {queue.campaign_id: deque(queue.waiting) for queue in queues}
    soonest = now.replace(microsecond=0) + _SECOND
    heap = []
    for place, line in enumerate(lines):
        started = [queue.since.replace(microsecond=0) for queue in queues if queue.has_agent(line.agent_id)]
        if started:
            free, ready = max(line.free, min(started)), max(line.ready_since, min(started))
            heap.append((free, place, Line(line.agent_id, ready, free)))
    heapify(heap)
    while heap:
        free, place, line = heappop(heap)
        open_to = [queue for queue in queues if waiting[queue.campaign_id] and queue.has_agent(line.agent_id)]
        if not open_to:
            continue
        queue = open_to[0] if len(open_to) == 1 else _dice(line.agent_id, free.timestamp()).choice(open_to)
        record, number = waiting[queue.campaign_id].popleft()
        dial = _dial(queue, record, number, line, soonest)
        yield dial
        ready = dial.finished if dial.agent_id else line.ready_since
        heappush(heap, (dial.finished, place, Line(line.agent_id, ready, dial.finished)))


def _dial(queue: Queue, record: Record, number: int, line: Line, soonest: datetime) -> Dial:
    gap = timedelta(seconds=_dice(queue.seed, record.customer_id, number).randint(1, LONGEST_GAP // _SECOND))
    begun = max(line.free.replace(microsecond=0) + gap, soonest)
    what = queue.outcome(record, line.agent_id, number)
    agent_id = line.agent_id if what.connected or queue.kind == PREVIEW else ""
    return Dial(
        record.phone,
        agent_id,
        _conn_id(agent_id, record, number, begun),
        begun,
        what,
        # GUESS: what agents dial in a preview campaign is like any call that they dial by hand.
        OUT_PRE if queue.kind == PREDICTIVE else "outbound_ma",
        queue.campaign_id,
        record.customer_id,
        record=record,
        round=number,
        line=line.agent_id,
        ready_since=line.ready_since,
    )


def _conn_id(agent_id: str, record: Record, number: int, begun: datetime) -> str:
    # The form of all conn_ids (see `Operation.new_conn_id`), with a sequence beyond that of calls by hand.
    sequence = 1_000_000 + record.number * 100 + number
    return f"{agent_id or 0}.{record.phone[-4:]:0>4}.{int(begun.timestamp())}.{sequence}"


def seeded(seed: int, cod_acts: Sequence[str]) -> Outcome:
    """Return outcomes as a day has them: half the customers answer, and of those calls half are cut at once.

    The n-th dial of a customer always ends alike, whatever else is dialled meanwhile.
    """
    words = ("ANSWER", "NO-ANSWER", "BUSY", "ANSWER-MACHINE", "FAILED", "ABANDON")

    def outcome(record: Record, agent_id: str, number: int) -> CallResult:
        dice = _dice(seed, "outcome", record.customer_id, number)
        word = dice.choices(words, (50, 22, 8, 8, 6, 6))[0]
        if word in ("NO-ANSWER", "BUSY", "FAILED", "ABANDON"):
            return CallResult.of(word, ring_seconds=dice.randint(2, 30))
        short = word != "ANSWER" or dice.random() < 0.5
        return CallResult.of(
            word,
            ring_seconds=dice.randint(2, 25),
            talk_seconds=dice.randint(1, 12) if short else dice.randint(20, 240),
            acw_seconds=dice.randint(3, 30),
            hang_up=dice.choice(("agent", "customer")),
            # What agents do not choose in time is TIMEOUTACW (doc).
            cod_act=dice.choice((*cod_acts, "TIMEOUTACW")),
        )

    return outcome


def _dice(*seed: object) -> random.Random:
    return random.Random(" ".join(map(str, seed)))  # noqa: S311 - repeatable on purpose
