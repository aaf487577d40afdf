"""Many calls, strictly one after the other: which is next, what became of each, when to stop.

Knows neither Airflow nor HTTP: what it needs of them is `Surroundings`. While one call's answer is awaited, the next
one is chosen and looked ahead at (the ledger's intent, the fences), so that this costs no time of its own. A killed
batch therefore leaves at most two calls in doubt: the one in flight and the one looked ahead at, or the one before.
"""

from __future__ import annotations

import enum
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from airflow_provider_wolkvox.phone import PhoneNumber, shown_extension

log = logging.getLogger(__name__)


class Made(enum.StrEnum):
    """What became of one call of a batch."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    NOT_SENT = "not_sent"
    LEFT = "left"


# After which the agent may be on the phone.
_RANG = (Made.ACCEPTED, Made.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that is asked for.

    :param index: its place in the batch, from 0
    :param agent_id: the agent's extension, digits
    :param phone: the customer's number; without digits for what cannot be one, which is never called
    :param shown: the same, masked
    :param call_before: the instant from which it is too late; None for none of its own
    :param idempotency_key: what identifies it instead of its run and customer; empty for nothing else
    """

    index: int
    agent_id: str
    phone: PhoneNumber
    shown: str = ""
    call_before: datetime | None = None
    idempotency_key: str = ""

    @property
    def shown_agent(self) -> str:
        """The agent as results and the ledger show them: masked where a customer's number stands in their place."""
        return shown_extension(self.agent_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call, when, and why.

    :param made: what became of it
    :param at: when an accepted call's answer had been read, else when it was about to be sent or was given up; aware
    :param conn_id: wolkvox's id of an accepted call; empty if it gave none
    :param reason: why it was not accepted, for people; empty for one that was
    """

    made: Made
    at: datetime
    conn_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent's state when it was read.

    :param ready: whether they were ready
    :param seconds: how long they had been in that state, whole seconds rounded down; None if not told
    """

    ready: bool
    seconds: int | None = None


class Stop(Exception):
    """The batch is to end before its next call.

    :param reason: why, for people
    :param final: whether running the task again cannot help by itself
    """

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class PutOff(Exception):
    """A call may not be made now.

    :param reason: why, for people
    :param opens: when it may be, None for never
    :param is_under_way: whether another task may be making it at this moment; default False
    """

    def __init__(self, reason: str, opens: datetime | None, *, is_under_way: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.opens = opens
        self.is_under_way = is_under_way


class Flag:
    """Tells a batch to make no further call. Without a lock, since a signal's handler may raise it."""

    _LOOK_EVERY = 0.1

    def __init__(self) -> None:
        self._raised = False

    def set(self) -> None:
        """Raise the flag."""
        self._raised = True

    def is_set(self) -> bool:
        """Return whether it is raised."""
        return self._raised

    def wait(self, seconds: float) -> None:
        """Wait, or until it is raised; looked at every 0.1 seconds.

        :param seconds: how long at most
        """
        until = time.monotonic() + seconds
        while not self._raised and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, self._LOOK_EVERY))


