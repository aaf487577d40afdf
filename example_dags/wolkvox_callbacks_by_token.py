"""Call back thousands, over several tokens at once: one batch task in the lane of each.

The run's configuration lists the callbacks, as a planning task or another system found them, each with its connection:
`{"callbacks": [{"wolkvox_conn_id": "wolkvox_north", "agent_id": "10001", "customer_phone": "300 555 0101"}, ...]}`.
A connection's token belongs to its own operation, so its customers are called through it and no other. The pools must
exist: `airflow wolkvox sync-pools`.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator

CONNECTIONS = ["wolkvox_north", "wolkvox_south", "wolkvox_east", "wolkvox_west"]


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False, tags=["wolkvox"])
def wolkvox_callbacks_by_token():
    # Airflow logs what a function returns, and here these are numbers.
    @task(multiple_outputs=True, show_return_value_in_logs=False)
    def by_connection(dag_run=None) -> dict[str, list[dict[str, str]]]:
        """Split the callbacks by their connection; none is lost, so one that has no lane here fails the run at once."""
        split = {conn_id: [] for conn_id in CONNECTIONS}
        for place, callback in enumerate(dag_run.conf.get("callbacks", [])):
            conn_id = callback.get("wolkvox_conn_id")
            if conn_id not in split:
                raise ValueError(
                    f"callbacks[{place}] names the connection {conn_id!r}, which has no lane here. Nobody was called."
                )
            split[conn_id].append({name: value for name, value in callback.items() if name != "wolkvox_conn_id"})
        return split

    @task
    def summary(*counts: dict) -> dict[str, int]:
        """Add up what became of all calls. Whoever may have been called, and nobody knows, fails the run."""
        states = ("accepted", "refused", "unknown", "skipped", "not_sent", "left")
        total = {state: sum(each[state] for each in counts) for state in states}
        if total["unknown"]:
            raise ValueError(f"Look up the calls of unknown outcome before you call anybody of them again: {total}")
        return total

    callbacks = by_connection()
    summary(
        *(
            AuxCallBatchOperator(
                task_id=f"call_{conn_id}",
                wolkvox_conn_id=conn_id,
                calls=callbacks[conn_id],
                wait_for_agents=False,
                # Judged once for all of them, by the summary.
                fail_on=(),
                retries=3,
            ).output["summary"]
            for conn_id in CONNECTIONS
        )
    )


wolkvox_callbacks_by_token()
