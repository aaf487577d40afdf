"""A call from a program without Airflow."""

from __future__ import annotations

# --8<-- [start:call]
from airflow_provider_wolkvox.api import NotSent, OutcomeUnknown, Refused, WolkvoxClient


def call_back(token: str, **options: str) -> None:
    with WolkvoxClient("0042", token, **options) as wolkvox:
        try:
            call = wolkvox.aux_call(agent_id="10001", customer_phone="300 555 0101")
            print("The phone rings:", call.conn_id)
        except (NotSent, Refused) as failure:
            print("No phone rang:", failure)
        except OutcomeUnknown as failure:
            print("Do not simply call again:", failure)


# --8<-- [end:call]