class Surroundings(Protocol):
    """What a batch needs of the world."""

    stopped: Flag

    def make(self, call: Call) -> tuple[Outcome, Stop | None]:
        """Make one call; return what became of it, and why no further one is to be made, if so.

        :param call: the call; its intent has been looked ahead at
        :raises PutOff: nothing was sent, since it may not be made now
        :raises Stop: nothing was sent, and no further call is to be made
        """

    def closed(self, call: Call, at: datetime) -> tuple[str, datetime | None] | None:
        """Return why a call may not be made at an instant and when it may next, if ever; None if it may.

        :param call: the call
        :param at: the instant, aware
        :raises Stop: it may not, and then no further call is to be made
        """

    def look_ahead(self, outcomes: Mapping[Call, Outcome], intents: Sequence[Call]) -> None:
        """Write what became of calls and which are about to be made.

        Asked again with nothing new, it writes nothing, and judges anew.

        :param outcomes: what is not written yet; it may be none
        :param intents: which calls are about to be made; it may be none
        :raises Stop: none may be made, or it could not be written
        """

    def agents(self) -> Mapping[str, Agent]:
        """Return the agents' states of this moment, by their extension; who is missing counts as not logged in.

        :raises Stop: they could not be read
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a batch goes about its calls.

    :param pace: least seconds from one request's end to the next one's start; default 0
    :param max_calls: requests in this run of the task; default None, any number
    :param max_duration: how long this run may start calls; default None, any time
    :param max_unknown: unknown outcomes in a row that end the batch; default 3, None for any number
    :param stop_on: what ends the batch: `refused`, `unknown`, or both; default neither
    :param wait_for_agents: whether an agent must be seen ready; default True
    :param agent_poll_interval: least seconds between two readings of the agents' states, and their longest life;
        default 15
    :param agent_timeout: how long an agent who has calls may stay busy before these are skipped; default 10 minutes
    """

    pace: float = 0.0
    max_calls: int | None = None
    max_duration: timedelta | None = None
    max_unknown: int | None = 3
    stop_on: frozenset[str] = frozenset()
    wait_for_agents: bool = True
    agent_poll_interval: float = 15.0
    agent_timeout: timedelta = timedelta(minutes=10)


