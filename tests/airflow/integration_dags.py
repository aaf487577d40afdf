"""The DAGs of `test_integrations`, copied into a real Airflow; the tests import the names from here."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wolkvox.notifications.wolkvox import WolkvoxCallNotifier, on_call_dag

ON_CALL_LANE = "wolkvox_on_call"
ON_CALL_PHONE = "3005550911"
MAPPED = 2

integrations_on_call = on_call_dag(
    "integrations_on_call", agent_id="10001", customer_phone=ON_CALL_PHONE, wolkvox_conn_id=ON_CALL_LANE
)


def notifier(**arguments) -> WolkvoxCallNotifier:
    return WolkvoxCallNotifier(**{"on_call_dag_id": "integrations_on_call", **arguments})


@dag(schedule=None, default_args={"on_failure_callback": notifier()})
def integrations_failing():
    @task
    def fails():
        raise RuntimeError("the failure of the task itself")

    @task
    def fails_mapped(number):
        raise RuntimeError(f"the failure of task {number} itself")

    @task(on_failure_callback=[notifier(), notifier()])
    def fails_and_tells_twice():
        raise RuntimeError("the failure of the task itself")

    fails()
    fails_mapped.expand(number=list(range(MAPPED)))
    fails_and_tells_twice()


@dag(schedule=None, default_args={"on_failure_callback": notifier(once_per="run")})
def integrations_failing_together():
    @task
    def fails(number):
        raise RuntimeError(f"the failure of task {number} itself")

    fails.expand(number=list(range(MAPPED)))


@dag(schedule=None, on_failure_callback=notifier())
def integrations_failing_in_vain():
    @task(on_failure_callback=notifier(on_call_dag_id="of_nobody"))
    def fails_without_a_dag():
        raise RuntimeError("the failure of the task itself")

    @task(on_failure_callback=notifier(on_call_dag_id="{{ 1 // 0 }}"))
    def fails_with_a_broken_template():
        raise RuntimeError("the failure of the task itself")

    fails_without_a_dag()
    fails_with_a_broken_template()


integrations_failing()
integrations_failing_together()
integrations_failing_in_vain()
