"""Call back whom a predictive campaign reached and lost: finished, callbacks, calls, outcomes, summary.

Each customer who hung up within half a minute is rung once more by the agent who had the call, unless the rules say
no. The pool `wolkvox_default` must exist: `airflow wolkvox sync-pools`.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wolkvox.calling import Rules
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator
from airflow_provider_wolkvox.sensors.wolkvox import CallOutcomeSensor, CampaignFinishedSensor

CAMPAIGN = "32841"
RULES = Rules(shorter_than=30, hung_up_by="customer", max_attempts=2, within=timedelta(days=1), limit=1000)


@dag(
    schedule=None,  # such as "0 18 * * MON-FRI", once you have seen it run
    start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"),
    catchup=False,
    max_active_runs=1,
    tags=["wolkvox"],
)
def wolkvox_retry_after_campaign():
    @task(trigger_rule="all_done")
    def refused(chosen: int, ti: Any = None) -> int:
        """Count the calls that certainly rang nobody; calls that were accepted push no state."""
        states = ti.xcom_pull(task_ids="call", key="state", map_indexes=range(chosen))
        return sum(state in ("refused", "not_sent", "skipped") for state in states or ())

    @task
    def summary(skips: dict[str, int], chosen: int, results: list[dict], refused: int) -> dict:
        """Count what became of each customer; the sum of all counts is that of the campaign's customers."""
        return {
            "called back": dict(Counter(call["result"] for call in results)),
            "refused": refused,
            # What nothing is known of counts here too, such as a call whose task was killed.
            "in doubt": chosen - len(results) - refused,
            "not called back": skips,
        }

    @task
    def all_called() -> None:
        """Fail with a call that failed, and the run with it: its other last task runs whatever became of the calls."""

    # --8<-- [start:chain]
    finished = CampaignFinishedSensor(task_id="finished", campaign_id=CAMPAIGN, timeout=timedelta(hours=2))
    callbacks = CampaignCallbacksOperator(
        task_id="callbacks", campaign_id=CAMPAIGN, since=timedelta(hours=12), rules=RULES
    )
    calls = AuxCallOperator.partial(task_id="call", retries=2).expand_kwargs(callbacks.output)
    # All done: the outcomes of the calls that were made count, even if one was not.
    outcomes = CallOutcomeSensor(task_id="outcomes", conn_id=calls.output, trigger_rule="all_done")
    finished >> callbacks
    # --8<-- [end:chain]
    chosen = callbacks.output["chosen"]
    without_ring = refused(chosen)
    calls >> [all_called(), without_ring]
    summary(callbacks.output["skips"], chosen, outcomes.output, without_ring)


wolkvox_retry_after_campaign()
