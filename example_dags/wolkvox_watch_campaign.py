"""Two DAGs, the second scheduled on what the first has seen: a campaign that has finished.

The server code must be that of the connection. The pool `wolkvox_default` must exist: `airflow wolkvox sync-pools`.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wolkvox.assets import campaign_finished
from airflow_provider_wolkvox.sensors.wolkvox import CampaignFinishedSensor

# --8<-- [start:dags]
CAMPAIGN = "32841"
FINISHED = campaign_finished("0042", CAMPAIGN)


@dag(
    schedule=None,  # such as "0 7 * * MON-FRI", when the campaign is started
    start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"),
    catchup=False,
    tags=["wolkvox"],
)
def wolkvox_watch_campaign():
    CampaignFinishedSensor(task_id="finished", campaign_id=CAMPAIGN, timeout=timedelta(hours=12), outlets=[FINISHED])


@dag(
    schedule=[FINISHED],
    start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"),
    catchup=False,
    tags=["wolkvox"],
)
def wolkvox_after_campaign():
    @task
    def count(triggering_asset_events=None) -> dict:
        """Return the campaign's numbers, which came with the event."""
        [events] = triggering_asset_events.values()
        return events[-1].extra

    count()
    # --8<-- [end:dags]


wolkvox_watch_campaign()
wolkvox_after_campaign()
