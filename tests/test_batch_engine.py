"""The order of a batch's calls, whatever the world does meanwhile: a world of our own, on a clock of our own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from unittest import mock

import pytest
from counting import functions_called
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox import batch as batch_module
from airflow_provider_wolkvox.batch import Agent, Batch, Call, Limits, Made, Outcome, Stop

BEGAN = datetime(2026, 11, 23, 13, tzinfo=UTC)
KEPT = {Made.ACCEPTED: Made.ACCEPTED, Made.UNKNOWN: Made.UNKNOWN}


class Killed(BaseException):
    """The process is gone: nothing after this reaches anybody."""


class TimedOut(BaseException):
    """Airflow's execution_timeout, which strikes anywhere and lets the process tidy up."""


class Endless(BaseException):
    """The batch asks the world for more than any batch needs."""


class Waiter:
    """An event that passes the time of the world instead of waiting."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        self._world.step("wait")
        self._world.clock += seconds
        return self._set


@dataclass
class Phone:
    """An agent as they are, and as they are told to be."""

    busy: list[tuple[float, float]] = field(default_factory=list)
    ready_since: float = -1000.0
    logged_in: bool = True

    def told(self, at: float, *, whole_seconds: bool, tell_seconds: bool) -> Agent | None:
        if not self.logged_in:
            return None
        for begun, over in self.busy:
            if begun <= at < over:
                return Agent(False, int(at - begun))
        since = at - max([self.ready_since, *(over for _, over in self.busy if over <= at)])
        return Agent(True, (int(since) if whole_seconds else since) if tell_seconds else None)  # type: ignore[arg-type]


class World:
    """A wolkvox, a ledger and an Airflow for a batch, as `Surroundings`."""

    def __init__(self, dice: Random | None = None, **given) -> None:
        self.dice = dice or Random(0)
        self.clock = 0.0
        self.stopped = Waiter(self)
        self.ledger: dict[Call, Made] = {}
        self.made: list[tuple[Call, float, Made]] = []
        self.rung: Counter[Call] = Counter()
        self.ours: list[tuple[str, float, float]] = []
        self.phones: dict[str, Phone] = {}
        self.steps = 0
        self.most_steps = 100_000
        self.strike_at: int | None = None
        self.strike: type[BaseException] = Killed
        self.dead = False
        self.in_flight = 0
        self.most_in_flight = 0
        self.readings = 0
        # What may be said of the world.
        self.latency = 0.3
        self.talk = (5.0, 60.0)
        self.lag = 0.0
        self.whole_seconds = True
        self.tell_seconds = True
        self.results = (Made.ACCEPTED,)
        self.closed_from_to: dict[Call, tuple[float, float, bool]] = {}
        self.slow_ledger = 0.0
        # The thread's looking ahead, which happens in the middle of a request where `orderly`.
        self.looking: Future[None] | None = None
        self.posted = threading.Event()
        self.lock = threading.RLock()
        vars(self).update(given)

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.clock)

    def step(self, name: str) -> None:
        with self.lock:
            if self.dead:
                raise Killed
            self.steps += 1
            if self.steps > self.most_steps:
                raise Endless(name)
            if self.steps == self.strike_at:
                self.dead = self.strike is Killed
                raise self.strike

    def phone(self, agent_id: str) -> Phone:
        return self.phones.setdefault(agent_id, Phone())

    def make(self, call: Call) -> tuple[Outcome, Stop | None]:
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            return self._make(call)
        finally:
            self._let_look_ahead()
            self.in_flight -= 1

    def _let_look_ahead(self) -> None:
        self.posted.set()
        if self.looking:
            wait_for([self.looking], timeout=60)
        self.looking = None
        self.posted.clear()

    def orderly(self) -> mock._patch:
        """Have the thread look ahead between a request and its answer: after the one, before the other."""
        world = self

        class InTheMiddle(ThreadPoolExecutor):
            def submit(self, look_ahead, *given):  # type: ignore[no-untyped-def, override]
                def later() -> None:
                    world.posted.wait(60)
                    look_ahead(*given)

                world.looking = super().submit(later)
                return world.looking

        return mock.patch.object(batch_module, "ThreadPoolExecutor", InTheMiddle)

    def _make(self, call: Call) -> tuple[Outcome, Stop | None]:
        self.step("before the request")
        made = self.dice.choice(self.results)
        with self.lock:
            assert self.ledger.get(call) is Made.UNKNOWN, "no intent stood when the request was made"
            self.made.append((call, self.clock, made))
            rings = made is Made.ACCEPTED or (made is Made.UNKNOWN and self.dice.random() < 0.5)
            if rings:
                self.rung[call] += 1
        self.step("after the request")
        self._let_look_ahead()
        self.step("after the other thread's message")
        self.clock += self.latency
        if rings:
            begun = self.clock + self.lag
            over = begun + self.dice.uniform(*self.talk)
            self.phone(call.agent_id).busy.append((begun, over))
            self.ours.append((call.agent_id, self.made[-1][1], over))
        self.step("after the answer")
        return Outcome(made, self.now(), reason="" if made is Made.ACCEPTED else "so it was"), None

    def closed(self, call: Call, at: datetime) -> tuple[str, datetime | None] | None:
        begins, ends, for_good = self.closed_from_to.get(call, (0.0, 0.0, False))
        if begins <= (at - BEGAN).total_seconds() < ends:
            return "closed", None if for_good else BEGAN + timedelta(seconds=ends)
        return None

    def look_ahead(self, outcomes: Mapping[Call, Outcome], intents: Sequence[Call]) -> None:
        self.step("before a write")
        with self.lock:
            for call, outcome in outcomes.items():
                self.ledger[call] = KEPT.get(outcome.made, Made.NOT_SENT)
            for call in intents:
                self.ledger[call] = Made.UNKNOWN
            if threading.current_thread() is threading.main_thread():
                self.clock += self.slow_ledger
        self.step("after a write")

    def agents(self) -> Mapping[str, Agent]:
        self.step("agents")
        self.readings += 1
        self.clock += 0.1
        told = {
            agent_id: phone.told(self.clock, whole_seconds=self.whole_seconds, tell_seconds=self.tell_seconds)
            for agent_id, phone in self.phones.items()
        }
        return {agent_id: agent for agent_id, agent in told.items() if agent}

    def batch(self, calls: Sequence[Call], limits: Limits, *, ahead: bool = True) -> Batch:
        known = {
            call: Outcome(made, BEGAN) for call, made in self.ledger.items() if made in (Made.ACCEPTED, Made.UNKNOWN)
        }
        return Batch(calls, known, self, limits, ahead=ahead, clock=lambda: self.clock, now=self.now)  # type: ignore[arg-type]


def calls_of(*agents: int) -> list[Call]:
    return [Call(index, f"1000{agent}", f"300555{index:04d}") for index, agent in enumerate(agents)]


def two_without_a_free_state(world: World) -> list[str]:
    """Return the agents who got a call while they still had the one before, or were about to have it."""
    return [
        agent_id
        for agent_id, asked, over in world.ours
        for call, at, _ in world.made
        if call.agent_id == agent_id and asked < at < over
    ]


@st.composite
def worlds(draw) -> tuple[World, list[Call], Limits]:
    dice = draw(st.randoms(use_true_random=False))
    calls = calls_of(*draw(st.lists(st.integers(1, 3), min_size=1, max_size=9)))
    world = World(
        dice,
        latency=draw(st.sampled_from((0.0, 0.3, 20.0))),
        lag=draw(st.sampled_from((0.0, 2.0))),
        talk=draw(st.sampled_from(((0.0, 3.0), (5.0, 60.0), (900.0, 1000.0)))),
        # What whole seconds do is told further down.
        whole_seconds=False,
        results=draw(
            st.sampled_from(
                ((Made.ACCEPTED,), (Made.ACCEPTED, Made.REFUSED), (Made.ACCEPTED, Made.UNKNOWN, Made.REFUSED))
            )
        ),
        most_steps=3_000,
    )
    for agent_id in {call.agent_id for call in calls}:
        phone = world.phone(agent_id)
        phone.logged_in = draw(st.integers(0, 5)) > 0
        if draw(st.booleans()):
            begun = draw(st.floats(0, 50))
            phone.busy.append((begun, begun + draw(st.floats(0, 100))))
    for call in calls:
        if draw(st.integers(0, 4)) == 0:
            begins = draw(st.floats(0, 60))
            world.closed_from_to[call] = (begins, begins + draw(st.floats(0, 600)), draw(st.booleans()))
    limits = Limits(
        pace=draw(st.sampled_from((0.0, 1.0, 40.0))),
        max_calls=draw(st.none() | st.integers(1, 5)),
        max_duration=draw(st.none() | st.just(timedelta(seconds=45))),
        max_unknown=draw(st.none() | st.integers(1, 3)),
        stop_on=frozenset(draw(st.sets(st.sampled_from((Made.REFUSED, Made.UNKNOWN)), max_size=1))),
        wait_for_agents=draw(st.booleans()),
        agent_poll_interval=draw(st.sampled_from((5.0, 15.0))),
        agent_timeout=timedelta(seconds=draw(st.sampled_from((0, 60, 600)))),
    )
    return world, calls, limits


@given(
    made_up=worlds(),
    strikes=st.lists(st.tuples(st.integers(1, 40), st.sampled_from((Killed, TimedOut))), max_size=3),
    ahead=st.booleans(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_each_call_is_made_at_most_once_and_none_is_lost(made_up, strikes, ahead):
    world, calls, limits = made_up
    batch = None
    for strike in [*strikes, None]:
        world.dead, world.steps = False, 0
        world.strike_at, world.strike = strike or (None, Killed)
        asked, doubtful = len(world.made), set(_in_doubt(world))
        batch = world.batch(calls, limits, ahead=ahead)
        ended = "in order"
        try:
            with world.orderly():
                batch.run()
        except (Killed, TimedOut) as struck:
            ended = type(struck).__name__
        except Stop:
            ended = "stop"
            assert batch.ended_because
        event(ended)
        assert world.most_in_flight <= 1
        assert set(Counter(call for call, _, made in world.made if made is not Made.REFUSED).values()) <= {1}
        assert set(world.rung.values()) <= {1}
        if limits.max_calls is not None:
            assert len(world.made) - asked <= limits.max_calls
        told = {call for call, outcome in batch.outcomes.items() if outcome.made is Made.UNKNOWN}
        assert len(set(_in_doubt(world)) - doubtful - told) <= (0 if ended in ("in order", "stop") else 2)
        # Who rang is in the ledger, as accepted or in doubt, wherever it ended.
        assert all(world.ledger.get(call) in (Made.ACCEPTED, Made.UNKNOWN) for call in world.rung)
    assert batch is not None
    assert sum(batch.counts.values()) == len(calls)
    assert all(outcome.reason for outcome in batch.outcomes.values() if outcome.made in (Made.SKIPPED, Made.REFUSED))
    if limits.wait_for_agents and not strikes:
        assert not two_without_a_free_state(world)
    if not batch.ended_because:
        left = [call for call in calls if call not in batch.outcomes]
        assert not left or batch.opens is not None


def _in_doubt(world: World) -> list[Call]:
    return [call for call, made in world.ledger.items() if made is Made.UNKNOWN]


@given(
    pace=st.sampled_from((0.0, 0.5, 3.0, 20.0)),
    latency=st.sampled_from((0.0, 0.3, 5.0)),
    max_duration=st.integers(1, 60),
    wait_for_agents=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_pace_and_duration_are_kept(pace, latency, max_duration, wait_for_agents):
    world = World(latency=latency, talk=(0.0, 4.0))
    calls = calls_of(*[number % 3 for number in range(12)])
    for call in calls:
        world.phone(call.agent_id)
    limits = Limits(pace=pace, max_duration=timedelta(seconds=max_duration), wait_for_agents=wait_for_agents)
    world.batch(calls, limits).run()
    at = [at for _, at, _ in world.made]
    assert all(later - earlier >= pace - 1e-9 for earlier, later in pairwise(at))
    assert all(moment < max_duration for moment in at)


def test_all_calls_of_a_ready_agent_are_made_in_the_end():
    world = World(talk=(10.0, 40.0))
    calls = calls_of(*[1] * 20)
    world.phone("10001")
    batch = world.batch(calls, Limits())
    batch.run()
    assert [call for call, _, _ in world.made] == calls
    assert not two_without_a_free_state(world)


@pytest.mark.parametrize("made", [Made.REFUSED, Made.NOT_SENT, Made.SKIPPED])
def test_an_agent_whose_phone_did_not_ring_gets_the_next_call(made):
    world = World()
    calls = calls_of(1, 1, 1)
    world.phone("10001")
    make = world.make

    def first_comes_to_nothing(call):
        world.results = (made,) if call is calls[0] else (Made.ACCEPTED,)
        return make(call)

    world.make = first_comes_to_nothing  # type: ignore[method-assign]
    batch = world.batch(calls, Limits())
    batch.run()
    assert [batch.outcomes[call].made for call in calls] == [made, Made.ACCEPTED, Made.ACCEPTED]


def test_what_is_said_of_an_agent_who_was_ready_all_the_time_is_true():
    world = World(talk=(0.0, 0.0))
    # Accepted, and never seen as anything but ready.
    world.phone = lambda agent_id: Phone()  # type: ignore[method-assign]
    calls = calls_of(1, 1)
    world.phones["10001"] = Phone()
    batch = world.batch(calls, Limits())
    batch.run()
    assert "was not ready" not in batch.outcomes[calls[1]].reason


@given(ready_for=st.floats(0.01, 1.0), lag=st.floats(10, 40), latency=st.floats(0.0, 0.5))
@settings(max_examples=500, deadline=None)
def test_whole_seconds_do_not_let_a_lagging_state_pass_for_a_free_one(ready_for, lag, latency):
    world = World(lag=lag, talk=(60.0, 60.0), latency=latency)
    calls = calls_of(1, 1)
    world.phone("10001").ready_since = 0.1 - ready_for
    world.batch(calls, Limits(agent_timeout=timedelta(seconds=70))).run()
    assert not two_without_a_free_state(world)


def test_a_retry_knows_which_agents_were_just_called():
    world = World(lag=10.0, talk=(60.0, 60.0))
    calls = calls_of(1, 1)
    world.phone("10001")
    world.strike_at = 7  # After the first call's answer.
    with pytest.raises(Killed):
        world.batch(calls, Limits()).run()
    assert len(world.made) == 1
    world.dead = False
    world.batch(calls, Limits()).run()
    assert not two_without_a_free_state(world)


def test_an_agent_is_not_given_up_for_being_busy_twice():
    world = World(latency=20.0, talk=(0.0, 0.0))
    # In front of the list those who are free from now on, so that for an hour nobody looks at the agent behind them,
    # who is busy for half a minute, ready for an hour, and then busy for three minutes.
    in_front = [Call(number, f"2{number:04d}", f"310555{number:04d}") for number in range(178)]
    behind = Call(178, "10002", "3105559999")
    for call in in_front:
        world.phone(call.agent_id).busy.append((0.0, 5.0))
    world.phone(behind.agent_id).busy += [(0.0, 30.0), (3500.0, 3680.0)]
    batch = world.batch([*in_front, behind], Limits(agent_timeout=timedelta(minutes=10)))
    batch.run()
    assert batch.outcomes[behind].made is Made.ACCEPTED, batch.outcomes[behind].reason


@pytest.mark.parametrize(("interval", "slow_ledger"), [(0.0, 0.0), (1.0, 1.0)])
def test_a_reading_that_ages_fast_does_not_keep_the_batch_from_its_end(interval, slow_ledger):
    world = World(slow_ledger=slow_ledger, most_steps=2_000)
    calls = calls_of(1, 2)
    for call in calls:
        world.phone(call.agent_id)
    try:
        world.batch(calls, Limits(agent_poll_interval=interval)).run()
    except Endless:
        pytest.fail(f"{world.readings} readings of the agents, {len(world.made)} calls")


@pytest.mark.parametrize("ends", ["stop", "timeout"])
def test_the_last_write_comes_after_the_one_of_the_thread(ends):
    world = World()
    calls = calls_of(1, 2, 3)
    look_ahead, make, made = world.look_ahead, world.make, threading.Event()

    def slowly(outcomes, intents):
        if threading.current_thread() is not threading.main_thread():
            made.wait(60)
            time.sleep(0.1)
        look_ahead(outcomes, intents)

    def refused(call):
        world.results = (Made.REFUSED,)
        outcome, _ = make(call)
        made.set()
        if ends == "timeout":
            raise TimedOut
        return outcome, Stop("quota", final=True)

    world.look_ahead, world.make = slowly, refused  # type: ignore[method-assign]
    with pytest.raises((Stop, TimedOut)):
        world.batch(calls, Limits(wait_for_agents=False)).run()
    assert len(_in_doubt(world)) == (1 if ends == "timeout" else 0)


def test_a_batch_as_long_as_its_limit_did_not_end_because_of_it():
    world = World()
    batch = world.batch(calls_of(1, 2), Limits(wait_for_agents=False, max_calls=2))
    batch.run()
    assert batch.counts["accepted"] == 2
    assert not batch.ended_because


@pytest.mark.parametrize("busy_in_front", [False, True])
def test_a_thousand_calls_cost_seconds_and_not_minutes(busy_in_front):
    world = World(latency=0.0, talk=(0.0, 0.0))
    held = 500 if busy_in_front else 0
    calls = [Call(i, "99999" if i < held else f"1{i:04d}", f"300{i:07d}") for i in range(1000)]
    for call in calls:
        world.phone(call.agent_id)
    if busy_in_front:
        world.phone("99999").busy.append((0.0, 1e6))
    batch = world.batch(calls, Limits(wait_for_agents=busy_in_front, agent_timeout=timedelta(seconds=30)))
    # A second makes some millions.
    assert functions_called(batch.run) < 5_000_000
    assert batch.counts["accepted"] == 1000 - held
