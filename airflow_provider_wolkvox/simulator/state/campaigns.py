"""The campaigns of an operation: their records, what was asked of them, and their dials so far and to come.

Used under the operation's lock. Nothing runs here: what has happened by a time is read off the plan, and
what of the plan is still to come is made anew whenever something changes.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from airflow_provider_wolkvox.simulator.body import shown
from airflow_provider_wolkvox.simulator.replies import CUSTOMER_ID_MISSING
from airflow_provider_wolkvox.simulator.state.calls import OUT_PRE, CallResult, GivenResults, results_of
from airflow_provider_wolkvox.simulator.state.predictive import (
    LONGEST_GAP,
    PREDICTIVE,
    PREVIEW,
    Dial,
    Line,
    Outcome,
    Queue,
    Record,
    first_telephone,
    plan,
    seeded,
)

_MINUTE = timedelta(minutes=1)

STARTED = "started"
STOPPED = "stopped"

MOST_ACTIVE = 2
"""Predictive campaigns that may be on at once (seen)."""

RECALL_FIELDS: Mapping[str, Callable[[CallResult], str]] = {
    "Cod_Machine": lambda what: what.result,
    "cod_rslt1": lambda what: what.cod_act,
    "cod_rslt2": lambda what: what.cod_act_2,
}
"""What `recall_records` can choose by (doc). GUESS: the machine's code is the result, the others the agent's."""


class CampaignError(ValueError):
    """A campaign that can't be; says what can."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What real time tells of a campaign, in numbers. Their names are seen, their exact meaning is a GUESS.

    Always `records == clean` plus the records dialled in their round, and `dial == answer + no_answer + ringing`.

    :param records: records loaded, doubles too
    :param clean: records that wait to be dialled, for the first time or again
    :param dial: dials so far
    :param answer: dials that were connected, to a person or a machine
    :param no_answer: dials that have rung in vain
    :param ringing: dials that ring (not shown by real time)
    :param hits: dials, over with the work after them, whose disposition is a hit (`ActivityCode`)
    :param failed: dials that ended busy, in congestion or failed, as `no_answer` counts them too
    :param answer_machine: dials that a machine answered, as `answer` counts them too
    :param last_minute: dials that began within the last minute
    """

    records: int
    clean: int
    dial: int
    answer: int
    no_answer: int
    ringing: int
    hits: int
    failed: int = 0
    answer_machine: int = 0
    last_minute: int = 0


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a campaign is and has done: a snapshot, with the truth that reports show late and in part.

    :param campaign_id: its id, a text of digits
    :param name: its name
    :param kind: `predictive` or `preview`
    :param strategy: how it dials, as real time shows it after its name; nothing else comes of it
    :param status: `started` or `stopped` (seen), or `ReportPolicy.status_when_done`
    :param finished: whether it has dialled all it had, and every call is over, the agent's work after it too
    :param records: the customers as they were loaded, in order
    :param added: how often each customer_id was loaded, the first records included
    :param batches: the customer_ids of each `add_record` that was accepted, in order
    :param starts: how often a request has started it
    :param stops: how often a request has stopped it
    :param recalls: how often a request has put records back into dialling
    :param counters: what real time tells of it, without its lag
    :param dials: all dials so far, each with what becomes of it, even if it is not over
    :param at: the time of this snapshot by the simulator's clock, aware
    """

    campaign_id: str
    name: str
    kind: str
    strategy: str
    status: str
    finished: bool
    records: tuple[Record, ...]
    added: Counter[str]
    batches: tuple[tuple[str, ...], ...]
    starts: int
    stops: int
    recalls: int
    counters: Counters
    dials: tuple[Dial, ...]
    at: datetime

    @property
    def cut(self) -> dict[str, Dial]:
        """The last call of each customer_id that an agent had and that is over: who, how long, how it ended."""
        return {dial.customer_id: dial for dial in self.dials if dial.what.connected and dial.over <= self.at}


@dataclass(slots=True)
class State:
    """One campaign as it is kept: `rounds` is how often each record was to be dialled, `since` when it was started."""

    campaign_id: str
    name: str
    kind: str
    strategy: str
    agents: frozenset[str] | None
    seed: int
    outcome: Outcome
    refuse_duplicates: bool
    records: list[Record] = field(default_factory=list)
    rounds: dict[int, int] = field(default_factory=dict)
    added: Counter[str] = field(default_factory=Counter)
    batches: list[tuple[str, ...]] = field(default_factory=list)
    starts: int = 0
    stops: int = 0
    recalls: int = 0
    since: datetime | None = None
    speed: int = 100
    skill_id: str = ""
    codes: dict[str, tuple[str, str, str]] = field(default_factory=dict)


