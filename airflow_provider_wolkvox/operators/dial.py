"""DialOperator: an agent rings any number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wolkvox.operators.calling import SingleCallOperator
from airflow_provider_wolkvox.validation import Checks, optional, text

if TYPE_CHECKING:
    from airflow_provider_wolkvox.api import AgentCall


class DialOperator(SingleCallOperator):
    """Make an agent ring a number: any number, with no call before it.

    The agent must be logged in [doc]. The rest is as for `AuxCallOperator`, and so are the other parameters: the phone
    rings at most once, in its token's lane, within the customer's hours, and the task returns wolkvox's `conn_id` of
    the call.

    :param customer_id: the customer's id, for wolkvox's records; default None (templated)
    :param customer_name: the customer's name, for wolkvox's records; default None (templated)

    Id and name are personal data: they go to wolkvox and to no log, exception or ledger. Airflow shows a task's
    arguments as *rendered templates*, as it does with the number.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    """

    template_fields: Sequence[str] = (*SingleCallOperator.template_fields, "customer_id", "customer_name")

    checks: ClassVar[Checks] = {"customer_id": optional(text), "customer_name": optional(text)}
    api: ClassVar[str] = "dial"

    def __init__(
        self, *, customer_id: str | int | None = None, customer_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.customer_id = customer_id
        self.customer_name = customer_name
        self.validate(vars(self))

    def ring(self, **around: Any) -> AgentCall:
        """Dial the number; see `WolkvoxClient.dial`."""
        return self.hook.get_conn().dial(
            self.agent_id,
            self.customer_phone,
            customer_id=self.customer_id,
            customer_name=self.customer_name,
            **around,
        )
