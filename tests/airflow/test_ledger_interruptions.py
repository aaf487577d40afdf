"""Whatever happens to a task at whatever moment, the customer's phone rings at most once."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from capabilities import needs_ledger
from interruptions import Interruption, quick_waits
from task_runner import ProcessKilled, Run, Server, run_try

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.simulator import Simulator

PHONE = "3005550101"
KINDS = ("kill", "execution timeout", "SIGTERM", "clear", "mark failed", "mark success")


def call(dag, **arguments):
    return AuxCallOperator(**{"task_id": "task", "agent_id": "10001", "customer_phone": PHONE, **arguments})


@contextmanager
def one_call(monkeypatch):
    """A wolkvox, a connection to it, and a server that knows one task instance."""
    with Simulator() as sim:
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", connection(sim))
        yield sim, Server()


def attempt(server: Server, interruption: Interruption | None = None, make=call, **how) -> Run | None:
    """Run one try; None if its process was killed."""
    interruption = interruption or Interruption("nothing", 0, "before", server)
    with quick_waits(), interruption.armed():
        try:
            return run_try(make, server, **how)
        except (ProcessKilled, AirflowTaskTimeout):
            # A timeout in the runner's own last messages ends the process as well.
            return None


def steps_of_a_try(monkeypatch) -> list[str]:
    with one_call(monkeypatch) as (_, server):
        watch = Interruption("nothing", 0, "before", server, names=[])
        assert attempt(server, watch).state == "success"
        return watch.names


@needs_ledger
def test_the_intent_is_written_before_the_request_and_the_answer_before_xcom(monkeypatch):
    assert [step for step in steps_of_a_try(monkeypatch) if step not in ("MaskSecret", "SetRenderedFields")] == [
        "GetTaskStateStore",
        # Whether all calling was stopped, here and right before the intent.
        "GetVariable",
        "connect",
        "GetTaskStates",
        "GetVariable",
        "SetTaskStateStore:intent",
        "hand over",
        "await answer",
        "read envelope",
        "SetTaskStateStore:accepted",
        # Whether the process is still the task's, before it reports.
        "GetTaskStates",
        "SetXCom",
        "SetXCom",
        "SucceedTask",
    ]


@needs_ledger
@pytest.mark.parametrize("kind", KINDS)
def test_an_interruption_at_any_step_leaves_at_most_one_ring_and_never_silence_without_a_reason(monkeypatch, kind):
    steps = steps_of_a_try(monkeypatch)
    tally = {}
    for when in ("before", "after"):
        for number, name in enumerate(steps, start=1):
            with one_call(monkeypatch) as (sim, server):
                interruption = Interruption(kind, number, when, server)
                first = attempt(server, interruption, retries=1)
                assert interruption.done, f"{when} {name} was never reached"

                # What Airflow does next: a new process, with a new id of the task instance, for a retry
                # or after the clear that follows every other way to end.
                seen_before = server.task_state
                cleared = kind in ("clear", "mark failed", "mark success") or seen_before in ("success", "failed")
                server.ti_id = uuid4()
                second = attempt(server, try_number=2, retries=1, max_tries=2 if cleared else 1)

                rings = sim.rings[PHONE]
                where = f"{kind} {when} {name}"
                assert rings <= 1, where
                assert second.state in ("success", "failed"), where
                if second.state == "success":
                    assert rings == 1, where
                    assert second.xcoms["conn_id"] == sim.calls[0].conn_id, where
                else:
                    assert "phone" in str(second.error), f"{where}: no reason given"
                tally[where] = (first and first.state, second.state, rings)
    # The interruptions are no use as a test if none of them ever came between request and answer.
    assert any(rings == 1 and state == "success" for _, state, rings in tally.values())
    if kind in ("kill", "execution timeout", "clear"):
        assert any(rings == 1 and state == "failed" for _, state, rings in tally.values())


@needs_ledger
@pytest.mark.parametrize(
    ("fault", "rings"),
    [("drop_after_ringing", 1), ("drop_after_reading", 0), ("garbage_body", 1), ("server_error", 1), ("cut_body", 1)],
)
def test_an_unknown_outcome_is_never_called_again_however_often_the_task_is_run(monkeypatch, fault, rings):
    with one_call(monkeypatch) as (sim, server):
        sim.fault(fault)
        for number in (1, 2, 3):
            result = attempt(server, try_number=number, retries=3)
            assert result.state == "failed"
            assert "outcome of this call is unknown" in str(result.error)
            assert "airflow wolkvox release callbacks manual__1 task" in str(result.error)
        assert sim.rings[PHONE] == rings
        assert sim.stats(sim.token).requests == 1


@needs_ledger
def test_a_task_that_succeeded_and_is_cleared_returns_the_same_conn_id_and_rings_nobody(monkeypatch, caplog):
    with one_call(monkeypatch) as (sim, server):
        first = attempt(server)
        second = attempt(server, try_number=2, max_tries=1)
        assert first.state == second.state == "success"
        assert first.xcoms["return_value"] == second.xcoms["return_value"] == second.xcoms["conn_id"]
        assert sim.rings == {PHONE: 1}
        assert sim.stats(sim.token).requests == 1


@needs_ledger
@pytest.mark.parametrize(
    ("fault", "times"),
    [("busy", 4), ("api_off", 1)],
)
def test_a_refusal_that_passes_goes_to_airflows_retry_and_the_retry_calls(monkeypatch, fault, times):
    with one_call(monkeypatch) as (sim, server):
        sim.fault(fault, times=times)
        first = attempt(server, retries=1)
        assert first.state == "up_for_retry"
        assert server.store["wolkvox_call"]["state"] == "refused"
        assert attempt(server, try_number=2, retries=1).state == "success"
        assert sim.rings == {PHONE: 1}


@needs_ledger
def test_what_was_not_sent_goes_to_airflows_retry_and_the_retry_calls(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        sim.stop()
        first = attempt(server, retries=1)
        assert first.state == "up_for_retry"
        assert "no phone rang" in str(first.error)
        assert server.store["wolkvox_call"]["state"] == "not_sent"
        sim.start()
        assert attempt(server, try_number=2, retries=1).state == "success"
        assert sim.rings == {PHONE: 1}


@pytest.mark.parametrize("fault", ["quota", "bad_token", "no_such_api"])
def test_any_other_refusal_fails_at_once_although_retries_are_left(monkeypatch, fault):
    with one_call(monkeypatch) as (sim, server):
        sim.fault(fault)
        result = attempt(server, retries=3)
        assert result.state == "failed"
        assert "no phone rang" in str(result.error)
        assert server.store["wolkvox_call"]["state"] == "refused"
        assert not sim.rings


@needs_ledger
def test_a_kill_while_waiting_for_a_busy_token_leaves_a_refusal_and_not_an_open_intent(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        sim.fault("busy", times=1)
        names = []
        watch = Interruption("nothing", 0, "before", server, names=names)
        attempt(server, watch, try_number=1)
        first_refusal = names.index("SetTaskStateStore:refused") + 1
    with one_call(monkeypatch) as (sim, server):
        sim.fault("busy", times=1)
        assert attempt(server, Interruption("kill", first_refusal, "after", server), retries=1) is None
        assert server.store["wolkvox_call"]["state"] == "refused"
        assert attempt(server, try_number=2, retries=1).state == "success"
        assert sim.rings == {PHONE: 1}


@needs_ledger
@pytest.mark.parametrize("down_at", ["GetTaskStateStore", "SetTaskStateStore:intent"])
def test_without_its_store_a_task_calls_nobody(monkeypatch, down_at):
    with one_call(monkeypatch) as (sim, server):
        names = steps_of_a_try(monkeypatch)
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", connection(sim))
        watch = Interruption("nothing", 0, "before", server, store_fails_from=names.index(down_at) + 1)
        assert attempt(server, watch, retries=1).state == "up_for_retry"
        assert not sim.rings
        server.store_down = False
        assert attempt(server, try_number=2, retries=1).state == "success"
        assert sim.rings == {PHONE: 1}


@needs_ledger
def test_an_accepted_call_succeeds_although_its_store_is_gone_and_is_never_repeated(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        names = steps_of_a_try(monkeypatch)
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", connection(sim))
        watch = Interruption(
            "nothing", 0, "before", server, store_fails_from=names.index("SetTaskStateStore:accepted") + 1
        )
        first = attempt(server, watch)
        assert first.state == "success"
        assert first.xcoms["conn_id"] == sim.calls[0].conn_id
        server.store_down = False
        second = attempt(server, try_number=2, max_tries=1)
        assert second.state == "failed"
        assert "unknown" in str(second.error)
        assert sim.rings == {PHONE: 1}


@needs_ledger
@pytest.mark.parametrize("cleared", [True, False])
def test_a_new_map_index_of_a_cleared_run_refuses_since_the_list_may_have_shifted(monkeypatch, cleared):
    def mapped(ti):
        ti.map_index = 2
        ti._ti_context_from_server.dag_run.clear_number = int(cleared)

    with one_call(monkeypatch) as (sim, server):
        run = attempt(server, around=mapped)
        if not cleared:
            assert (run.state, sim.rings) == ("success", {PHONE: 1})
            return
        assert run.state == "failed"
        assert "who stood at map index 2 before may stand at another one now" in str(run.error)
        assert "A ledger in SQL would know" in str(run.error)
        assert not sim.rings
        # Whom a ledger in SQL knows by name is called, or is not.
        assert attempt(server, around=mapped, make=lambda dag: call(dag, allow_second_try=True)).state == "success"


@pytest.mark.parametrize("traces", ["result in XCom", "clear_on_success", "newer Airflow"])
def test_a_cleared_task_whose_ledger_was_wiped_refuses_unless_its_author_allows_a_second_try(monkeypatch, traces):
    with one_call(monkeypatch) as (sim, server):
        assert attempt(server).state == "success"
        server.store.clear()
        if traces != "result in XCom":
            server.xcoms.clear()
        if traces == "clear_on_success":
            monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
        if traces == "newer Airflow":
            monkeypatch.setattr(airflow, "__version__", "3.4.0")
        left = dict(server.xcoms)
        second = attempt(server, try_number=2, max_tries=1)
        assert second.state == "failed"
        assert {"result in XCom": "XCom", "newer Airflow": "3.4.0"}.get(traces, traces) in str(second.error)
        assert "allow_second_try=True" in str(second.error)
        assert sim.rings == {PHONE: 1}
        server.xcoms |= left
        allowed = attempt(server, make=lambda dag: call(dag, allow_second_try=True), try_number=3, max_tries=2)
        assert allowed.state == "success"
        assert sim.rings == {PHONE: 2}


def test_a_task_that_failed_before_it_could_call_is_cleared_and_calls(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        broken = attempt(server, make=lambda dag: call(dag, wolkvox_conn_id="not_there"))
        assert broken.state == "failed"
        # Neither this one nor the next comes so far that there is anything to remember.
        assert not server.store
        unrendered = attempt(server, make=lambda dag: call(dag, call_before="{{ 1 / 0 }}"), try_number=2, max_tries=1)
        assert unrendered.state == "failed"
        assert not server.store
        assert attempt(server, try_number=3, max_tries=2).state == "success"
        assert sim.rings == {PHONE: 1}


@pytest.mark.parametrize("error", [RuntimeError, ValueError, OSError])
def test_an_exception_of_any_kind_after_the_request_leaves_the_outcome_unknown(monkeypatch, error):
    class FailsAfterTheReply(AuxCallOperator):
        def ring(self, **around):
            super().ring(**around)
            raise error("in an operator of somebody's own")

    def failing(dag):
        return FailsAfterTheReply(task_id="task", agent_id="10001", customer_phone=PHONE)

    with one_call(monkeypatch) as (sim, server):
        attempt(server, make=failing, retries=2)
        assert server.store["wolkvox_call"]["state"] == "intent"
        second = attempt(server, try_number=2, retries=2)
        assert second.state == "failed"
        assert "unknown" in str(second.error)
        assert attempt(server, try_number=3, retries=2, max_tries=4).state == "failed"
        assert sim.rings == {PHONE: 1}


@pytest.mark.parametrize("map_index", [0, 7])
def test_the_way_to_ring_on_purpose_names_the_mapped_task(monkeypatch, map_index):
    with one_call(monkeypatch) as (_, server):
        assert attempt(server).state == "success"
        server.store["wolkvox_call"]["state"] = "intent"
        result = attempt(server, try_number=2, retries=1, around=lambda ti: setattr(ti, "map_index", map_index))
        assert f"release callbacks manual__1 task {map_index} --yes" in str(result.error)


@needs_ledger
def test_a_retry_after_a_try_that_died_before_it_wrote_anything_calls(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        assert attempt(server, Interruption("kill", 1, "before", server), retries=1) is None
        assert attempt(server, try_number=2, retries=1).state == "success"
        assert sim.rings == {PHONE: 1}


def test_an_entry_that_cannot_be_read_stops_the_call(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        server.store["wolkvox_call"] = {"state": "who knows"}
        result = attempt(server)
        assert result.state == "failed"
        assert "cannot be read" in str(result.error)
        assert not sim.rings


def test_before_3_3_a_later_try_refuses_and_says_why_unless_its_author_allows_it(monkeypatch):
    def older(ti):
        # Before 3.3 the context has no store.
        context = ti.get_template_context()
        context.pop("task_state_store", None)

    with one_call(monkeypatch) as (sim, server):
        assert attempt(server, around=older).state == "success"
        second = attempt(server, try_number=2, retries=1, around=older)
        assert second.state == "failed"
        assert "before 3.3" in str(second.error)
        assert sim.rings == {PHONE: 1}
        make = lambda dag: call(dag, allow_second_try=True)  # noqa: E731
        assert attempt(server, make=make, try_number=2, retries=1, around=older).state == "success"
        assert sim.rings == {PHONE: 2}


@pytest.mark.parametrize(
    "late",
    [
        {"due": datetime.now(UTC) - timedelta(hours=24)},
        {"arguments": {"max_age": timedelta(minutes=5)}, "due": datetime.now(UTC) - timedelta(minutes=5)},
        {"arguments": {"max_age": None, "call_before": datetime.now(UTC)}},
        {"arguments": {"call_before": "{{ '2026-01-01 08:00:00-05:00' }}"}},
        {"arguments": {"call_before": "{{ 'tomorrow' }}"}},
    ],
)
def test_a_late_call_rings_nobody_and_leaves_its_reason_in_log_and_ledger(monkeypatch, late):
    with one_call(monkeypatch) as (sim, server):
        arguments = late.pop("arguments", {})
        result = attempt(server, make=lambda dag: call(dag, **arguments), retries=3, **late)
        assert result.state == "failed"
        assert "No phone rang" in str(result.error)
        assert server.store["wolkvox_call"]["reason"] in str(result.error)
        assert sim.stats(sim.token).requests == 0


def test_max_age_none_lets_an_old_run_call(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        due = datetime.now(UTC) - timedelta(days=30)
        assert attempt(server, make=lambda dag: call(dag, max_age=None), due=due).state == "success"
        assert sim.rings == {PHONE: 1}


def test_no_token_and_no_whole_number_reaches_ledger_xcom_or_error(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        sim.fault("drop_after_ringing")
        result = attempt(server)
        kept = f"{server.store} {server.xcoms} {result.error!r} {result.error.__cause__!r}"
        assert server.store["wolkvox_call"]["phone"] == "***0101"
        assert sim.token not in kept
        assert PHONE not in kept


def connection(sim: Simulator) -> str:
    return (
        f'{{"conn_type": "wolkvox", "host": "0042", "password": "{sim.token}", '
        f'"extra": {{"base_url": "{sim.base_url}", "total_timeout": 60}}}}'
    )