class Campaigns:
    """All campaigns, and the one plan of all their dials: an agent may work for several."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._dials: list[Dial] = []
        self._coming: Iterator[Dial] = iter(())
        self._next: Dial | None = None
        self._numbers = count(1)

    def __iter__(self) -> Iterator[State]:
        return iter(self._states.values())

    def __len__(self) -> int:
        return len(self._states)

    def get(self, campaign_id: str) -> State | None:
        """Return a campaign, or `None` if there is none."""
        return self._states.get(campaign_id)

    @property
    def loaded(self) -> int:
        """How many records all campaigns have together."""
        return sum(len(state.records) for state in self._states.values())

    # What changes them; to be followed by `plan_from`

    def add(self, state: State, rows: Iterable[Mapping[str, str]]) -> None:
        """Add a campaign with its first records.

        :raises CampaignError: if there is one of this id, or a record is none
        """
        if state.campaign_id in self._states:
            raise CampaignError(f"there is a campaign {state.campaign_id} already")
        rows = list(rows)
        for place, why in enumerate(self.refusals(state, rows), 1):
            if why:
                raise CampaignError(f"records: number {place}: {why}")
        self._states[state.campaign_id] = state
        self.load(state, rows)

    def refusals(self, state: State, rows: Iterable[object]) -> list[str]:
        """Return why each of the rows can't be loaded; an empty text for those that can."""
        taken = set(state.added)
        found = []
        for row in rows:
            why = _refusal(row, taken if state.refuse_duplicates else frozenset())
            if not why and isinstance(row, Mapping):
                taken.add(row["customer_id"])
            found.append(why)
        return found

    def load(self, state: State, rows: Iterable[Mapping[str, str]]) -> None:
        """Add records, to be dialled once each."""
        for row in rows:
            record = Record(next(self._numbers), dict(row))
            state.records.append(record)
            state.rounds[record.number] = 1
            state.added[record.customer_id] += 1

    def to_recall(self, state: State, name: str, value: str, now: datetime) -> list[Record]:
        """Return the records whose last dial is over with this result or disposition, and which wait for no other."""
        last = {dial.record.number: dial for dial in self.dials_of(state.campaign_id, now)}
        return [
            dial.record
            for dial in last.values()
            if dial.finished <= now
            and dial.round == state.rounds.get(dial.record.number)
            and RECALL_FIELDS[name](dial.what) == value
        ]

    def recall(self, state: State, records: Iterable[Record]) -> None:
        """Put records back into dialling."""
        for record in records:
            state.rounds[record.number] += 1

    def dial_no_more(self, state: State, customers: Collection[str], now: datetime) -> None:
        """Take the records of these customers out of dialling; what they were dialled stays."""
        reached = {dial.record.number: dial.round for dial in self.dials_of(state.campaign_id, now)}
        for record in state.records:
            if record.customer_id in customers:
                state.rounds[record.number] = reached.get(record.number, 0)

    def ended_as(self, state: State, result: str, now: datetime) -> list[Record]:
        """Return the records whose last dial is over with this result."""
        last = {dial.record.number: dial for dial in self.dials_of(state.campaign_id, now) if dial.over <= now}
        return [each for each in state.records if each.number in last and last[each.number].what.result == result]

    def remove(self, state: State, records: Iterable[Record]) -> None:
        """Take records out of a campaign; its dials stay, as reports show them."""
        gone = {record.number for record in records}
        state.records = [record for record in state.records if record.number not in gone]
        state.rounds = {number: wanted for number, wanted in state.rounds.items() if number not in gone}

    def plan_from(self, now: datetime, available: Mapping[str, datetime]) -> None:
        """Plan anew what is to come; `available` are the agents that can be had, each with its time from when."""
        begun = [_still_has_agent(dial, now, available) for dial in self.dials(now)]
        ready, free = dict(available), dict(available)
        reached: dict[int, int] = {}
        for dial in begun:
            reached[dial.record.number] = dial.round
            if dial.line in available:
                free[dial.line] = max(free[dial.line], dial.finished)
                if dial.agent_id:
                    ready[dial.line] = max(ready[dial.line], dial.finished)
        queues = [_queue(state, state.since, reached) for state in self._states.values() if state.since is not None]
        lines = [Line(agent_id, ready[agent_id], free[agent_id]) for agent_id in available]
        self._dials = begun
        self._coming = plan(queues, lines, now)
        self._next = next(self._coming, None)

    # What has happened by a time

    def dials(self, now: datetime) -> list[Dial]:
        """Return every dial that has begun, in order."""
        # The plan goes on as far as it is asked for: one of ten thousand dials is often made anew.
        while self._next is not None and self._next.begun <= now + LONGEST_GAP:
            insort(self._dials, self._next, key=lambda dial: dial.begun)
            self._next = next(self._coming, None)
        return self._dials[: bisect_right(self._dials, now, key=lambda dial: dial.begun)]

    def dials_of(self, campaign_id: str, now: datetime) -> list[Dial]:
        """Return every dial of one campaign that has begun, in order."""
        return [dial for dial in self.dials(now) if dial.campaign_id == campaign_id]

    def last_dial(self, agent_id: str, phone: str, now: datetime) -> Dial | None:
        """Return the last dial of a phone, if there is one that this agent had, the last of those."""
        of_phone = [dial for dial in self.dials(now) if dial.phone == phone]
        of_agent = [dial for dial in of_phone if dial.agent_id == agent_id]
        return next(reversed(of_agent or of_phone), None)

    def has_cut_call(self, agent_id: str, now: datetime) -> bool:
        """Return whether an agent has had a predictive campaign's call that is over."""
        return any(
            dial.agent_id == agent_id and dial.type_interaction == OUT_PRE and dial.over <= now
            for dial in self.dials(now)
        )

    def is_talking(self, agent_id: str, now: datetime) -> bool:
        """Return whether an agent is on a campaign's call."""
        return any(dial.agent_id == agent_id and dial.taken <= now < dial.over for dial in self.dials(now))

    def last_call(self, agent_id: str, now: datetime) -> Dial | None:
        """Return the last dial that an agent has taken, if there is one."""
        taken = (dial for dial in self.dials(now) if dial.agent_id == agent_id and dial.taken <= now)
        return max(taken, key=lambda dial: dial.taken, default=None)

    def put(self, before: Dial, after: Dial) -> None:
        """Put a dial that went another way in the place of what was planned; to be followed by `plan_from`."""
        self._dials[self._dials.index(before)] = after

    def counters(self, state: State, now: datetime, hits: frozenset[str]) -> Counters:
        """Return a campaign's numbers; `hits` are the dispositions that count as one."""
        dials = self.dials_of(state.campaign_id, now)
        reached = {dial.record.number: dial.round for dial in dials}
        over = [dial for dial in dials if dial.answered <= now]
        answer = sum(dial.what.connected for dial in over)
        return Counters(
            records=len(state.records),
            clean=sum(reached.get(number, 0) < wanted for number, wanted in state.rounds.items()),
            dial=len(dials),
            answer=answer,
            no_answer=len(over) - answer,
            ringing=len(dials) - len(over),
            hits=sum(dial.finished <= now and dial.what.cod_act in hits for dial in dials),
            failed=sum(dial.what.result in ("BUSY", "CONGESTION", "FAILED") for dial in over),
            answer_machine=sum(dial.what.result == "ANSWER-MACHINE" for dial in over),
            last_minute=sum(now - _MINUTE < dial.begun for dial in dials),
        )

    def finished(self, state: State, now: datetime) -> bool:
        """Return whether a campaign has dialled all it had, and every call is over, the agent's work after it too."""
        last: dict[int, Dial] = {dial.record.number: dial for dial in self.dials_of(state.campaign_id, now)}
        return bool(state.records) and all(
            number in last and last[number].round == wanted and last[number].finished <= now
            for number, wanted in state.rounds.items()
        )

    def status(self, state: State, now: datetime, when_done: str) -> str:
        """Return `started` or `stopped` (seen), or what is said of a campaign that is on and has nothing to dial."""
        if state.since is None:
            return STOPPED
        return when_done if self.finished(state, now) else STARTED

    def active_predictives(self, now: datetime, when_done: str) -> int:
        """Return how many predictive campaigns are on."""
        return sum(
            state.kind == PREDICTIVE and self.status(state, now, when_done) == STARTED
            for state in self._states.values()
        )

    def seen(self, state: State, now: datetime, hits: frozenset[str], when_done: str) -> Campaign:
        """Return a campaign as it is."""
        return Campaign(
            campaign_id=state.campaign_id,
            name=state.name,
            kind=state.kind,
            strategy=state.strategy,
            status=self.status(state, now, when_done),
            finished=self.finished(state, now),
            records=tuple(state.records),
            added=Counter(state.added),
            batches=tuple(state.batches),
            starts=state.starts,
            stops=state.stops,
            recalls=state.recalls,
            counters=self.counters(state, now, hits),
            dials=tuple(self.dials_of(state.campaign_id, now)),
            at=now,
        )


