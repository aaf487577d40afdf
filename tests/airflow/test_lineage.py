"""What OpenLineage's own provider makes of our tasks."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import task
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.utils.state import TaskInstanceState
from openlineage.client.serde import Serde
from samples import AGENT, PHONE, TOKEN
from task_runner import RUN_ID, Server, run_try

from airflow_provider_wolkvox.assets import campaign_finished
from airflow_provider_wolkvox.calling import Rules
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator
from airflow_provider_wolkvox.sensors.wolkvox import CampaignFinishedSensor
from airflow_provider_wolkvox.simulator import Simulator

CAMPAIGN = "32841"
SERVER = "wolkvox://0042"


@pytest.fixture
def day(monkeypatch, set_connection):
    """A wolkvox after a campaign's day."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    clock = SimpleNamespace(behind=7000.0)
    with Simulator(tokens=[TOKEN], clock=lambda: time.time() - clock.behind, cut_calls=False) as running:
        set_connection(extra={"base_url": running.base_url})
        records = [{"customer_id": str(number), "tel1": f"31{number:08}"} for number in range(60)]
        running.add_campaign(CAMPAIGN, records=records, started=True, seed=11)
        clock.behind = 0.0
        assert running.campaign(CAMPAIGN).finished
        yield running


def lineage(make_operator, *, mapped=False, expected="success"):
    """Run a task and return what the provider extracts of it, as it would send it; and the run."""
    ended = []

    def around(ti):
        ti.map_index = 0 if mapped else -1
        ended.append(ti)

    run = run_try(make_operator, Server(), around=around)
    assert run.state == expected, run.error
    [ti] = ended
    state = TaskInstanceState.SUCCESS if expected == "success" else TaskInstanceState.FAILED
    extracted = ExtractorManager().extract_metadata(
        dagrun=SimpleNamespace(run_id=RUN_ID), task=ti.task, task_instance_state=state, task_instance=ti
    )
    return extracted, run


def names(datasets) -> list[str]:
    return [f"{dataset.namespace}/{dataset.name}" for dataset in datasets]


def rows(extracted) -> int:
    [dataset] = extracted.outputs
    return dataset.outputFacets["outputStatistics"].rowCount


def callbacks(dag=None):
    since = "{{ (data_interval_end - macros.timedelta(hours=2)).isoformat() }}"
    return CampaignCallbacksOperator(
        task_id="callbacks", campaign_id=CAMPAIGN, since=since, rules=Rules(shorter_than=20, hung_up_by="customer")
    )


def test_the_sensor_reads_its_campaign(day):
    extracted, _ = lineage(lambda dag: CampaignFinishedSensor(task_id="finished", campaign_id=CAMPAIGN))
    assert names(extracted.inputs) == [f"{SERVER}/campaigns/{CAMPAIGN}"]
    assert extracted.outputs == []


def test_the_sensor_writes_what_it_tells_of(day):
    outlets = [campaign_finished("0042", CAMPAIGN)]
    extracted, _ = lineage(lambda dag: CampaignFinishedSensor(task_id="end", campaign_id=CAMPAIGN, outlets=outlets))
    assert names(extracted.outputs) == [f"{SERVER}/campaigns/{CAMPAIGN}/finished"]


def test_callbacks_come_from_the_campaign_and_are_counted(day):
    extracted, run = lineage(callbacks)
    assert names(extracted.inputs) == [f"{SERVER}/campaigns/{CAMPAIGN}"]
    assert names(extracted.outputs) == [f"{SERVER}/callbacks/callbacks.callbacks"]
    assert rows(extracted) == len(run.xcoms["return_value"]) > 0


def one_call(**arguments):
    return AuxCallOperator(task_id="call", agent_id=AGENT, customer_phone=PHONE, calling_hours=None, **arguments)


