"""Ring one customer, then three more, each by the agent who had the call.

The pool `wolkvox_default` must exist: `airflow wolkvox sync-pools`.
"""

from __future__ import annotations

# --8<-- [start:dag]
import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False, tags=["wolkvox"])
def wolkvox_aux_call():
    one = AuxCallOperator(task_id="call_one_customer", agent_id="10001", customer_phone="300 555 0101")

    several = AuxCallOperator.partial(task_id="call_three_customers").expand_kwargs(
        [
            {"agent_id": "10002", "customer_phone": "300 555 0102"},
            {"agent_id": "10003", "customer_phone": "300 555 0103"},
            {"agent_id": "10004", "customer_phone": "300 555 0104"},
        ]
    )

    @task
    def list_calls(first: str, others: list[str]) -> list[str]:
        """Use the calls' ids; here they are only logged."""
        conn_ids = [first, *others]
        print("Calls made:", *conn_ids, sep="\n")
        return conn_ids

    list_calls(one.output, several.output)


wolkvox_aux_call()
# --8<-- [end:dag]
