"""Whom to call back: the attempts of the past, rules and the present instant make callbacks, and skips with reasons.

Example::

    rules = Rules(
        dispositions=["CALL CUT"], shorter_than=30, max_attempts=2, within=timedelta(days=1),
        hours=CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota"),
    )
    plan = choose(attempts, rules, now, history=everything_else, do_not_call=listed)
    for callback in plan.callbacks:
        ...  # the agent callback.agent_id rings callback.phone
    plan.counts  # {Reason.RESULT: 812, Reason.HOURS: 3}
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Final

from airflow_provider_wolkvox.calling.hours import CallingHours, Hours, JointHours, NeverOpens, utc
from airflow_provider_wolkvox.phone import PhoneNumber, keys_in, mask_numbers, masked

RESULTS: Final = (
    "ANSWER",
    "NO-ANSWER",
    "BUSY",
    "ABANDON",
    "ANSWER-MACHINE",
    "CONGESTION",
    "FAILED",
    "CHANUNAVAIL",
    "CANCEL",
    "UNKNOWN",
    "DO-NOT-CALL",
    "TCPA",
    "RECALL",
    "CLEAN",
)
"""The words that wolkvox has for the result of an attempt."""

NOT_TO_BE_CALLED: Final = frozenset({"DO-NOT-CALL", "TCPA"})
NOT_DIALLED: Final = "CLEAN"
NEVER_CONNECTED: Final = frozenset({"NO-ANSWER", "BUSY", "CONGESTION", "FAILED", "CHANUNAVAIL", "CANCEL"})

# National numbers of Peru, Chile and Ecuador; a longer one that ends in such a number is the same, with a prefix.
_SHORT_NUMBERS: Final = (8, 9)
_NOT_OUTWARD: Final = ("inbound", "internal")
_LONGEST: Final = timedelta(days=3650)

# By time, and those of one time by every other field (but `seconds`, which may be None), so that the order in which
# attempts come in changes nothing.
_IN_ORDER: Final = attrgetter(
    "at",
    "phone",
    "conn_id",
    "agent_id",
    "result",
    "campaign_id",
    "customer_id",
    "cod_act",
    "cod_act_2",
    "hang_up",
    "type_interaction",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One dial or call of the past, of any campaign and any type.

    Put into one form: `at` in UTC, `result` in capitals with hyphens, `hang_up` and `type_interaction` in small
    letters.

    :param phone: the number, without the operation's dial prefix
    :param at: when it began; an aware datetime
    :param result: one of `RESULTS`, or a word that nobody knew when this was written
    :param agent_id: the agent's extension; empty if no agent had it
    :param conn_id: wolkvox's id of the call; the same call in two reports is known by it
    :param campaign_id: the campaign's id; empty for a call of no campaign
    :param customer_id: the customer's id in the operation
    :param seconds: talk time; None if unknown
    :param cod_act: the disposition
    :param cod_act_2: the second disposition
    :param hang_up: who ended it: `agent`, `customer` or empty
    :param type_interaction: such as `out_pre` (predictive), `outbound_ma` (manual) or `inbound`; empty if unknown
    :raises ValueError: `at` has no time zone
    """

    phone: str = field(repr=False)  # a plan may be logged
    at: datetime
    result: str
    agent_id: str = ""
    conn_id: str = ""
    campaign_id: str = ""
    customer_id: str = ""
    seconds: int | None = None
    cod_act: str = ""
    cod_act_2: str = ""
    hang_up: str = ""
    type_interaction: str = ""

    def __post_init__(self) -> None:
        # Two times in one zone compare by their wall clocks, wrongly so on the day that the clocks are put back.
        object.__setattr__(self, "at", utc(self.at))
        for name, form in (("result", _word), ("hang_up", _small), ("type_interaction", _small)):
            given = getattr(self, name)
            if (formed := form(given)) != given:
                object.__setattr__(self, name, formed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which attempts are called back, and what keeps a number from being called.

    **The cap counts the call that is called back.** By default a number may have two attempts in any 24 hours: the
    call that was cut, and one callback. Where the law allows one attempt a day, say `max_attempts=1`: then nobody is
    called back within a day. **No rule means no limit**: without `hours` it is never too early or too late, and the
    cap is lifted only by saying so (`max_attempts=None, within=None`).

    :param results: the results that are called back; by default the connected calls, `ANSWER`. Words as wolkvox
        has them in any of its reports: `no answer` is `NO-ANSWER`
    :param dispositions: only calls of which `cod_act` or `cod_act_2` is one of these; None (the default) for any
    :param not_dispositions: no calls of which either is one of these; by default none
    :param shorter_than: only calls whose talk time is known and less than this, a timedelta or a number of seconds;
        None (the default) for any
    :param hung_up_by: only calls that the `customer` or the `agent` ended; None (the default) for any
    :param max_attempts: how many attempts a number may have in any stretch of the length `within`, the callback among
        them. Every attempt counts that was dialled out to the number, whoever made it, in whatever campaign and with
        whatever result; inbound calls do not. By default 2; None, with `within`, for no cap
    :param within: the length of that stretch, which rolls (it is no calendar day); by default 24 hours
    :param least_interval: how long after the number's latest attempt, counted likewise, it may be called again; None
        (the default) for at once
    :param callbacks_per_call: how many callbacks one call may have, each after one that was not answered; by default 1.
        What keeps a number from being called (the cap, the interval, the hours) holds for each
    :param hours: when customers may be called; None (the default) for **any time**
    :param phone_country: ISO 3166 code of the country in which the numbers are dialled: `hours` must then be open in
        every time zone in which a number may be. Needs the extra `phones`. None (the default): by the clock of `hours`
    :param default_zone: the IANA time zone of a number of no known zone; None (the default): it is not called
    :param priority: results and dispositions whose calls come first, in this order; by default none
    :param newest_first: whether the latest attempt is called back first; by default the earliest is
    :param limit: how many callbacks at most; None (the default) for all
    :raises ValueError: a word that is unknown, a number that is out of range, rules that contradict each other
    """

    results: Collection[str] = ("ANSWER",)
    dispositions: Collection[str] | None = None
    not_dispositions: Collection[str] = ()
    shorter_than: timedelta | float | None = None
    hung_up_by: str | None = None
    max_attempts: int | None = 2
    within: timedelta | None = timedelta(days=1)
    least_interval: timedelta | None = None
    callbacks_per_call: int = 1
    hours: Hours | None = None
    phone_country: str | None = None
    default_zone: str | None = None
    priority: Collection[str] = ()
    newest_first: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("hung_up_by", "phone_country", "default_zone"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} must be text, not {type(getattr(self, name)).__name__}")
        if not isinstance(self.newest_first, bool):
            raise ValueError(f"newest_first must be True or False, not {type(self.newest_first).__name__}")
        # Sorted, not sets: Airflow keeps a mapped task's rules by their `repr`, which must be alike in every process.
        form = {
            "results": _sorted(map(_result, _words(self.results, "results"))),
            "dispositions": _sorted_words(self.dispositions, "dispositions"),
            "not_dispositions": _sorted(map(_word, _words(self.not_dispositions, "not_dispositions"))),
            "priority": tuple(map(_word, _words(self.priority, "priority"))),
            "hung_up_by": self.hung_up_by and _small(self.hung_up_by),
            "phone_country": self.phone_country and self.phone_country.strip().upper(),
            "shorter_than": _talk_time(self.shorter_than),
        }
        for name, value in form.items():
            object.__setattr__(self, name, value)
        for contradiction in self._contradictions():
            raise ValueError(contradiction)

    def _contradictions(self) -> Iterator[str]:
        """Yield what is wrong with the rules, in words."""
        if not self.results:
            yield "results is empty, so nothing would ever be called back: name at least one"
        if barred := NOT_TO_BE_CALLED.intersection(self.results):
            yield f"results holds {_listed(barred)}: such a number may not be called, so it is never called back"
        if NOT_DIALLED in self.results:
            yield f"results holds {NOT_DIALLED}, which means not dialled: there is no call to call back"
        if silent := NEVER_CONNECTED.intersection(self.results):
            for name, given in (("shorter_than", self.shorter_than), ("hung_up_by", self.hung_up_by)):
                if given is not None:
                    yield (
                        f"results holds {_listed(silent)}, and {name} is given: such an attempt is never connected, "
                        "so it has neither talk time nor anybody who hung up. Leave one of the two out"
                    )
        if self.dispositions is not None and not self.dispositions:
            yield "dispositions is empty, so nothing would ever be called back: None stands for any"
        if both := frozenset(self.dispositions or ()).intersection(self.not_dispositions):
            yield f"the disposition {_listed(both)} is both wanted (dispositions) and unwanted (not_dispositions)"
        if first := frozenset(self.not_dispositions).intersection(self.priority):
            yield f"the disposition {_listed(first)} is to come first (priority) and unwanted (not_dispositions)"
        if self.hung_up_by not in (None, "agent", "customer"):
            yield f"hung_up_by={_shown_value(self.hung_up_by)} is neither 'agent' nor 'customer'"
        yield from _too_few(self.max_attempts, "max_attempts")
        yield from _too_few(self.limit, "limit")
        yield from _too_few(self.callbacks_per_call, "callbacks_per_call", or_none=False)
        if (self.max_attempts is None) != (self.within is None):
            yield (
                f"max_attempts={self.max_attempts} and within={self.within}: a cap is a number of attempts and the "
                "time in which they are counted. Give both, or None for both to lift it"
            )
        yield from _no_length(self.within, "within", timedelta(microseconds=1))
        yield from _no_length(self.least_interval, "least_interval", timedelta(0))
        if not isinstance(self.hours, CallingHours | JointHours | None):
            yield f"hours={_shown_value(self.hours)} are no calling hours: make them with CallingHours"
        if self.phone_country is not None and self.hours is None:
            yield "phone_country is given without hours: there is nothing to look up in a number's time zones"
        if self.phone_country is not None and not re.fullmatch("[A-Z]{2}", self.phone_country):
            yield f"phone_country={_shown_value(self.phone_country)} is no ISO 3166 code such as 'CO'"
        if self.default_zone is not None:
            if self.phone_country is None or self.hours is None:
                yield "default_zone is given without phone_country: hours are then asked by their own clock"
            else:
                self.hours.in_zones([self.default_zone])  # raises if it is no zone


class Reason(StrEnum):
    """Why an attempt is not called back."""

    RESULT = "result"
    DISPOSITION = "disposition"
    LENGTH = "length"
    HUNG_UP_BY = "hung-up-by"
    NO_AGENT = "no-agent"
    BAD_PHONE = "bad-phone"
    OTHER_ATTEMPT = "other-attempt"
    DO_NOT_CALL = "do-not-call"
    CALLED_BACK = "called-back"
    MAX_ATTEMPTS = "max-attempts"
    LEAST_INTERVAL = "least-interval"
    ZONE_UNKNOWN = "zone-unknown"
    HOURS = "hours"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Callback:
    """A call to be made.

    :param agent_id: the extension of the agent who had the customer, and who calls back
    :param phone: the number's digits, without the operation's dial prefix
    :param attempt: the attempt that is called back
    """

    agent_id: str
    phone: str = field(repr=False)
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Skip:
    """An attempt that is not called back now.

    :param attempt: the attempt
    :param reason: the rule that keeps it from being called back
    :param why: the same in one sentence, the number masked to its last four digits
    :param next_allowed: where it is a matter of time (the cap, the interval, the hours), the first instant, in UTC, at
        which that rule and the hours let it be called, unless another attempt comes between; None for every other
        reason, and where the hours do not open within the next 60 days
    """

    attempt: Attempt
    reason: Reason
    why: str
    next_allowed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of each attempt: a callback or a skip.

    :param callbacks: in the order in which they are to be made; a number comes once
    :param skips: by the time of their attempts
    """

    callbacks: tuple[Callback, ...]
    skips: tuple[Skip, ...]

    @property
    def counts(self) -> Mapping[Reason, int]:
        """How many attempts were skipped for each reason, in the order of `Reason`; only reasons that occurred."""
        found = Counter(skip.reason for skip in self.skips)
        return {reason: found[reason] for reason in Reason if found[reason]}


def choose(
    attempts: Iterable[Attempt],
    rules: Rules,
    now: datetime,
    *,
    history: Iterable[Attempt] = (),
    do_not_call: Iterable[str] = (),
    called_back: Collection[Attempt] = (),
) -> Plan:
    """Return what becomes of each attempt: exactly one callback, or one skip with its reason.

    The same attempts in any order make the same plan. Numbers are the same customer's if their last ten digits are
    the same; a number of eight or nine digits is also that of every longer number that ends in it.

    Of several attempts on one number the latest that fits the rules stands for all. Its number is **already called
    back** if a later attempt on it, in `attempts` or `history`, reached the customer (`ANSWER`, inbound too), or as
    many as `callbacks_per_call` were made by an agent (`outbound_ma`, or any but a predictive or inbound one that has
    an agent), whatever came of them.
    An attempt with the result `DO-NOT-CALL` bars its number as the list does.

    :param attempts: those of the campaign in question
    :param rules: which to call back, and what keeps a number from being called
    :param now: the present instant; an aware datetime
    :param history: everything else that is known: other campaigns, manual calls, inbound ones. The same call may be
        in both, or twice: by its `conn_id` it counts once for its number
    :param do_not_call: numbers that may not be called
    :param called_back: which of `attempts` were called back, or may have been, whatever the reports show
    :raises ValueError: `now` has no time zone; `do_not_call` is one text; the `hours` know no holidays for the year;
        `phone_country` is unknown
    :raises ImportError: `phone_country` is given, and the extra `phones` is not installed
    """
    if isinstance(do_not_call, str):
        raise ValueError("do_not_call is one text: give a list of numbers")
    clock = _Clock(rules, utc(now))
    campaign = sorted(attempts, key=_seconds)
    campaign.sort(key=_IN_ORDER)
    numbers = _Numbers([*campaign, *history], do_not_call, rules, frozenset(called_back))

    skips: list[Skip | None] = [None] * len(campaign)
    standing: dict[str, int] = {}
    for place, attempt in enumerate(campaign):
        customer = numbers.customer(attempt)
        skips[place] = _unfit(attempt, customer, rules)
        if skips[place] is None:
            if customer in standing:
                earlier = standing[customer]
                skips[earlier] = _skip(
                    campaign[earlier], Reason.OTHER_ATTEMPT, "a later one on its number stands for it"
                )
            standing[customer] = place

    for customer, place in standing.items():
        attempt = campaign[place]
        skips[place] = numbers.settled(customer, attempt) or clock.too_early(attempt, numbers.dialled(customer))

    due = sorted((place for place in standing.values() if skips[place] is None), reverse=rules.newest_first)
    if rules.priority:
        due.sort(key=lambda place: _rank(campaign[place], rules.priority))
    if rules.limit is not None:
        for place in due[rules.limit :]:
            skips[place] = _skip(campaign[place], Reason.LIMIT, f"{rules.limit} others come first (limit)")
        del due[rules.limit :]
    called = (campaign[place] for place in due)
    return Plan(
        tuple(
            Callback(attempt.agent_id.strip(), PhoneNumber.parse(attempt.phone).written, attempt) for attempt in called
        ),
        tuple(skip for skip in skips if skip is not None),
    )


def _unfit(attempt: Attempt, customer: str, rules: Rules) -> Skip | None:
    """Return what of the attempt itself keeps it from being called back."""
    if attempt.result not in rules.results:
        # Only words that are known are repeated: nobody knows what else a server writes there.
        shown = attempt.result if attempt.result in RESULTS else "(a word that is not known)"
        return _skip(attempt, Reason.RESULT, f"its result {shown} is not one that is called back")
    dispositions = (_word(attempt.cod_act), _word(attempt.cod_act_2))
    if rules.dispositions is not None and not any(word in rules.dispositions for word in dispositions):
        return _skip(attempt, Reason.DISPOSITION, "its disposition is not one that is called back")
    if any(word in rules.not_dispositions for word in dispositions):
        return _skip(attempt, Reason.DISPOSITION, "its disposition is one that is not called back")
    if isinstance(rules.shorter_than, timedelta):
        if attempt.seconds is None:
            return _skip(attempt, Reason.LENGTH, "its talk time is unknown, so nobody can tell whether it was cut")
        if attempt.seconds >= rules.shorter_than.total_seconds():
            why = f"it lasted {attempt.seconds} s, which is not less than {_shown(rules.shorter_than)}"
            return _skip(attempt, Reason.LENGTH, why)
    if rules.hung_up_by is not None and attempt.hang_up != rules.hung_up_by:
        return _skip(attempt, Reason.HUNG_UP_BY, f"it is not known that the {rules.hung_up_by} hung up")
    if not attempt.agent_id.strip():
        return _skip(attempt, Reason.NO_AGENT, "no agent is on its record who could call back")
    if not (attempt.agent_id.strip().isascii() and attempt.agent_id.strip().isdigit()):
        return _skip(attempt, Reason.NO_AGENT, "the agent on its record is not an extension, which is digits")
    try:
        PhoneNumber.parse(attempt.phone, "its number")
    except ValueError as undialable:
        return _skip(attempt, Reason.BAD_PHONE, str(undialable))
    if not customer:
        return _skip(attempt, Reason.BAD_PHONE, "its number is nothing but zeros")
    return None


class _Numbers:
    """What is known of each customer's number: its attempts, and whether it may be called at all."""

    def __init__(
        self,
        records: list[Attempt],
        do_not_call: Iterable[str],
        rules: Rules,
        called_back: frozenset[Attempt],
    ) -> None:
        country = rules.phone_country
        self._called_back = called_back
        self._callbacks_per_call = rules.callbacks_per_call
        barred = frozenset().union(*(keys_in(phone, country) for phone in do_not_call))
        # Several in one field are never called: which of them stands for the attempt does not matter.
        phones = {attempt.phone for attempt in records}
        keys = {phone: min(keys_in(phone, country), default="") for phone in phones}
        self._short = {key for key in (*keys.values(), *barred) if len(key) in _SHORT_NUMBERS}
        self._customers = {phone: self._shortest(key) for phone, key in keys.items()} if self._short else keys
        self._barred = set(map(self._shortest, barred))
        self._records: dict[str, list[Attempt]] = {}
        for attempt in records:
            customer = self._customers[attempt.phone]
            self._records.setdefault(customer, []).append(attempt)
            if attempt.result == "DO-NOT-CALL":
                self._barred.add(customer)

    def customer(self, attempt: Attempt) -> str:
        """Return what tells the customer of an attempt from every other."""
        return self._customers[attempt.phone]

    def settled(self, customer: str, attempt: Attempt) -> Skip | None:
        """Return what keeps a customer from being called for an attempt at any time."""
        if customer in self._barred:
            return _skip(attempt, Reason.DO_NOT_CALL, "its number is not to be called")
        if attempt in self._called_back:
            return _skip(attempt, Reason.CALLED_BACK, "the ledger shows that it was called back, or may have been")
        in_vain: set[str | Attempt] = set()
        for other in self._records[customer]:
            same = attempt.conn_id != "" and attempt.conn_id == other.conn_id
            if other.at > attempt.at and not same and _calls_back(other):
                in_vain.add(other.conn_id or other)
                if other.result == "ANSWER" or len(in_vain) >= self._callbacks_per_call:
                    return _skip(attempt, Reason.CALLED_BACK, "its number was called back, or has called, since then")
        return None

    def dialled(self, customer: str) -> list[datetime]:
        """Return when a customer's number was dialled, the latest first; a call in two reports counts once."""
        times: dict[str | Attempt, datetime] = {}
        for attempt in self._records[customer]:
            if _dialled_out(attempt):
                call = attempt.conn_id or attempt
                times[call] = max(attempt.at, times.get(call, attempt.at))
        return sorted(times.values(), reverse=True)

    def _shortest(self, key: str) -> str:
        return next((key[-length:] for length in _SHORT_NUMBERS if key[-length:] in self._short), key)


class _Clock:
    """What of the present instant keeps a customer from being called."""

    def __init__(self, rules: Rules, now: datetime) -> None:
        self._rules = rules
        self._now = now
        self._openings: dict[frozenset[str], _Openings] = {}
        times = "one attempt" if rules.max_attempts == 1 else f"{rules.max_attempts} attempts"
        self._capped = f"its number may have {times} within {_shown(rules.within)}, and has had them"
        self._too_soon = f"its number was last dialled less than {_shown(rules.least_interval)} ago"

    def too_early(self, attempt: Attempt, dialled: list[datetime]) -> Skip | None:
        """Return what keeps a number, dialled at these times, the latest first, from being called now."""
        zones = self._zones(attempt.phone)
        if zones is None:
            return _skip(attempt, Reason.ZONE_UNKNOWN, "no time zone is known for its number, nor given by default")
        openings = self._openings.get(zones)
        if openings is None:
            openings = self._openings[zones] = _Openings(self._hours(zones), self._now)
        until, reason, why = max(self._waits(dialled), default=(self._now, None, ""), key=lambda wait: wait[0])
        if reason is not None:
            return _skip(attempt, reason, why, openings.next(until))
        if openings.closed is not None:
            return _skip(attempt, Reason.HOURS, f"it is closed: {openings.closed}", openings.next(self._now))
        return None

    def _waits(self, dialled: list[datetime]) -> Iterator[tuple[datetime, Reason | None, str]]:
        """Yield until when, and why, a number may not be called for what was dialled before."""
        most, within, interval = self._rules.max_attempts, self._rules.within, self._rules.least_interval
        if most is not None and within is not None and len(dialled) >= most:
            free = dialled[most - 1] + within
            if free > self._now:
                yield free, Reason.MAX_ATTEMPTS, self._capped
        if interval is not None and dialled and (free := dialled[0] + interval) > self._now:
            yield free, Reason.LEAST_INTERVAL, self._too_soon

    def _zones(self, phone: str) -> frozenset[str] | None:
        """Return the zones by whose clocks a number is judged, empty for that of the hours; None if nobody knows."""
        if self._rules.phone_country is None:
            return frozenset()
        default = self._rules.default_zone
        return PhoneNumber.parse(phone).zones(self._rules.phone_country) or (
            None if default is None else frozenset({default})
        )

    def _hours(self, zones: frozenset[str]) -> Hours | None:
        hours = self._rules.hours
        return hours.in_zones(zones) if hours is not None and zones else hours


class _Openings:
    """When hours open next, asked for many instants: each time that they are closed is looked through once.

    :param hours: None where it is open at any time
    """

    def __init__(self, hours: Hours | None, now: datetime) -> None:
        self._hours = hours
        self._begins: list[datetime] = []  # closed from such an instant on ...
        self._ends: list[datetime] = []  # ... to the one at the same place here; sorted
        self.closed = None if hours is None else hours.why_closed(now)
        self._never = False
        self._never = self.next(now) is None

    def next(self, at: datetime) -> datetime | None:
        """Return the first open instant from `at` on; None if there is none for long, from `at` or from now."""
        if self._hours is None:
            return at
        if self._never:
            return None
        place = bisect_left(self._ends, at)
        if place < len(self._ends) and self._begins[place] <= at:
            return self._ends[place]
        try:
            opens = self._hours.next_open(at)
        except NeverOpens:
            return None
        if opens > at:
            if self._ends[place : place + 1] == [opens]:
                self._begins[place] = at
            else:
                self._begins.insert(place, at)
                self._ends.insert(place, opens)
        return opens


def _dialled_out(attempt: Attempt) -> bool:
    return attempt.result != NOT_DIALLED and not attempt.type_interaction.startswith(_NOT_OUTWARD)


def _calls_back(attempt: Attempt) -> bool:
    """Return whether an attempt reached the customer, or was made by an agent."""
    if attempt.result == "ANSWER" or attempt.type_interaction == "outbound_ma":
        return True
    return attempt.agent_id != "" and attempt.type_interaction != "out_pre" and _dialled_out(attempt)


def _rank(attempt: Attempt, priority: Collection[str]) -> int:
    """Return at which place of the priority an attempt comes; after them all if it is in none."""
    words = {attempt.result, _word(attempt.cod_act), _word(attempt.cod_act_2)}
    return next((place for place, word in enumerate(priority) if word in words), len(priority))


def _seconds(attempt: Attempt) -> int:
    return -1 if attempt.seconds is None else attempt.seconds


def _skip(attempt: Attempt, reason: Reason, why: str, next_allowed: datetime | None = None) -> Skip:
    return Skip(attempt, reason, f"{masked(attempt.phone)} is not called back: {why}", next_allowed)


def _shown(length: timedelta | None) -> str:
    if length is None:
        return "any time"
    seconds = length.total_seconds()
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:g} s"