@pytest.mark.parametrize(
    ("define", "mapped", "made"),
    [
        (one_call, False, 1),
        (lambda: AuxCallOperator.partial(task_id="call", agent_id=AGENT).expand(customer_phone=[PHONE]), True, 1),
        (lambda: task.wolkvox_call(task_id="call")(lambda: (AGENT, PHONE))().operator, False, 1),
        (
            lambda: AuxCallBatchOperator(
                task_id="call",
                calls=[{"agent_id": AGENT, "customer_phone": f"{PHONE[:-1]}{last}"} for last in range(3)],
                wait_for_agents=False,
            ),
            False,
            3,
        ),
    ],
    ids=["call", "mapped call", "function", "batch"],
)
def test_calls_come_from_the_callbacks_that_were_chosen_before_them(
    simulator, wolkvox_connection, define, mapped, made
):
    def behind_callbacks(dag):
        defined = define()
        callbacks() >> CampaignFinishedSensor(task_id="between", campaign_id=CAMPAIGN) >> defined
        return defined

    extracted, _ = lineage(behind_callbacks, mapped=mapped)

    assert names(extracted.inputs) == [f"{SERVER}/callbacks/callbacks.callbacks"]
    assert names(extracted.outputs) == [f"{SERVER}/calls"]
    assert rows(extracted) == made
    # As it goes over the wire: no number, not even the end of one.
    sent = "".join(Serde.to_json(dataset) for dataset in (*extracted.inputs, *extracted.outputs))
    assert "calls" in sent
    assert all(secret not in sent for secret in (PHONE, PHONE[-4:], TOKEN))


def test_calls_of_their_own_come_from_nowhere(simulator, wolkvox_connection):
    extracted, _ = lineage(lambda dag: one_call())
    assert (extracted.inputs, names(extracted.outputs)) == ([], [f"{SERVER}/calls"])


def test_a_call_that_failed_is_not_counted(simulator, wolkvox_connection):
    simulator.fault("drop_after_ringing", phone=PHONE)
    extracted, _ = lineage(lambda dag: one_call(), expected="failed")
    [calls] = extracted.outputs
    assert calls.outputFacets == {}


def test_the_asset_of_a_finished_campaign_is_a_dataset(day):
    from airflow.providers.openlineage.utils.utils import translate_airflow_asset

    dataset = translate_airflow_asset(campaign_finished("0042", CAMPAIGN), None)
    assert names([dataset]) == [f"{SERVER}/campaigns/{CAMPAIGN}/finished"]


def test_a_connection_that_cannot_be_read_gives_no_lineage_and_no_failure(simulator, set_connection, monkeypatch):
    ended = []
    set_connection("vanishing", extra={"base_url": simulator.base_url})
    run = run_try(lambda dag: one_call(wolkvox_conn_id="vanishing"), Server(), around=ended.append)
    assert run.state == "success", run.error
    monkeypatch.delenv("AIRFLOW_CONN_VANISHING")
    extracted = ExtractorManager().extract_metadata(
        dagrun=SimpleNamespace(run_id=RUN_ID),
        task=ended[0].task,
        task_instance_state=TaskInstanceState.SUCCESS,
        task_instance=ended[0],
    )
    assert (extracted.inputs, extracted.outputs) == ([], [])


def test_nothing_of_openlineage_is_imported_by_a_dag_file():
    program = """
import sys
import airflow.providers.common.compat.sdk as sdk
sdk.BaseOperator, sdk.BaseHook, sdk.BaseSensorOperator, sdk.AirflowFailException
before = set(sys.modules)
from airflow_provider_wolkvox.operators import aux_call, aux_call_batch, callbacks, dial
from airflow_provider_wolkvox.sensors import wolkvox
from airflow_provider_wolkvox.decorators import wolkvox_call
heavy = ("openlineage", "airflow.providers.openlineage.extractors", "requests", "holidays", "phonenumbers")
print([name for name in heavy if name in sys.modules and name not in before])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
