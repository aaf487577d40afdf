"""What becomes of a call, and the plain record of one. No state here, and nothing of how reports show it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_provider_wolkvox.simulator.body import shown

ANSWER = "ANSWER"

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""What can be added to any time between them is still a time."""

# GUESS: a machine that answers connects the call like a person.
_CONNECTED = frozenset({ANSWER, "ANSWER-MACHINE"})
"""The results that make a connected call: `cdr_1` instead of `cdr_5`."""

RESULTS = _CONNECTED | {
    "NO-ANSWER",
    "BUSY",
    "ABANDON",
    "CONGESTION",
    "FAILED",
    "CHANUNAVAIL",
    "CANCEL",
    "UNKNOWN",
    "DO-NOT-CALL",
    "TCPA",
}
"""The words for results (doc), in capitals with hyphens; each report writes them in a way of its own."""

OUT_PRE = "out_pre"
OUTBOUND_MA = "outbound_ma"
TRANSFERRED = "transfer"
"""The type_interaction of calls that a predictive campaign dialled, an agent dialled, an agent handed on (doc)."""


class CallError(ValueError):
    """A call or result that can't be: an unknown word or option, or a value that makes no sense. Says what can be."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What becomes of a call. Make it with `CallResult.of`, which checks.

    The defaults are those of an answered call; `of` gives other results theirs.

    :param result: one of wolkvox's words (doc), in capitals with hyphens: `ANSWER`, `NO-ANSWER`, ...
    :param ring_seconds: how long it rings, in whole seconds; default 8
    :param talk_seconds: how long the line is open after that, in whole seconds; default 20
    :param acw_seconds: how long the agent works on it afterwards, in whole seconds; default 10
    :param hang_up: who ends it, `agent` or `customer` (doc), or nobody: an empty text
    :param cod_act: the disposition that the agent chooses; an empty text, the default, for none
    :param cod_act_2: the second disposition, likewise
    :param comment: what the agent notes
    """

    result: str = ANSWER
    ring_seconds: int = 8
    talk_seconds: int = 20
    acw_seconds: int = 10
    hang_up: str = "customer"
    cod_act: str = ""
    cod_act_2: str = ""
    comment: str = ""

    @classmethod
    def of(cls, result: str | CallResult = ANSWER, /, **options: object) -> CallResult:
        """Return a checked result.

        A call that is not connected has no talk, no time after it and nobody to hang up, and rings for half a
        minute unless told otherwise.

        :param result: the word, written as any report writes it, or a result to change; default `ANSWER`
        :param options: the other fields of `CallResult`
        :raises CallError: for an unknown word or option, or a value that makes no sense; tells what can be
        """
        if isinstance(result, CallResult):
            return cls.of(result.result, **{**asdict(result), **options}) if options else result
        if not isinstance(result, str) or (word := _word(result)) not in RESULTS:
            raise CallError(f"no result {shown(result)}; the results are {', '.join(sorted(RESULTS))}")
        unknown = sorted(set(options) - {field.name for field in fields(cls)})
        if unknown:
            names = ", ".join(field.name for field in fields(cls))
            raise CallError(f"a result has no {', '.join(unknown)}; it has {names}")
        defaults: dict[str, Any] = {}
        if word not in _CONNECTED:
            defaults |= {"ring_seconds": 30, "talk_seconds": 0, "acw_seconds": 0, "hang_up": ""}
        values = {**defaults, **options, "result": word}
        for name, value in values.items():
            _check(name, value)
        if word not in _CONNECTED and values["talk_seconds"]:
            raise CallError(f"{word}: nobody talks in a call that was not connected")
        return cls(**values)

    @classmethod
    def read(cls, described: object) -> CallResult:
        """Return the result that JSON describes.

        :param described: a word, or an object with any of `CallResult`'s fields; without `result` it is answered
        :raises CallError: if it describes none
        """
        if isinstance(described, dict):
            options = {str(name): value for name, value in described.items()}
            return cls.of(options.pop("result", ANSWER), **options)
        return cls.of(described)  # type: ignore[arg-type]  # `of` checks

    @property
    def connected(self) -> bool:
        """Whether the customer (or a machine) picked up."""
        return self.result in _CONNECTED


CallResults = Callable[[str, str, int], "CallResult | str"]
"""Tells what becomes of a call: phone, agent_id, and how often this phone has rung before."""

GivenResults = str | CallResult | int | Mapping[str, "CallResult | str"] | CallResults | None
"""What `Simulator(call_results=...)` takes: one result for all, a seed, one per phone, or a function."""


def results_of(given: GivenResults) -> CallResults:
    """Return the function that tells what becomes of each call.

    A phone that a mapping lacks answers. With a seed the n-th ring of a phone always ends alike, whatever
    else rings meanwhile.

    :raises CallError: for what can be none
    """
    if given is None:
        return _always(CallResult.of())
    if isinstance(given, str | CallResult):
        return _always(CallResult.of(given))
    if isinstance(given, Mapping):
        by_phone = {phone: CallResult.of(result) for phone, result in given.items()}
        usual = CallResult.of()
        return lambda phone, agent_id, rung_before: by_phone.get(phone, usual)
    if isinstance(given, int) and not isinstance(given, bool):
        return _seeded(given)
    if callable(given):
        return given
    raise CallError(f"call_results is a result, a mapping phone -> result, a function or a seed, not {shown(given)}")


def _always(result: CallResult) -> CallResults:
    return lambda phone, agent_id, rung_before: result


