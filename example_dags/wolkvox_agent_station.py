"""A day at an agent's station: ring a customer, end the call with its disposition, take a break, ring again later.

The pool `wolkvox_default` must exist: `airflow wolkvox sync-pools`.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_wolkvox.operators.agent import AgentStatusOperator, CallDispositionOperator
from airflow_provider_wolkvox.operators.dial import DialOperator
from airflow_provider_wolkvox.operators.recall import DeleteRecallOperator, EditRecallOperator, ScheduleRecallOperator

AGENT = "10001"
# A predictive campaign, and a customer of it.
# When the run was due; before Airflow 3.0 a run by hand has its logical date for it.
DUE = "(dag_run.run_after | default(dag_run.logical_date))"
RECALL = {"agent_id": AGENT, "campaign_id": "40001", "customer_id": "c0", "customer_phone": "300 555 0801"}


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False, tags=["wolkvox"])
def wolkvox_agent_station():
    # --8<-- [start:tasks]
    dial = DialOperator(task_id="dial", agent_id=AGENT, customer_phone="300 555 0801", customer_name="Ana")
    end = CallDispositionOperator(task_id="end", agent_id=AGENT, cod_act="101", hang_up=True)
    # The id of one of the operation's own states: wolkvox Manager, configuration, Agent States.
    rest = AgentStatusOperator(task_id="rest", agent_id=AGENT, status="2")
    again = ScheduleRecallOperator(task_id="again", at=f"{{{{ {DUE} + macros.timedelta(days=2) }}}}", **RECALL)
    later = EditRecallOperator(task_id="later", at=f"{{{{ {DUE} + macros.timedelta(days=3) }}}}", **RECALL)
    never = DeleteRecallOperator(task_id="never", **RECALL)
    # --8<-- [end:tasks]

    dial >> end >> rest >> again >> later >> never


wolkvox_agent_station()
