"""The same call with this provider: for the page on moving to it."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

# Set to the first moment at which the old DAG calls nobody any more.
MOVED_AT = pendulum.datetime(2026, 12, 1, tz="America/Bogota")


# --8<-- [start:dag]
@dag(schedule="@daily", start_date=MOVED_AT, catchup=False, max_active_runs=1)
def after_moving():
    AuxCallOperator(
        task_id="call_customer",
        agent_id="10001",
        customer_phone="3005550101",
        calling_hours="CO",
        on_unknown="look_up",
        retries=3,
    )


# --8<-- [end:dag]
after_moving()
