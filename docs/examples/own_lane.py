"""Two connections that hold one token, in one lane."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False)
def own_lane():
    # --8<-- [start:lane]
    AuxCallOperator(
        task_id="sales",
        wolkvox_conn_id="wolkvox_sales",
        pool="wolkvox_token_1",
        agent_id="10001",
        customer_phone="300 555 0101",
    )
    AuxCallOperator(
        task_id="service",
        wolkvox_conn_id="wolkvox_service",
        pool="wolkvox_token_1",
        agent_id="10002",
        customer_phone="300 555 0102",
    )
    # --8<-- [end:lane]


own_lane()
