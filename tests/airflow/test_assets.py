"""`wolkvox://` assets: their spelling, and what the events of campaigns and batches carry."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset
from capabilities import HAS_TASK_SDK, DagSerialization
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.assets import batch_called, campaign_finished
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator
from airflow_provider_wolkvox.sensors.wolkvox import CampaignFinishedSensor
from airflow_provider_wolkvox.simulator import Simulator

CAMPAIGN = "32841"
FINISHED = "wolkvox://0042/campaigns/32841/finished"
CALLED = "wolkvox://0042/batches/evening/called"


# Spelling


def spellings(asset) -> set[str]:
    # Before 3.0 it has no name beside its URI.
    return {asset.uri, asset.normalized_uri, *([asset.name] if HAS_TASK_SDK else [])}


@pytest.mark.parametrize("server", ["0042", "wv0042", "WV0042", " 0042"])
@pytest.mark.parametrize("campaign_id", ["32841", 32841, " 32841 "])
def test_one_campaign_is_one_asset_however_it_is_spelt(server, campaign_id):
    asset = campaign_finished(server, campaign_id)
    assert spellings(asset) == {FINISHED}
    assert asset == campaign_finished("0042", CAMPAIGN)


def test_a_batch_is_an_asset_by_its_name():
    asset = batch_called("wv0042", "evening")
    assert spellings(asset) == {CALLED}


def test_airflow_spells_what_was_written_by_hand_alike():
    assert Asset(uri="wolkvox://wv0042/campaigns/32841/finished/").uri == FINISHED


@pytest.mark.parametrize(
    "make",
    [
        lambda: campaign_finished("", CAMPAIGN),
        lambda: campaign_finished(42, CAMPAIGN),
        lambda: campaign_finished(TOKEN, CAMPAIGN),
        lambda: campaign_finished("0042", ""),
        lambda: campaign_finished("0042", "all"),
        lambda: campaign_finished("0042", "1/2"),
        lambda: batch_called("0042", ""),
        lambda: batch_called("0042", "of the evening"),
        lambda: batch_called("0042", "a/b"),
        lambda: batch_called("0042", "a?b"),
        lambda: batch_called("0042", "a#b"),
        lambda: Asset(uri="wolkvox://0042"),
        lambda: Asset(uri="wolkvox://0042/campaign/32841/finished"),
        lambda: Asset(uri="wolkvox://0042/campaigns/32841"),
        lambda: Asset(uri="wolkvox://0042/campaigns/all/finished"),
        lambda: Asset(uri="wolkvox:///campaigns/32841/finished"),
        lambda: Asset(uri="wolkvox://0042/campaigns/32841/finished?phone=3005550101"),
        lambda: Asset(uri=f"wolkvox://{TOKEN}/campaigns/32841/finished"),
    ],
)
def test_what_is_no_asset_of_ours_is_refused_while_the_dag_is_parsed(monkeypatch, make):
    # Before 3.0 Airflow by default only warns of a URI that its provider refuses.
    monkeypatch.setenv("AIRFLOW__CORE__STRICT_DATASET_URI_VALIDATION", "True")
    with pytest.raises(ValueError, match=r"server code|campaign_id|no such asset") as refusal:
        make()
    assert TOKEN not in str(refusal.value)
    assert "3005550101" not in str(refusal.value)


def test_a_dag_can_be_scheduled_on_them():
    either = campaign_finished("0042", CAMPAIGN) | batch_called("0042", "evening")
    with DAG("follow_up", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=either) as dag:
        pass
    data = DagSerialization.to_dict(dag)
    DagSerialization.validate_schema(data)
    timetable = DagSerialization.from_dict(data).timetable
    assets = timetable.asset_condition.iter_assets() if HAS_TASK_SDK else timetable.dataset_condition.iter_datasets()
    assert {asset.uri for _, asset in assets} == {FINISHED, CALLED}


# Events, through Airflow's own task runner


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def campaign(monkeypatch, set_connection):
    """A wolkvox whose campaign has just begun to dial, two hours ago; `behind = 0` lets it finish."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    clock = SimpleNamespace(behind=7200.0)
    with Simulator(tokens=[TOKEN], clock=lambda: time.time() - clock.behind) as running:
        records = [{"customer_id": str(number), "tel1": f"30055501{number:02}"} for number in range(40)]
        running.add_campaign(CAMPAIGN, records=records, started=True)
        set_connection(extra={"base_url": running.base_url})
        running.clock_of_test = clock
        yield running


def sensor(**arguments):
    return lambda dag: CampaignFinishedSensor(task_id="task", campaign_id=CAMPAIGN, **arguments)


def batch(**arguments):
    calls = [{"agent_id": AGENT, "customer_phone": PHONE}, {"agent_id": AGENT, "customer_phone": "not a number"}]
    return lambda dag: AuxCallBatchOperator(
        task_id="task", calls=calls, calling_hours=None, wait_for_agents=False, **arguments
    )


def test_the_event_of_a_finished_campaign_carries_its_numbers(campaign, server):
    outlets = [campaign_finished("0042", CAMPAIGN)]
    assert run_try(sensor(outlets=outlets), server).state == "up_for_reschedule"
    campaign.clock_of_test.behind = 0.0

    run = run_try(sensor(outlets=outlets), server)

    assert run.state == "success", run.error
    [(uri, extra)] = server.events()
    assert uri == FINISHED
    assert extra == run.xcoms["return_value"]
    assert (extra["campaign_id"], extra["records"]) == (CAMPAIGN, 40)


def test_the_event_of_a_batch_carries_its_counts_and_no_number(simulator, wolkvox_connection, server):
    run = run_try(batch(outlets=[batch_called("0042", "evening")]), server)
    assert run.state == "success", run.error
    [(uri, extra)] = server.events()
    assert uri == CALLED
    assert extra == run.xcoms["summary"]
    assert (extra["accepted"], extra["skipped"]) == (1, 1)
    assert PHONE not in json.dumps(extra)
    assert PHONE[-4:] not in json.dumps(extra)


@pytest.mark.parametrize(
    ("define", "outlet"),
    [
        (sensor, campaign_finished("0042", "32842")),
        (sensor, campaign_finished("0043", CAMPAIGN)),
        (sensor, batch_called("0042", "evening")),
        (batch, campaign_finished("0042", CAMPAIGN)),
        (batch, batch_called("0043", "evening")),
    ],
)
def test_a_task_tells_of_nothing_but_its_own(campaign, server, define, outlet):
    run = run_try(define(outlets=[outlet]), server, retries=3)
    assert run.state == "failed"
    assert f"the outlet {outlet.uri} is not for this task to tell of" in str(run.error)
    assert campaign.rings == {}
    assert campaign.stats().requests == 0


def test_assets_of_others_are_left_alone(simulator, wolkvox_connection, server):
    run = run_try(batch(outlets=[Asset(uri="s3://reports/evening.html")]), server)
    assert run.state == "success", run.error
    assert server.events() == [("s3://reports/evening.html", {})]
