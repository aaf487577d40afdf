"""The example DAGs for campaigns on a real scheduler, against a campaign that the simulator dials.

The simulator is the judge: it knows which customer was cut by whom, and counts how often each phone rang.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from local_airflow import LocalAirflow
from samples import SERVER
from scheduler_dags import HOURS_LANE, HOURS_NEXT_PHONE, HOURS_PHONE, OPENS_FILE

from airflow_provider_wolkvox.api import WolkvoxClient
from airflow_provider_wolkvox.simulator import CatchingUpClock, Simulator

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1800)]

HERE = Path(__file__).resolve().parent
EXAMPLES = [
    HERE.parents[1] / "example_dags" / name
    for name in ("wolkvox_retry_after_campaign.py", "wolkvox_redial_unanswered.py")
]
CAMPAIGN = "32841"
LANE = "wolkvox_default"
CUSTOMERS = 60


@pytest.fixture(scope="module")
def airflow(local_airflow) -> LocalAirflow:
    """The session's Airflow with the example DAGs."""
    local_airflow.add_dags(*EXAMPLES, HERE / "scheduler_dags.py")
    return local_airflow


class PastClock:
    """Stands still hours ago until it is let run: then hours pass in minutes, up to now.

    So a campaign is dialled within a second, and its last calls are over before the next task starts.
    """

    BEHIND, SPEED = 8 * 3600, 600

    def __init__(self) -> None:
        self._still = time.time() - self.BEHIND
        self._running: CatchingUpClock | None = None

    def run(self) -> None:
        self._running = CatchingUpClock(self.BEHIND, self.SPEED)

    def __call__(self) -> float:
        return self._running() if self._running else self._still


@pytest.fixture
def simulator(airflow, tmp_path):
    """A wolkvox with a campaign that is not started yet, which the connection leads to."""
    clock = PastClock()
    with Simulator(
        clock=clock,
        # The second is the test's own, so that what it asks is not taken for the lane's.
        tokens=["tok-lane-5mL", "tok-test-7Xw"],
    ) as running:
        running.add_campaign(
            CAMPAIGN,
            name="CARTERA",
            records=[
                {"customer_id": str(number), "customer_name": f"Customer {number}", "tel1": f"30055506{number:02d}"}
                for number in range(CUSTOMERS)
            ],
            seed=20261122,
        )
        connect(airflow, running, tmp_path, LANE)
        running.clock = clock
        yield running


@pytest.fixture
def wolkvox(simulator):
    """A client with a token of the test's own."""
    with WolkvoxClient(SERVER, simulator.tokens[1], base_url=simulator.base_url) as client:
        yield client


def connect(airflow: LocalAirflow, simulator: Simulator, folder: Path, conn_id: str) -> None:
    connection = {
        "conn_type": "wolkvox",
        "host": SERVER,
        "password": simulator.token,
        "extra": json.dumps({"base_url": simulator.base_url}),
    }
    file = folder / "connections.json"
    file.write_text(json.dumps({conn_id: connection}))
    airflow.cli("connections", "import", "--overwrite", str(file))
    airflow.cli("wolkvox", "sync-pools")


def dialled(simulator: Simulator):
    """Return every dial of the campaign, whether the reports tell of it or not."""
    return simulator.campaign(CAMPAIGN).dials


def test_each_customer_who_hung_up_early_is_rung_once_by_the_agent_who_had_the_call(airflow, simulator, wolkvox):
    dag_id = "wolkvox_retry_after_campaign"
    run_id = airflow.trigger(dag_id)
    # The sensor has asked and found a campaign of which nothing is dialled; only now it begins.
    assert simulator.wait_for(lambda sim: sim.stats().requests > 0, timeout=600)
    assert dialled(simulator) == ()
    simulator.clock.run()
    wolkvox.start_campaign(CAMPAIGN)
    assert airflow.wait_for_run(dag_id, run_id) == "success"

    lost = {
        dial.phone: dial.agent_id
        for dial in dialled(simulator)
        if dial.what.result == "ANSWER" and dial.what.talk_seconds < 30 and dial.what.hang_up == "customer"
    }
    assert len(dialled(simulator)) == CUSTOMERS
    assert 3 <= len(lost) <= CUSTOMERS / 2
    assert {call.phone: call.agent_id for call in simulator.calls} == lost
    assert simulator.rings == dict.fromkeys(lost, 1)
    assert simulator.stats().greatest_simultaneous == 1

    callbacks = airflow.xcom(dag_id, run_id, "callbacks")
    assert {each["customer_phone"]: each["agent_id"] for each in callbacks} == lost
    # In the list's order, the first call first.
    assert [call.phone for call in simulator.calls] == [each["customer_phone"] for each in callbacks]
    outcomes = airflow.xcom(dag_id, run_id, "outcomes")
    assert {each["conn_id"] for each in outcomes} == {call.conn_id for call in simulator.calls}
    assert {each["result"] for each in outcomes} == {"ANSWER"}
    skips = airflow.xcom(dag_id, run_id, "callbacks", "skips")
    assert len(callbacks) + sum(skips.values()) == CUSTOMERS
    assert airflow.xcom(dag_id, run_id, "summary") == {
        "called back": {"ANSWER": len(lost)},
        "refused": 0,
        "in doubt": 0,
        "not called back": skips,
    }

    # The engineer clears the whole run: whoever was called back is not called back again.
    airflow.clear(dag_id, run_id)
    airflow.wait_for_run(dag_id, run_id)
    assert simulator.rings == dict.fromkeys(lost, 1)
    assert airflow.xcom(dag_id, run_id, "callbacks", "skips")["called-back"] == len(lost)