def _seeded(seed: int) -> CallResults:
    def result(phone: str, agent_id: str, rung_before: int) -> CallResult:
        dice = random.Random(f"{seed} {phone} {rung_before}")  # noqa: S311 - repeatable on purpose
        word = dice.choices(("ANSWER", "NO-ANSWER", "BUSY", "ANSWER-MACHINE", "FAILED"), (55, 25, 10, 7, 3))[0]
        if word not in _CONNECTED:
            return CallResult.of(word, ring_seconds=dice.randint(5, 45))
        return CallResult.of(
            word,
            ring_seconds=dice.randint(2, 30),
            talk_seconds=dice.randint(3, 300),
            hang_up=dice.choice(("agent", "customer")),
        )

    return result


def check_moment(begun: datetime) -> None:
    """Reject a time in which no call can have begun.

    :raises CallError: if it has no zone, or is far from every time that a report can be asked for
    """
    if begun.utcoffset() is None or not FIRST_YEAR <= begun.year <= LAST_YEAR:
        raise CallError(f"a past call began at an aware time of the years {FIRST_YEAR} to {LAST_YEAR}, not at {begun}")


@dataclass(frozen=True, slots=True)
class Event:
    """One state of an agent, from `begun` to `over`; `call` is the call that it belongs to, if any."""

    agent_id: str
    status: str
    begun: datetime
    over: datetime
    call: CallRecord | None


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call of the operation, whoever dialled it: what every report of calls is made from.

    :param phone: exactly what was dialled
    :param agent_id: the agent who had it; an empty text for nobody (abandoned)
    :param conn_id: wolkvox's name of the call
    :param begun: when it began to ring, aware
    :param what: what became of it
    :param type_interaction: wolkvox's word for who dialled it (doc), such as `out_pre` for a predictive campaign
    :param campaign_id: the campaign that dialled it, or whose call it followed; an empty text for none (inbound)
    :param customer_id: the customer's id in that campaign, or as it was dialled; an empty text for none
    :param skill_id: the skill it came in by; an empty text for none
    :param at_station: whether it is at its agent's station; if not, somebody else has it, and it is the agent's by
        name only
    """

    phone: str
    agent_id: str
    conn_id: str
    begun: datetime
    what: CallResult
    type_interaction: str
    campaign_id: str = ""
    customer_id: str = ""
    skill_id: str = ""
    at_station: bool = True

    @property
    def answered(self) -> datetime:
        """When the ringing ended, with an answer or without."""
        return self.begun + timedelta(seconds=self.what.ring_seconds)

    @property
    def taken(self) -> datetime:
        """When the agent was no longer free."""
        return self.begun

    @property
    def over(self) -> datetime:
        """When the line was free again."""
        return self.answered + timedelta(seconds=self.what.talk_seconds)

    @property
    def finished(self) -> datetime:
        """When its agent was free again."""
        return self.over + timedelta(seconds=self.what.acw_seconds)

    @property
    def by_campaign(self) -> bool:
        """Whether a campaign dialled it whose course is known beforehand, so that its end must not be told early."""
        return False

    @property
    def customer(self) -> Mapping[str, str]:
        """The customer's record in the campaign that dialled; empty for any other call."""
        return {}

    @property
    def events(self) -> tuple[Event, ...]:
        """The states that the agent went through because of this call, and the READY before it.

        GUESS: the names of the states are doc; that a call which is not connected has neither TALK nor ACW
        is not.
        """
        if not self.agent_id or not self.at_station:
            return ()
        spans: list[tuple[str, int]] = [("RING", self.what.ring_seconds)]
        if self.what.connected:
            spans += [("TALK", self.what.talk_seconds), ("ACW", self.what.acw_seconds)]
        moment = self.begun
        events = [Event(self.agent_id, "READY", moment - _READY_BEFORE, moment, None)]
        for status, seconds in spans:
            over = moment + timedelta(seconds=seconds)
            events.append(Event(self.agent_id, status, moment, over, self))
            moment = over
        return tuple(events)

    def hung_up(self, now: datetime) -> Self:
        """Return this call as it ends if its agent hangs up at `now`. GUESS: one that still rings is cancelled."""
        seconds = (now - self.begun) // _SECOND
        if now < self.answered:
            codes = {name: getattr(self.what, name) for name in ("cod_act", "cod_act_2", "comment")}
            return replace(self, what=CallResult.of("CANCEL", ring_seconds=seconds, **codes))
        what = replace(self.what, talk_seconds=seconds - self.what.ring_seconds, hang_up="agent")
        return replace(self, what=what)

    def worked_off(self, now: datetime) -> Self:
        """Return this call, which is over, with the agent's work after it ended at `now`."""
        return replace(self, what=replace(self.what, acw_seconds=(now - self.over) // _SECOND))

    def codified(self, cod_act: str, cod_act_2: str, comment: str) -> Self:
        """Return this call with what the agent chose, `cod_act` and `cod_act_2`, and the agent's `comment`."""
        return replace(self, what=replace(self.what, cod_act=cod_act, cod_act_2=cod_act_2, comment=comment))


# So short that it begins after the cut call before it has ended; see `history`.
_READY_BEFORE = timedelta(seconds=2)
_SECOND = timedelta(seconds=1)


_DAY = 86_400


def _word(text: str) -> str:
    return text.strip().upper().replace(" ", "-").replace("_", "-")


def _check(name: str, value: object) -> None:
    if name.endswith("_seconds"):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _DAY:
            raise CallError(f"{name} must be a whole number from 0 to {_DAY}, not {shown(value)}")
    elif name == "hang_up":
        if value not in ("agent", "customer", ""):
            raise CallError(f'hang_up must be "agent", "customer" or "", not {shown(value)}')
    elif not isinstance(value, str):
        raise CallError(f"{name} must be a text, not {shown(value)}")
