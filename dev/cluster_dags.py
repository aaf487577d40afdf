"""The DAGs that `cluster.py` runs: in every lane, one call to each customer that the run's configuration names."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, get_current_context, task
from cluster_calls import BATCH, LANES, MAPPED, RETRIES, calls_task

from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator

AGAIN = {"retries": RETRIES, "retry_delay": timedelta(seconds=1)}


@task
def customers(lane: str) -> list[dict[str, str]]:
    """Return the lane's calls."""
    phones: list[str] = get_current_context()["dag_run"].conf["phones"].get(lane, [])
    return [{"agent_id": "10001", "customer_phone": phone} for phone in phones]


def calls_to_make(lane: str):
    return customers.override(task_id=f"customers_of_{lane}")(lane)


@dag(dag_id=MAPPED, schedule=None, default_args=AGAIN)
def mapped():
    for lane in LANES:
        AuxCallOperator.partial(task_id=calls_task(lane), wolkvox_conn_id=lane, calling_hours=None).expand_kwargs(
            calls_to_make(lane)
        )


@dag(dag_id=BATCH, schedule=None, default_args=AGAIN)
def batch():
    for lane in LANES:
        AuxCallBatchOperator(
            task_id=calls_task(lane),
            wolkvox_conn_id=lane,
            calling_hours=None,
            # How agents are waited for is no matter of the cluster, and would hide how fast it is.
            wait_for_agents=False,
            calls=calls_to_make(lane),
        )


mapped()
batch()
