"""Say whom to call in a function, and have its task make the call; for one customer, and mapped over several.

The pool `wolkvox_default` must exist: `airflow wolkvox sync-pools`.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import AirflowSkipException, dag, task

AGENT_OF_TEAM = {"sales": "10001", "support": "10002"}


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False, tags=["wolkvox"])
def wolkvox_taskflow():
    # Airflow logs what a function returns, and here these are numbers.
    @task(show_return_value_in_logs=False)
    def customers() -> list[dict]:
        """Stand for a query of yours."""
        return [
            {"phone": "300 555 0111", "team": "sales"},
            {"phone": "300 555 0112", "team": "support"},
            {"phone": "", "team": "support"},
        ]

    # --8<-- [start:call]
    @task.wolkvox_call(retries=2, max_age=timedelta(hours=2))
    def call_back(customer: dict) -> dict:
        """Say who rings a customer."""
        if not customer["phone"]:
            raise AirflowSkipException("There is no number for this customer.")
        return {"agent_id": AGENT_OF_TEAM[customer["team"]], "customer_phone": customer["phone"]}

    call_back.expand(customer=customers())
    call_back.override(task_id="call_the_first")({"phone": "300 555 0110", "team": "sales"})
    # --8<-- [end:call]


wolkvox_taskflow()
