"""The clock that starts in the past, runs fast, and becomes real time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_wolkvox.simulator import CatchingUpClock, Simulator
from airflow_provider_wolkvox.simulator.state import clock as clocks

NOW = 1_772_470_800.0


@pytest.fixture
def real(monkeypatch):
    """Both of the machine's clocks, to be moved by hand: real time can be set, the other only goes on."""

    class Real:
        monotonic, set_ahead = 1000.0, 0.0

        def go(self, seconds):
            self.monotonic += seconds

    found = Real()
    stand_in = SimpleNamespace(
        monotonic=lambda: found.monotonic, time=lambda: NOW - 1000 + found.monotonic + found.set_ahead
    )
    monkeypatch.setattr(clocks, "time", stand_in)
    return found


def test_it_starts_behind_runs_fast_and_then_is_real_time(real):
    clock = CatchingUpClock(behind=3600, speed=601)
    assert clock() == NOW - 3600
    real.go(3)
    assert clock() == NOW - 3600 + 3 * 601
    assert not clock.caught_up
    real.go(3)
    assert clock() == NOW + 6
    assert clock.caught_up
    real.go(100)
    assert clock() == NOW + 106


def test_it_never_goes_back_though_real_time_is_set_back(real):
    clock = CatchingUpClock(behind=0, speed=2)
    assert clock() == NOW
    real.set_ahead = -50
    assert clock() == NOW
    real.go(60)
    assert clock() == NOW + 10


def test_threads_never_see_it_go_back(together):
    clock = CatchingUpClock(behind=100, speed=1000)

    def look(_):
        seen = [clock() for _ in range(2000)]
        return seen == sorted(seen) and seen[-1] <= time.time()

    assert all(together(look, list(range(4))))


@pytest.mark.parametrize("wrong", [{"behind": -1}, {"speed": 1}, {"speed": float("nan")}])
def test_a_clock_that_would_never_catch_up_is_refused(wrong):
    with pytest.raises(ValueError, match="catches up"):
        CatchingUpClock(**wrong)


def test_a_campaign_of_forty_records_ends_while_the_clock_catches_up_and_calls_by_hand_are_real(caller_of):
    clock = CatchingUpClock(behind=1200, speed=600)
    with Simulator(clock=clock) as sim:
        records = [{"customer_id": f"c{place}", "tel1": f"57300{place:07}"} for place in range(40)]
        sim.add_campaign("40001", records=records, seed=6, started=True)
        assert sim.wait_for(lambda sim: sim.campaign("40001").finished and clock.caught_up, timeout=60)
        seen = sim.campaign("40001")
        assert len(seen.dials) == 40
        assert all(dial.finished <= datetime.now(UTC) for dial in seen.dials)
        before = time.time()
        assert caller_of(sim).aux_call(next(iter(seen.cut.values())).phone).status == 200
        assert before - 1 <= sim.calls[0].at.timestamp() <= time.time()
