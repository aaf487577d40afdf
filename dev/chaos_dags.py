"""The DAGs that `chaos.py` disturbs: one call by itself and two mapped ones, in each lane, with 0 to 2 retries."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.sdk import dag
from chaos_calls import (
    AFTER_EXECUTE,
    AFTER_THE_INTENT,
    AFTER_THE_REPLY,
    BEFORE_THE_FENCES,
    CALLS,
    LANES,
    MAPPED,
    PLAIN,
    RETRIES,
    Stand,
    dag_name,
)

from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator


class StandingHook(WolkvoxHook):
    """The product's hook, which can stand still around the request."""

    stand: Stand

    def aux_call(self, agent_id: Any, customer_phone: Any, *, before_sending: Any, **around: Any) -> Any:
        """Make the call as the product does."""

        def fences_and_intent() -> None:
            self.stand.come_to(BEFORE_THE_FENCES)
            before_sending()
            self.stand.come_to(AFTER_THE_INTENT)

        call = super().aux_call(agent_id, customer_phone, before_sending=fences_and_intent, **around)
        self.stand.come_to(AFTER_THE_REPLY)
        return call


class StandingAuxCallOperator(AuxCallOperator):
    """The product's operator, which can stand still at the moments named above."""

    @cached_property
    def hook(self) -> StandingHook:
        """The hook that stands still."""
        return StandingHook(self.wolkvox_conn_id)

    def execute(self, context: Any) -> str:
        """Make the call as the product does."""
        stand = self.hook.stand = Stand.of(context["dag_run"].conf, str(self.customer_phone))
        conn_id = super().execute(context)
        stand.come_to(AFTER_EXECUTE)
        return conn_id


def _customer(number: int) -> str:
    return f"{{{{ dag_run.conf['phones'][{number}] }}}}"


for lane in LANES:
    for retries in RETRIES:

        @dag(
            dag_id=dag_name(lane, retries),
            schedule=None,
            default_args={
                "wolkvox_conn_id": lane,
                "agent_id": "10001",
                "retries": retries,
                "retry_delay": timedelta(seconds=1),
            },
        )
        def calls():
            StandingAuxCallOperator(task_id=PLAIN, customer_phone=_customer(0))
            StandingAuxCallOperator.partial(task_id=MAPPED).expand(
                customer_phone=[_customer(number) for number in range(1, CALLS)]
            )

        calls()