def new_state(
    campaign_id: object,
    *,
    name: object = "",
    kind: object = PREDICTIVE,
    strategy: object = "Progressive",
    agents: Iterable[str] | None = None,
    seed: object = 0,
    call_results: GivenResults = None,
    cod_acts: Iterable[str] = (),
    refuse_duplicates: object = False,
) -> State:
    """Return a campaign that has no records yet.

    `cod_acts` are the dispositions that agents choose from, if a seed decides.

    :raises CampaignError: for what can be none
    """
    if not isinstance(campaign_id, str) or not re.fullmatch("[0-9]{1,20}", campaign_id):
        raise CampaignError(f"a campaign_id is a text of digits (1 to 20), not {shown(campaign_id)}")
    if not isinstance(name, str) or not isinstance(strategy, str):
        raise CampaignError("name and strategy are texts")
    if not isinstance(kind, str) or kind not in (PREDICTIVE, PREVIEW):
        raise CampaignError(f'kind must be "{PREDICTIVE}" or "{PREVIEW}", not {shown(kind)}')
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise CampaignError(f"seed must be a whole number, not {shown(seed)}")
    if not isinstance(refuse_duplicates, bool):
        raise CampaignError(f"refuse_duplicates must be true or false, not {shown(refuse_duplicates)}")
    if agents is not None:
        if isinstance(agents, str) or not isinstance(agents, Iterable):
            raise CampaignError(f"agents are a list of ids, not {shown(agents)}")
        agents = list(agents)
        if not all(isinstance(agent_id, str) for agent_id in agents):
            raise CampaignError("agents are ids, as texts")
    return State(
        campaign_id=campaign_id,
        name=name or f"CAMPAIGN {campaign_id}",
        kind=kind,
        strategy=strategy,
        agents=None if agents is None else frozenset(agents),
        seed=seed,
        outcome=seeded(seed, tuple(cod_acts)) if call_results is None else _given(call_results),
        refuse_duplicates=refuse_duplicates,
    )


