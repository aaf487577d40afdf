"""Whatever happens to a batch at whatever moment, each phone rings at most once and nobody is forgotten."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from capabilities import needs_ledger
from counting import functions_called
from interruptions import Interruption, quick_waits
from samples import TOKEN
from task_runner import ProcessKilled, Server, run_try
from test_batch import batch
from test_ledger_interruptions import connection

from airflow_provider_wolkvox import batch as engine
from airflow_provider_wolkvox.api import WolkvoxClient, client, transport
from airflow_provider_wolkvox.ledger import BatchLedger, CallState, batch_key_of
from airflow_provider_wolkvox.operators.aux_call_batch import _World
from airflow_provider_wolkvox.simulator import Simulator

STORE_LIMIT = 65_535


def people(number: int) -> list[dict[str, str]]:
    return [{"agent_id": f"1000{1 + i % 5}", "customer_phone": f"300{i:07d}"} for i in range(number)]


THREE = people(3)


@contextmanager
def wolkvox(monkeypatch):
    with Simulator() as sim:
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", connection(sim))
        yield sim, Server()


class Orderly(Interruption):
    """An interruption of a batch, whose thread looks ahead between a request and its answer: always the same steps."""

    looking: Future | None = None
    timed_out = False

    @contextmanager
    def armed(self):
        posted = threading.Event()
        make = _World.make

        class InTheMiddle(ThreadPoolExecutor):
            def submit(executor, look_ahead, *given):
                def later() -> None:
                    posted.wait(60)
                    look_ahead(*given)

                self.looking = super().submit(later)
                return self.looking

        def let_it_look() -> None:
            posted.set()
            if self.looking:
                wait([self.looking], timeout=60)
            self.looking = None
            posted.clear()
            if self.timed_out:
                self.timed_out = False
                raise AirflowTaskTimeout("Timeout")

        def noted(world, call):
            try:
                return make(world, call)
            finally:
                let_it_look()

        with super().armed(), pytest.MonkeyPatch.context() as patch:
            getresponse = transport.HTTPConnection.getresponse

            def answer(*given, **options):
                let_it_look()
                return getresponse(*given, **options)

            patch.setattr(transport.HTTPConnection, "getresponse", answer)
            patch.setattr(_World, "make", noted)
            patch.setattr(engine, "ThreadPoolExecutor", InTheMiddle)
            yield

    def _strike(self) -> None:
        if self.kind == "execution timeout" and threading.current_thread() is not threading.main_thread():
            # Airflow's alarm goes off in the main thread, whoever works.
            self.timed_out = True
            return
        super()._strike()


def attempt(server, interruption=None, make=None, **how):
    """Run one try; None if its process was killed."""
    interruption = interruption or Interruption("nothing", 0, "before", server)
    make = make or batch(calls=THREE)
    with quick_waits(), interruption.armed():
        try:
            return run_try(make, server, quiet=True, **how)
        except (ProcessKilled, AirflowTaskTimeout):
            return None


def steps_of_a_try(monkeypatch) -> list[str]:
    with wolkvox(monkeypatch) as (_, server):
        watch = Orderly("nothing", 0, "before", server, names=[])
        run = attempt(server, watch)
        assert run.state == "success", run.error
        return watch.names


def forget_results_without_calls(server: Server) -> None:
    """Put aside what `test_a_batch_that_ended_before_its_first_call_is_cleared_and_calls` is about."""
    if not server.store:
        server.xcoms.clear()


@pytest.mark.parametrize("kind", ["kill", "execution timeout", "SIGTERM", "clear", "mark failed"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interruption_at_any_step_rings_nobody_twice_and_forgets_nobody(monkeypatch, kind, when):
    steps = steps_of_a_try(monkeypatch)
    assert steps.count("hand over") == len(THREE)
    for number, name in enumerate(steps, start=1):
        where = f"{kind} {when} step {number}, {name}"
        with wolkvox(monkeypatch) as (sim, server):
            interruption = Orderly(kind, number, when, server)
            attempt(server, interruption, retries=1)
            assert interruption.done, where
            before = server.task_state
            cleared = kind in ("clear", "mark failed", "mark success") or before in ("success", "failed")
            server.ti_id = uuid4()
            forget_results_without_calls(server)
            second = attempt(server, try_number=2, retries=1, max_tries=2 if cleared else 1)
            assert max(sim.rings.values(), default=0) <= 1, where
            assert second.state == "success", f"{where}: {second.error}"
            told = [each["state"] for each in second.xcoms["return_value"]]
            assert set(told) <= {"accepted", "unknown"}, f"{where}: {told}"
            assert told.count("unknown") <= 2, f"{where}: {told}"
            for each, state in zip(THREE, told, strict=True):
                rings = sim.rings[each["customer_phone"]]
                assert rings == 1 or state == "unknown", f"{where}: {told} {sim.rings}"
            assert sim.stats().greatest_simultaneous <= 1, where


def test_a_store_that_is_down_from_any_step_on_rings_nobody_twice(monkeypatch):
    for number, name in enumerate(steps_of_a_try(monkeypatch), start=1):
        with wolkvox(monkeypatch) as (sim, server):
            attempt(server, Orderly("nothing", 0, "before", server, store_fails_from=number), retries=1)
            server.store_down = False
            server.ti_id = uuid4()
            forget_results_without_calls(server)
            second = attempt(server, try_number=2, retries=1, max_tries=2)
            assert second.state == "success", f"{name}: {second.error}"
            assert max(sim.rings.values()) == 1, name
            told = [each["state"] for each in second.xcoms["return_value"]]
            assert told.count("unknown") <= 2, f"{name}: {told}"


# Chunks


@needs_ledger
@pytest.mark.parametrize("number", [98, 99, 100, 101, 199, 201])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_near_a_chunks_end_rings_nobody_twice(monkeypatch, number, when):
    calls = people(250)
    with wolkvox(monkeypatch) as (sim, server):
        written = 0

        def kill(message, moment):
            nonlocal written
            written += type(message).__name__ == "SetTaskStateStore" and moment == when
            if written >= number:
                raise ProcessKilled

        server.on_message = kill
        with pytest.raises(ProcessKilled):
            run_try(batch(calls=calls), server, retries=1, quiet=True)
        server.on_message = lambda message, moment: None
        second = run_try(batch(calls=calls), server, try_number=2, retries=1, quiet=True)
        assert second.state == "success", second.error
        assert max(sim.rings.values()) == 1
        told = [each["state"] for each in second.xcoms["return_value"]]
        assert told.count("unknown") <= 2
        assert told.count("accepted") >= 248
        third = run_try(batch(calls=calls[::-1]), server, try_number=3, max_tries=3, quiet=True)
        assert third.state == "success", third.error
        assert max(sim.rings.values()) == 1
        assert all(len(json.dumps(value)) < STORE_LIMIT for value in server.store.values())


class Store:
    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.fails = 0

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value, *, retention=None):
        if self.fails:
            self.fails -= 1
            raise OSError("the store is down")
        self.kept[key] = json.dumps(value)

    @property
    def longest(self) -> int:
        return max(map(len, self.kept.values()))


@needs_ledger
@pytest.mark.parametrize("letter", ["ñ", "\N{TELEPHONE RECEIVER}"], ids=["n tilde", "emoji"])
def test_a_chunk_of_the_longest_reasons_outside_ascii_stays_under_the_stores_limit(letter):
    store = Store()
    ledger = BatchLedger(store, 1)
    for number in range(250):
        entry = ledger.entry(
            CallState.NOT_SENT, datetime.now(UTC), agent_id="1" * 20, phone="***0801", conn_id="", reason=letter * 500
        )
        ledger.write({ledger.customer(str(number)): entry})
    assert store.longest < STORE_LIMIT


@needs_ledger
@pytest.mark.parametrize("skipped", [1_000])
def test_many_lines_at_once_are_written_in_chunks(skipped):
    store = Store()
    ledger = BatchLedger(store, 1)
    entry = ledger.entry(CallState.NOT_SENT, datetime.now(UTC), agent_id="10001", phone="***0801", reason="x" * 120)
    ledger.write({ledger.customer(str(number)): entry for number in range(skipped)})
    assert store.longest < STORE_LIMIT
    assert len(BatchLedger(store, 2).read()) == skipped


def test_a_batch_that_skips_many_stays_under_the_stores_limit(monkeypatch):
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    calls = [*({**call, "call_before": past} for call in people(700)), *people(702)[700:]]
    with wolkvox(monkeypatch) as (_, server):
        run = run_try(batch(calls=calls), server, quiet=True)
        assert run.state == "success", run.error
        assert max(len(json.dumps(value)) for value in server.store.values()) < STORE_LIMIT


@needs_ledger
def test_a_write_that_failed_leaves_no_gap_between_chunks():
    store = Store()
    ledger = BatchLedger(store, 1)
    entry = ledger.entry(CallState.ACCEPTED, datetime.now(UTC), agent_id="10001", phone="***0801", conn_id="x")
    ledger.write({ledger.customer(str(number)): entry for number in range(100)})
    store.fails = 1
    with pytest.raises(OSError, match="down"):
        ledger.write({ledger.customer(str(number)): entry for number in range(100, 103)})
    ledger.write({ledger.customer(str(number)): entry for number in range(103, 203)})
    assert batch_key_of(0) in store.kept
    # All that the store has taken, and no more.
    assert len(BatchLedger(store, 2).read()) == 200


# While it waits


def in_a_wait(monkeypatch, happen) -> None:
    """Let something happen once, in the middle of the batch's first wait."""
    happenings = iter([happen])

    def sleep(seconds: float) -> None:
        next(happenings, lambda: None)()
        time.sleep(seconds)

    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))


