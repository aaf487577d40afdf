"""How wolkvox is called with HttpOperator where there is no provider: for the page on moving away from it."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag
from airflow.providers.http.operators.http import HttpOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False)
def before_http_operator():
    # --8<-- [start:task]
    HttpOperator(
        task_id="call_customer",
        http_conn_id="wolkvox_http",
        endpoint="api/v2/agentbox.php?api=aux_call&agent_id=10001&customer_phone=3005550101",
        headers={"wolkvox-token": "{{ conn.wolkvox_http.password }}"},
        retries=3,
    )
    # --8<-- [end:task]


before_http_operator()
