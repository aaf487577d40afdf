"""Have an on-call person rung when a task fails: the DAG that rings, and a DAG whose tasks ask it to.

The person's number is the Variable `on_call_phone`; an agent must be logged in at the station 10001. The connection
`wolkvox_on_call` has a token of its own, so that no batch is before the ring; its pool must exist:
`airflow wolkvox sync-pools`.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wolkvox.notifications.wolkvox import WolkvoxCallNotifier, on_call_dag

# --8<-- [start:dag]
wolkvox_on_call = on_call_dag(
    agent_id="10001", customer_phone="{{ var.value.on_call_phone }}", wolkvox_conn_id="wolkvox_on_call"
)
# --8<-- [end:dag]


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"),
    catchup=False,
    # --8<-- [start:notifier]
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=1),
        "on_failure_callback": WolkvoxCallNotifier(once_per="run"),
    },
    # --8<-- [end:notifier]
    params={"balance": 0},
    tags=["wolkvox"],
)
def wolkvox_watched():
    @task
    def close_the_day(params: dict) -> None:
        """Fail if the books do not balance."""
        if params["balance"]:
            raise ValueError(f"The books are off by {params['balance']}.")

    close_the_day()


wolkvox_watched()