def signalled(number: signal.Signals):
    return lambda: signal.raise_signal(number)


# A wait of an hour is longer than a test may take: only what happens can end it.


def test_who_is_killed_during_pace_is_retried_like_who_is_killed_during_a_call(monkeypatch, own_sigterm):
    with wolkvox(monkeypatch) as (sim, server):
        in_a_wait(monkeypatch, signalled(signal.SIGTERM))
        run = run_try(batch(calls=THREE, pace=timedelta(hours=1)), server, retries=1)
        assert sum(sim.rings.values()) == 1
        assert run.state == "up_for_retry"


def test_who_is_killed_while_it_waits_for_agents_ends_at_once(monkeypatch, own_sigterm):
    with wolkvox(monkeypatch) as (sim, server):
        for agent in sim.agents:
            sim.change_agent(agent.agent_id, on_call=True)
        in_a_wait(monkeypatch, signalled(signal.SIGTERM))
        make = batch(calls=THREE, wait_for_agents=True, agent_timeout=timedelta(hours=1))
        run = run_try(make, server, retries=1)
        assert run.state in ("failed", "up_for_retry")
        assert not sim.rings


@pytest.mark.parametrize("what", ["stop switch", "clear"])
def test_what_happens_during_pace_is_seen_before_the_next_request(monkeypatch, what):
    with wolkvox(monkeypatch) as (sim, server):

        def happen() -> None:
            if what == "stop switch":
                server.variables["wolkvox_stop"] = "true"
            else:
                server.ti_id, server.task_state = uuid4(), None

        in_a_wait(monkeypatch, happen)
        # Longer than what was looked at ahead may be taken for the present.
        run_try(batch(calls=THREE, pace=timedelta(seconds=1.5)), server)
        assert sum(sim.rings.values()) == 1


