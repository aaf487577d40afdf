"""The DAGs that `chaos.py` disturbs: one call by itself and two mapped ones, in each lane, with 0 to 2 retries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
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

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator


class StandingAuxCallOperator(AuxCallOperator):
    """The product's operator, which can stand still at the moments named above."""

    stand: Stand

    def ring(self, *, before_sending: Callable[[], None], **around: Any) -> Any:
        """Make the request as the product does."""

        def fences_and_intent() -> None:
            self.stand.come_to(BEFORE_THE_FENCES)
            before_sending()
            self.stand.come_to(AFTER_THE_INTENT)

        call = super().ring(before_sending=fences_and_intent, **around)
        self.stand.come_to(AFTER_THE_REPLY)
        return call

    def execute(self, context: Any) -> str:
        """Make the call as the product does."""
        self.stand = Stand.of(context["dag_run"].conf, str(self.customer_phone))
        conn_id = super().execute(context)
        self.stand.come_to(AFTER_EXECUTE)
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