def _refusal(row: object, taken: Collection[str]) -> str:
    # Texts in a flat object with a customer_id are doc; a telephone, and the words, are a GUESS.
    if not isinstance(row, Mapping) or not all(isinstance(value, str) for value in row.values()):
        return "a record is a flat object of texts"
    if not row.get("customer_id"):
        return CUSTOMER_ID_MISSING
    if not first_telephone(row):
        return "a telephone is required"
    return "customer_id exists already" if row["customer_id"] in taken else ""


def _given(call_results: GivenResults) -> Outcome:
    results = results_of(call_results)
    return lambda record, agent_id, number: CallResult.of(results(record.phone, agent_id, number - 1))


def _queue(state: State, since: datetime, reached: Mapping[int, int]) -> Queue:
    waiting = [
        (record, state.rounds[record.number])
        for record in state.records
        if reached.get(record.number, 0) < state.rounds[record.number]
    ]
    # Those never dialled come first, then those put back.
    waiting.sort(key=lambda pair: pair[1])
    return Queue(state.campaign_id, state.kind, state.agents, state.seed, since, state.outcome, waiting)


def _still_has_agent(dial: Dial, now: datetime, available: Mapping[str, datetime]) -> Dial:
    """Return a dial that rings as it goes on, if its agent has logged out or is on another call by then."""
    if dial.type_interaction != OUT_PRE or not dial.agent_id or dial.answered <= now:
        return dial
    free_from = available.get(dial.agent_id)
    return dial if free_from is not None and free_from <= dial.answered else dial.without_agent()