def test_the_stop_switch_holds_for_what_is_sent_again(monkeypatch):
    with wolkvox(monkeypatch) as (sim, server):

        def stopped_meanwhile(resend, attempt) -> float:
            server.variables["wolkvox_stop"] = "true"
            return 0.01

        monkeypatch.setattr(client.Resend, "wait_after", stopped_meanwhile)
        sim.fault("busy", api="aux_call", times=1)
        run_try(batch(calls=THREE[:1]), server)
        assert server.variables
        assert not sim.rings


@needs_ledger
def test_an_execution_timeout_while_it_waits_is_retried_and_goes_on(monkeypatch):
    with wolkvox(monkeypatch) as (sim, server):
        make = batch(calls=THREE, pace=timedelta(hours=1), execution_timeout=timedelta(hours=1))
        # Airflow's own alarm.
        in_a_wait(monkeypatch, signalled(signal.SIGALRM))
        run = run_try(make, server, retries=1)
        assert run.state == "up_for_retry"
        assert sum(sim.rings.values()) == 1
        second = run_try(batch(calls=THREE), server, try_number=2, retries=1)
        assert [each["state"] for each in second.xcoms["return_value"]] == ["accepted"] * 3
        assert set(sim.rings.values()) == {1}


@needs_ledger
@pytest.mark.parametrize("error", [RuntimeError, ValueError, OSError])
def test_an_exception_of_any_kind_after_a_request_leaves_it_in_doubt(monkeypatch, error):
    aux_call, raised = WolkvoxClient.aux_call, []

    def fails_after_the_reply(self, *given, **around):
        made = aux_call(self, *given, **around)
        if not raised:
            raised.append(True)
            raise error("in a hook of somebody's own")
        return made

    with wolkvox(monkeypatch) as (sim, server):
        monkeypatch.setattr(WolkvoxClient, "aux_call", fails_after_the_reply)
        first = run_try(batch(calls=THREE), server, retries=1)
        assert first.state in ("failed", "up_for_retry")
        second = run_try(batch(calls=THREE), server, try_number=2, max_tries=1)
        assert second.state == "success", second.error
        assert max(sim.rings.values()) == 1
        assert second.xcoms["summary"]["unknown"] == 1