class Batch:
    """Makes the calls that are still to be made, one after the other.

    :param calls: all calls of the batch, in order
    :param known: what is known of some of them from earlier runs; these are not made
    :param around: the world
    :param limits: how to go about it
    :param ahead: whether to look ahead while an answer is awaited, in a thread; default True
    :param progress: gets the batch every half minute and every twentieth of its calls; default none
    :param clock: seconds of a clock that never goes back; default the machine's
    :param now: the present instant, aware; default the machine's
    """

    def __init__(
        self,
        calls: Sequence[Call],
        known: Mapping[Call, Outcome],
        around: Surroundings,
        limits: Limits,
        *,
        ahead: bool = True,
        progress: Callable[[Batch], None] = lambda batch: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.calls = calls
        self.outcomes: dict[Call, Outcome] = dict(known)
        self.made = 0
        self.ended_because = ""
        self.put_off: dict[Call, PutOff] = {}
        self._around = around
        self._limits = limits
        self._ahead = ahead
        self._progress = progress
        self._clock = clock
        self._now = now
        self._waiting = [call for call in calls if call not in self.outcomes]
        self._intended: set[Call] = set()
        self._in_flight: set[Call] = set()
        self._unwritten: dict[Call, Outcome] = {}
        self._began = clock()
        self._next_request = self._began
        self._unknown_in_a_row = 0
        self._agents: Mapping[str, Agent] = {}
        self._agents_read: float | None = None
        # By this clock: when each agent was last called, in earlier runs too.
        self._called: dict[str, float] = {}
        for call, outcome in known.items():
            if outcome.made in _RANG:
                at = self._began - (now() - outcome.at).total_seconds()
                self._called[call.agent_id] = max(at, self._called.get(call.agent_id, at))
        self._busy_since: dict[str, float] = {}
        self._told = (self._began, 0)

    @property
    def seconds(self) -> float:
        """How long this run has taken so far."""
        return self._clock() - self._began

    @property
    def counts(self) -> dict[str, int]:
        """How many calls have become what; those that were not reached count as left."""
        found = Counter(outcome.made for outcome in self.outcomes.values())
        found[Made.LEFT] += len(self.calls) - len(self.outcomes)
        return {made.value: found[made] for made in Made}

    @property
    def opens(self) -> datetime | None:
        """When the first of the calls that were put off may be made; None if there are none."""
        return min((each.opens for each in self.put_off.values() if each.opens), default=None)

    def why_left(self, call: Call) -> str:
        """Return why a call was not reached, for people; empty if nobody knows.

        :param call: one that has no outcome
        """
        put_off = self.put_off.get(call)
        return put_off.reason if put_off else self.ended_because

    def run(self) -> None:
        """Make the calls.

        :raises Stop: the batch ended before its last call, and a person or a retry has to go on
        """
        try:
            # Left only once the thread is done: what it wrote last must not come after what is written here.
            with ThreadPoolExecutor(max_workers=1, thread_name_prefix="wolkvox-ahead") as thread:
                self._run(thread)
        except Stop as stop:
            self.ended_because = stop.reason
            raise
        finally:
            self._write_what_is_left()

    def _run(self, thread: ThreadPoolExecutor) -> None:
        call = self._choose_afresh()
        while call:
            following = None if self._limit(after=1) else self._choose(after=call)
            looking: Future[None] | None = None
            if following and self._ahead:
                intents = [call, following]
                looking = thread.submit(self._around.look_ahead, self._to_write(intents), intents)
            self._make(call)
            if looking:
                looking.result()
            elif following:
                self._look_ahead([following])
            call = following if following and self._await_turn(following) else self._choose_afresh()

    def _choose_afresh(self) -> Call | None:
        """Choose the next call and look ahead at it; wait for the pace, and where all that is left waits for agents."""
        self._wait(self._next_request - self._clock())
        while self._waiting:
            if limit := self._limit():
                self.ended_because = limit
                break
            self._read_agents()
            call = self._choose()
            if call:
                self._look_ahead([call])
                return call
            if self._waiting:
                self._wait(self._limits.agent_poll_interval)
        return None

    def _limit(self, after: int = 0) -> str | None:
        """Return which limit keeps this run from starting another call, once `after` more are made."""
        limits = self._limits
        if limits.max_calls is not None and self.made + after >= limits.max_calls:
            return f"max_calls={limits.max_calls} is reached"
        if limits.max_duration is not None and self.seconds >= limits.max_duration.total_seconds():
            return f"max_duration={limits.max_duration} is over"
        return None

    def _choose(self, after: Call | None = None) -> Call | None:
        """Take the first call out of those waiting that may be made now; None if there is none.

        :param after: the call that will be under way meanwhile; its agent is busy then
        """
        for call in list(self._waiting):
            if self._agent_is_free(call, after) and self._may_be_made(call):
                self._waiting.remove(call)
                return call
        return None

    def _may_be_made(self, call: Call) -> bool:
        """Judge hours and lateness; a call that may not be made waits no more: it is skipped, or left for later."""
        closed = self._around.closed(call, self._now())
        if closed is None:
            return True
        self._waiting.remove(call)
        self._put_off(call, PutOff(*closed))
        return False

    def _put_off(self, call: Call, why: PutOff) -> None:
        if why.opens is None:
            self._note(call, Outcome(Made.SKIPPED, self._now(), reason=why.reason))
        else:
            self.put_off[call] = why

    def _agent_is_free(self, call: Call, after: Call | None) -> bool:
        """Judge by the last reading whether an agent is free; the calls of one who never is are given up."""
        if not self._limits.wait_for_agents:
            return True
        agent_id = call.agent_id
        if after is not None and after.agent_id == agent_id:
            return False
        if self._was_free(agent_id):
            return True
        busy = self._clock() - self._busy_since.setdefault(agent_id, self._clock())
        if busy >= self._limits.agent_timeout.total_seconds():
            self._waiting.remove(call)
            agent = self._agents.get(agent_id)
            state = "not logged in" if agent is None else "not ready"
            if agent is not None and agent.ready:
                state = "not seen free since their last call"
            why = f"agent {call.shown_agent} was {state} for {self._limits.agent_timeout} (agent_timeout)"
            self._note(call, Outcome(Made.SKIPPED, self._now(), reason=why))
        return False

    def _was_free(self, agent_id: str) -> bool:
        """Return whether an agent was free when the states were read, and has been since our last call to them."""
        agent, called = self._agents.get(agent_id), self._called.get(agent_id)
        if agent is None or not agent.ready:
            return False
        if called is None:
            return True
        # Ready for less time than has passed since our call: so there was a free state in between. The seconds are
        # whole ones, rounded down. Where they are not told, a reading well after the call has to do.
        since = (self._agents_read or 0.0) - called
        return since >= self._limits.agent_poll_interval if agent.seconds is None else agent.seconds + 1 < since

    def _read_agents(self) -> None:
        if self._limits.wait_for_agents and self._reading_is_old():
            self._agents = self._around.agents()
            self._agents_read = self._clock()
            # Busy without a break, whoever is looked at first in the list.
            for agent_id in [each for each in self._busy_since if self._was_free(each)]:
                del self._busy_since[agent_id]

    def _reading_is_old(self) -> bool:
        read = self._agents_read
        return read is None or self._clock() - read >= self._limits.agent_poll_interval

    def _await_turn(self, call: Call) -> bool:
        """Keep the pace; return whether a call that was looked ahead at may still be made then, else put it back."""
        self._wait(self._next_request - self._clock())
        self._waiting.insert(0, call)
        old = self._limits.wait_for_agents and self._reading_is_old()
        if self._limit() or old or not self._may_be_made(call):
            return False
        self._waiting.remove(call)
        return True

    def _look_ahead(self, intents: Sequence[Call]) -> None:
        self._around.look_ahead(self._to_write(intents), intents)

    def _in_vain(self) -> set[Call]:
        """Return the calls whose intent the ledger has, and that nobody made."""
        return {call for call in self._intended if call not in self.outcomes and call not in self._in_flight}

    def _to_write(self, intents: Sequence[Call]) -> dict[Call, Outcome]:
        """Take what the ledger does not know yet."""
        unwritten, self._unwritten = self._unwritten, {}
        # An intent that came to nothing is written over: a later run must not take it for a call in doubt. One
        # that is under way, or was when everything ended, is in doubt.
        for call in self._in_vain().difference(intents):
            unwritten[call] = Outcome(Made.NOT_SENT, self._now(), reason="put off")
        self._intended = {*intents, *self._in_flight}
        return unwritten

    def _make(self, call: Call) -> None:
        self.made += 1
        self._in_flight = {call}
        try:
            try:
                outcome, stop = self._around.make(call)
            finally:
                self._next_request = self._clock() + self._limits.pace
        except PutOff as closed:
            self._in_flight = set()
            self._put_off(call, closed)
            return
        except Stop:
            self._in_flight = set()
            raise
        self._note(call, outcome)
        self._in_flight = set()
        if outcome.made in _RANG:
            self._called[call.agent_id] = self._clock()
            self._busy_since.pop(call.agent_id, None)
        self._unknown_in_a_row = self._unknown_in_a_row + 1 if outcome.made is Made.UNKNOWN else 0
        if stop:
            raise stop
        limits = self._limits
        if outcome.made in limits.stop_on:
            raise Stop(f"a call's outcome is {outcome.made.value} (stop_on): {outcome.reason}", final=True)
        if limits.max_unknown is not None and self._unknown_in_a_row >= limits.max_unknown:
            raise Stop(
                f"{self._unknown_in_a_row} unknown outcomes in a row (max_unknown): {outcome.reason}", final=True
            )

    def _note(self, call: Call, outcome: Outcome) -> None:
        self.outcomes[call] = outcome
        if outcome.made is not Made.SKIPPED or call in self._intended:
            # Who was never near a call needs no line in the ledger.
            self._unwritten[call] = outcome
        told_at, told = self._told
        done = len(self.outcomes)
        if self._clock() - told_at >= 30 or done - told >= len(self.calls) / 20:
            self._told = (self._clock(), done)
            self._progress(self)

    def _write_what_is_left(self) -> None:
        if self._unwritten or self._in_vain():
            try:
                self._look_ahead([])
            except Stop as stop:
                log.warning("The last outcomes may be missing in the ledger: %s", stop.reason)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._around.stopped.wait(seconds)
        if self._around.stopped.is_set():
            raise Stop("the task was killed", final=False)


def in_words(outcome: Outcome | None, why_left: str = "") -> dict[str, Any]:
    """Return what became of a call as results tell it: `state`, `conn_id`, `reason`, and `at` in ISO 8601.

    :param outcome: None for a call that was not reached, whose `state` is `left` and whose `at` is None
    :param why_left: why it was not reached; default none
    """
    if outcome is None:
        return {"state": Made.LEFT.value, "conn_id": "", "reason": why_left, "at": None}
    return {
        "state": outcome.made.value,
        "conn_id": outcome.conn_id,
        "reason": outcome.reason,
        "at": outcome.at.isoformat(),
    }
