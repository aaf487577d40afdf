"""How wolkvox is called from a Python task where there is no provider: for the page on moving away from it."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import BaseHook, dag, task


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False)
def before_python_task():
    # --8<-- [start:task]
    @task(retries=3)
    def call_customer(agent_id: str, phone: str) -> str:
        import requests

        wolkvox = BaseHook.get_connection("wolkvox_http")
        answer = requests.post(
            f"{wolkvox.host}/api/v2/agentbox.php?api=aux_call&agent_id={agent_id}&customer_phone={phone}",
            headers={"wolkvox-token": wolkvox.password},
        )
        answer.raise_for_status()
        return answer.json()["data"]["conn_id"]

    call_customer("10001", "3005550101")
    # --8<-- [end:task]


before_python_task()
