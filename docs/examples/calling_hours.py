"""The ways to say when customers may be called."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_wolkvox.calling import CallingHours
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

CUSTOMER = {"agent_id": "10001", "customer_phone": "300 555 0101"}


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False)
def calling_hours():
    # --8<-- [start:hours]
    # The law of Colombia, by the connection's clock.
    AuxCallOperator(task_id="law", calling_hours="CO", **CUSTOMER)

    # Your own.
    team = CallingHours.weekly(
        {"mon-fri": ["08:00-12:00", "14:00-18:00"], "sat": "09:00-13:00"},
        timezone="America/Bogota",
        holidays=["CO", "2026-12-24"],
    )
    AuxCallOperator(task_id="team", calling_hours=team, **CUSTOMER)

    # Both at once: open only where both are.
    law = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
    AuxCallOperator(task_id="both", calling_hours=law & team, **CUSTOMER)

    # The connection's `country`.
    AuxCallOperator(task_id="by_connection", **CUSTOMER)

    # Any time.
    AuxCallOperator(task_id="any_time", calling_hours=None, **CUSTOMER)
    # --8<-- [end:hours]


calling_hours()
