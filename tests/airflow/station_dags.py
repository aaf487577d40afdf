"""The DAG of `test_real_station`, copied into a real Airflow; the test imports the numbers from here."""

from __future__ import annotations

from airflow.sdk import dag

from airflow_provider_wolkvox.operators.agent import AgentStatusOperator, CallDispositionOperator
from airflow_provider_wolkvox.operators.dial import DialOperator
from airflow_provider_wolkvox.operators.recall import DeleteRecallOperator, EditRecallOperator, ScheduleRecallOperator

LANE = "wolkvox_station"
AGENT = "10001"
PHONE = "3005550801"
CAMPAIGN = "40001"
WHICH = {"agent_id": AGENT, "campaign_id": CAMPAIGN, "customer_id": "c0", "customer_phone": PHONE}


@dag(schedule=None, default_args={"wolkvox_conn_id": LANE})
def station():
    dial = DialOperator(task_id="dial", agent_id=AGENT, customer_phone=PHONE, customer_name="Ana")
    disposition = CallDispositionOperator(task_id="disposition", agent_id=AGENT, cod_act="101", hang_up=True)
    rest = AgentStatusOperator.partial(task_id="rest").expand_kwargs([{"agent_id": AGENT, "status": "2"}])
    schedule = ScheduleRecallOperator(
        task_id="schedule", at="{{ dag_run.run_after + macros.timedelta(days=2) }}", **WHICH
    )
    edit = EditRecallOperator(task_id="edit", at="{{ dag_run.run_after + macros.timedelta(days=3) }}", **WHICH)
    delete = DeleteRecallOperator(task_id="delete", **WHICH)
    dial >> disposition >> rest >> schedule >> edit >> delete


station()