# Secrecy


def test_no_token_and_no_whole_number_is_said_anywhere(
    simulator, wolkvox_connection, everything_said, tmp_path, quick_resends
):
    server = Server()
    calls = [*people(8), {"agent_id": "3005550801", "customer_phone": "300 555 0801 ext 2"}]
    numbers = [call["customer_phone"] for call in people(8)] + ["3005550801"]
    simulator.fault("drop_after_ringing", api="aux_call", after=1)
    simulator.fault("reply", api="aux_call", after=2, body={"code": "404", "error": numbers[3], "msg": numbers[3]})
    simulator.fault("garbage_body", api="aux_call", after=3)
    simulator.fault("bad_token", api="aux_call", after=4)
    simulator.remove_agent("10001")
    report = tmp_path / "report.html"
    run = run_try(
        batch(calls=calls, on_unknown="look_up", look_up_timeout=timedelta(0), report_path=str(report)), server
    )
    kept = json.dumps([server.store, {key: value for key, value in run.xcoms.items() if key != "left"}])
    # Airflow's own log of debug level holds the XCom that it pushes, and `left` is made of calls.
    said = "\n".join(line for line in everything_said().splitlines() if "SetXCom" not in line)
    said += kept + repr(run.error) + report.read_text()
    assert TOKEN not in said
    assert not [number for number in numbers if number in said]


def test_an_instant_that_is_a_number_by_mistake_is_not_repeated(simulator, wolkvox_connection):
    calls = [{**THREE[0], "call_before": THREE[0]["customer_phone"]}]
    run = run_try(batch(calls=calls), Server())
    assert run.state == "failed"
    assert THREE[0]["customer_phone"] not in str(run.error)


def test_a_thousand_calls_of_the_real_task_cost_ten_times_as_much_as_a_hundred(monkeypatch):
    class Made:
        conn_id = "x"
        accepted_at = datetime.now(UTC)

    monkeypatch.setattr(WolkvoxClient, "aux_call", lambda *given, **around: around["before_sending"]() or Made)
    with wolkvox(monkeypatch) as (_, server):

        def cost(number: int) -> int:
            server.store.clear()
            server.messages.clear()
            runs = []
            counted = functions_called(lambda: runs.append(run_try(batch(calls=people(number)), server, quiet=True)))
            assert runs[0].state == "success"
            return counted

        # What a try costs without a call is in both.
        assert cost(1_000) - cost(0) < 12 * (cost(100) - cost(0))
