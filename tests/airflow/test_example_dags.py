"""Every file in example_dags/, tested as its user would: the plugin's fixtures, `dag.test()`, and counted rings."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from airflow_provider_wolkvox.simulator import CallResult, CatchingUpClock

pytestmark = [pytest.mark.usefixtures("migrated_database", "own_sigterm"), pytest.mark.timeout(900)]

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "example_dags").glob("*.py"))
CAMPAIGN = "32841"
AREAS = ("north", "south", "east", "west")


def load(name: str) -> ModuleType:
    """Import an example from Airflow's DAG folder: `dag.test()` on 3.3 wants its file there."""
    [example] = [file for file in EXAMPLES if file.stem == name]
    file = shutil.copy(example, os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def dag_of():
    """Return an example's DAG by its file's name, with sensors that look every second."""

    def of(name: str):
        dag = getattr(load(name), name)()
        for task in dag.tasks:
            if hasattr(task, "poke_interval"):
                task.poke_interval = 1.0
        return dag

    return of


def states(run) -> dict[str, str]:
    return {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in run.get_task_instances()}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_a_dag_of_its_files_name(example):
    from airflow.providers.common.compat.sdk import DAG

    module = load(example.stem)
    dag = getattr(module, example.stem)()
    assert isinstance(dag, DAG)
    assert dag.dag_id == example.stem
    assert dag.tasks
    assert (module.__doc__ or "").strip()


RUN_BELOW = {
    "wolkvox_agent_station",
    "wolkvox_aux_call",
    "wolkvox_callbacks_by_token",
    "wolkvox_retry_after_campaign",
    "wolkvox_taskflow",
}


def test_every_example_that_rings_phones_is_run_here():
    from airflow_provider_wolkvox.operators.calling import CallingOperator

    def rings(task) -> bool:
        return issubclass(getattr(task, "operator_class", type(task)), CallingOperator)

    ringing = {
        example.stem for example in EXAMPLES if any(map(rings, getattr(load(example.stem), example.stem)().tasks))
    }
    assert ringing == RUN_BELOW


def test_one_and_three_customers_are_rung_once_each(wolkvox_simulator, wolkvox_connection, dag_of):
    run = dag_of("wolkvox_aux_call").test()
    assert run.state == "success", states(run)
    assert wolkvox_simulator.rings == {f"300555010{n}": 1 for n in (1, 2, 3, 4)}
    assert {call.agent_id for call in wolkvox_simulator.calls} == {"10001", "10002", "10003", "10004"}
    assert wolkvox_simulator.stats().greatest_simultaneous == 1


def test_a_lost_answer_fails_the_run_and_rings_nobody_twice(wolkvox_simulator, wolkvox_connection, dag_of):
    wolkvox_simulator.fault("drop_after_ringing", phone="3005550103")
    run = dag_of("wolkvox_aux_call").test()
    assert run.state == "failed"
    assert [task for task, state in states(run).items() if state == "failed"] == ["call_three_customers[1]"]
    assert wolkvox_simulator.rings == {f"300555010{n}": 1 for n in (1, 2, 3, 4)}


def test_each_token_rings_the_customers_of_its_own_connection(wolkvox_simulator, wolkvox_connect, dag_of):
    callbacks = [
        {
            "wolkvox_conn_id": wolkvox_connect(f"wolkvox_{area}"),
            "agent_id": "10001",
            "customer_phone": f"300555{n}{k}00",
        }
        for n, area in enumerate(AREAS)
        for k in range(3)
    ]
    run = dag_of("wolkvox_callbacks_by_token").test(run_conf={"callbacks": callbacks})
    assert run.state == "success", states(run)
    assert wolkvox_simulator.rings == {callback["customer_phone"]: 1 for callback in callbacks}
    assert [wolkvox_simulator.stats(token).requests for token in wolkvox_simulator.tokens] == [3, 3, 3, 3]


def test_who_has_a_number_is_rung_once_by_the_agent_whom_a_function_names(
    wolkvox_simulator, wolkvox_connection, dag_of
):
    run = dag_of("wolkvox_taskflow").test()
    assert run.state == "success", states(run)
    assert wolkvox_simulator.rings == {f"300555011{n}": 1 for n in (0, 1, 2)}


def test_a_callback_whose_connection_has_no_lane_fails_the_run_before_anybody_is_called(
    wolkvox_simulator, wolkvox_connect, dag_of
):
    known, unknown = wolkvox_connect("wolkvox_north"), wolkvox_connect("wolkvox_centre")
    callbacks = [
        {"wolkvox_conn_id": conn_id, "agent_id": "10001", "customer_phone": phone}
        for conn_id, phone in ((known, "3005550701"), (unknown, "3005550702"))
    ]
    run = dag_of("wolkvox_callbacks_by_token").test(run_conf={"callbacks": callbacks})
    assert run.state == "failed"
    assert not wolkvox_simulator.rings


class TestAtAStation:
    @pytest.fixture
    def wolkvox_simulator_options(self):
        """A customer who answers at once and talks until the agent hangs up."""
        return {"call_results": CallResult.of("ANSWER", ring_seconds=0, talk_seconds=3600)}

    def test_a_customer_is_rung_once_and_no_recall_is_left(self, wolkvox_simulator, wolkvox_connection, dag_of):
        wolkvox_simulator.add_campaign("40001", records=[{"customer_id": "c0", "tel1": "3005550801"}])

        run = dag_of("wolkvox_agent_station").test()

        assert run.state == "success", states(run)
        assert wolkvox_simulator.rings == {"3005550801": 1}
        assert wolkvox_simulator.station("10001").status == "2"
        assert not wolkvox_simulator.recalls


class TestAfterACampaign:
    @pytest.fixture
    def wolkvox_simulator_options(self):
        """Four hours ago, and back to now within seconds: time enough for a campaign."""
        return {"clock": CatchingUpClock(behind=4 * 3600, speed=4000)}

    @pytest.fixture
    def sensors_on_sqlite(self, monkeypatch):
        """Airflow 2.11 looks at the executor's name before it runs a sensor again, and wants this one with SQLite."""
        from airflow import __version__

        if __version__.startswith("2."):
            monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor")

    def test_a_call_that_failed_fails_the_run_although_the_outcomes_of_the_others_are_told(
        self, sensors_on_sqlite, wolkvox_simulator, wolkvox_connection, dag_of
    ):
        customers = [{"customer_id": str(n), "tel1": f"30055506{n:02}"} for n in range(60)]
        wolkvox_simulator.add_campaign(CAMPAIGN, records=customers, seed=20261122, started=True)
        assert wolkvox_simulator.wait_for(lambda sim: sim.campaign(CAMPAIGN).finished)
        wolkvox_simulator.fault("drop_after_ringing", api="aux_call")
        wolkvox_simulator.fault("parameters_missing", api="aux_call")

        run = dag_of("wolkvox_retry_after_campaign").test()

        assert run.state == "failed"
        told = states(run)
        assert told["outcomes[-1]"] == told["summary[-1]"] == "success"
        [counts] = [ti.xcom_pull("summary") for ti in run.get_task_instances() if ti.task_id == "summary"]
        assert (counts["refused"], counts["in doubt"]) == (1, 1)
        in_all = sum(counts["called back"].values()) + sum(counts["not called back"].values()) + 2
        assert in_all == len(wolkvox_simulator.campaign(CAMPAIGN).dials)
        assert max(wolkvox_simulator.rings.values()) == 1

    def test_each_customer_who_hung_up_early_is_rung_once_by_the_agent_who_had_the_call(
        self, sensors_on_sqlite, wolkvox_simulator, wolkvox_connection, dag_of
    ):
        customers = [{"customer_id": str(n), "tel1": f"30055506{n:02}"} for n in range(20)]
        wolkvox_simulator.add_campaign(CAMPAIGN, records=customers, seed=20261122, started=True)
        assert wolkvox_simulator.wait_for(lambda sim: sim.campaign(CAMPAIGN).finished)

        run = dag_of("wolkvox_retry_after_campaign").test()

        assert run.state == "success", states(run)
        lost = {
            dial.phone: dial.agent_id
            for dial in wolkvox_simulator.campaign(CAMPAIGN).cut.values()
            if dial.what.result == "ANSWER" and dial.what.hang_up == "customer" and dial.what.talk_seconds < 30
        }
        assert lost
        assert wolkvox_simulator.rings == Counter(lost.keys())
        assert {call.phone: call.agent_id for call in wolkvox_simulator.calls} == lost


def test_the_summary_of_a_campaign_counts_each_customer_once(dag_of):
    results = [{"result": "ANSWER"}] * 30 + [{"result": "BUSY"}] * 8
    told = dag_of("wolkvox_retry_after_campaign").get_task("summary").python_callable({"length": 20}, 41, results, 2)
    assert told == {
        "called back": {"ANSWER": 30, "BUSY": 8},
        "refused": 2,
        "in doubt": 1,
        "not called back": {"length": 20},
    }


def test_the_summary_of_several_tokens_counts_each_call_once_and_fails_for_one_of_unknown_outcome(dag_of):
    summary = dag_of("wolkvox_callbacks_by_token").get_task("summary").python_callable
    counts = {"accepted": 30, "refused": 2, "unknown": 0, "skipped": 5, "not_sent": 1, "left": 2}
    assert sum(summary(counts, counts).values()) == 80
    with pytest.raises(ValueError, match="unknown"):
        summary(counts, {**counts, "unknown": 1})


def test_a_test_run_with_the_real_wolkvox_rings_nobody(set_connection, dag_of, everything_said):
    # The token is of no form, so that nothing is sent here in any case.
    set_connection(password="no token")

    assert dag_of("wolkvox_aux_call").test().state == "failed"
    assert "This is a test run" in everything_said()