def test_whom_a_campaign_did_not_reach_it_dials_once_more(airflow, simulator, wolkvox):
    dag_id = "wolkvox_redial_unanswered"
    simulator.clock.run()
    wolkvox.start_campaign(CAMPAIGN)
    assert simulator.wait_for(lambda sim: sim.campaign(CAMPAIGN).finished, timeout=600)
    first_round = dialled(simulator)
    unreached = {dial.phone for dial in first_round if dial.what.result in ("NO-ANSWER", "BUSY")}
    assert 3 <= len(unreached) < CUSTOMERS

    run_id = airflow.trigger(dag_id)
    assert airflow.wait_for_run(dag_id, run_id) == "success"

    assert Counter(dial.phone for dial in dialled(simulator)) == {
        dial.phone: 1 + (dial.phone in unreached) for dial in first_round
    }
    campaign = simulator.campaign(CAMPAIGN)
    # Two values are recalled by two requests; the test itself made the first start.
    assert (campaign.stops, campaign.recalls, campaign.starts) == (1, 2, 2)
    assert airflow.xcom(dag_id, run_id, "recall") == len(unreached)
    assert airflow.xcom(dag_id, run_id, "finished")["records"] == CUSTOMERS
    assert simulator.rings == {}
    assert simulator.stats().greatest_simultaneous == 1

    # The engineer clears the run: the campaign is stopped and started again, but its records are not recalled again.
    airflow.clear(dag_id, run_id)
    assert airflow.wait_for_run(dag_id, run_id) == "success"
    assert simulator.campaign(CAMPAIGN).recalls == 2
    assert len(dialled(simulator)) == CUSTOMERS + len(unreached)


def test_a_call_outside_of_the_customers_hours_waits_without_its_lane_and_is_made_when_they_open(airflow, tmp_path):
    # A machine so busy that the hours open before the tasks have run proves nothing: then once more, with more time.
    assert any(is_made_when_hours_open(airflow, tmp_path, timedelta(seconds=ahead)) for ahead in (25, 100, 400))


def is_made_when_hours_open(airflow: LocalAirflow, folder: Path, ahead: timedelta) -> bool:
    """Run the DAG, and return whether both tasks ran before the hours opened."""
    with Simulator() as simulator:
        connect(airflow, simulator, folder, HOURS_LANE)
        opens = datetime.now(UTC) + ahead
        (airflow.home / OPENS_FILE).write_text(opens.isoformat())
        run_id = airflow.trigger("scheduler_hours")

        states = ["up_for_reschedule", "success"]
        waiting = airflow.wait_for_task("scheduler_hours", run_id, "waits", states).state == "up_for_reschedule"
        # The lane is free meanwhile: the other customer, who may be called at any time, is rung.
        assert simulator.wait_for(lambda sim: sim.rings[HOURS_NEXT_PHONE] == 1, timeout=600)
        waiting = waiting and datetime.now(UTC) < opens
        assert not waiting or simulator.rings[HOURS_PHONE] == 0
        assert airflow.wait_for_run("scheduler_hours", run_id) == "success"

        rung = {call.phone: call.at for call in simulator.calls}
        assert simulator.rings == {HOURS_PHONE: 1, HOURS_NEXT_PHONE: 1}
        assert opens <= rung[HOURS_PHONE]
        return waiting