@lru_cache(maxsize=4096)
def _word(text: str) -> str:
    """Return a word of wolkvox in one form: `No answer`, `no-answer` and `NO_ANSWER` are one."""
    return re.sub(r"[\s_-]+", "-", text.strip().upper())


@lru_cache(maxsize=4096)
def _small(text: str) -> str:
    return text.strip().lower()


def _words(given: Collection[str], name: str) -> tuple[str, ...]:
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise ValueError(f"{name} must be a list of words, not {type(given).__name__}")
    words = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError(f"{name} holds something that is no word: {_shown_value(words)}")
    return words


def _sorted_words(given: Collection[str] | None, name: str) -> tuple[str, ...] | None:
    return None if given is None else _sorted(map(_word, _words(given, name)))


def _shown_value(value: object) -> str:
    """Return a value that is not right, without whole numbers: with swapped arguments it would be a customer's."""
    return mask_numbers(repr(value))[:80]


def _sorted(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(words)))


def _result(text: str) -> str:
    word = _word(text)
    if word not in RESULTS:
        raise ValueError(
            f"{_shown_value(text)} in results is no result of wolkvox: the known ones are {', '.join(RESULTS)}"
        )
    return word


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _talk_time(length: timedelta | float | None) -> timedelta | None:
    if length is None or (isinstance(length, timedelta) and length > timedelta(0)):
        return length
    if isinstance(length, int | float) and not isinstance(length, bool) and 0 < length <= _LONGEST.total_seconds():
        return timedelta(seconds=length)
    raise ValueError(
        f"shorter_than={_shown_value(length)} is no talk time: give a timedelta, or seconds, of more than 0"
    )


def _too_few(number: int | None, name: str, *, or_none: bool = True) -> Iterator[str]:
    if number is None and or_none:
        return
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        hint = f"; None stands for no {name}" if or_none else ""
        yield f"{name}={_shown_value(number)} is not a whole number of at least 1{hint}"


def _no_length(length: timedelta | None, name: str, least: timedelta) -> Iterator[str]:
    if length is None:
        return
    if not isinstance(length, timedelta):
        yield f"{name}={_shown_value(length)} does not say which unit it is in: give a timedelta"
    elif not least <= length <= _LONGEST:
        shown = _shown_value(length)
        yield f"{name}={shown} is {'negative' if least == timedelta(0) else 'not above zero'}, or above ten years"
