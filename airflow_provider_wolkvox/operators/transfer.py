"""TransferOperator: an agent's present call goes to somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wolkvox.not_done import Words
from airflow_provider_wolkvox.operators.calling import OutsideHours, SingleCallOperator
from airflow_provider_wolkvox.validation import Check, Checks, agent, choice, switch

if TYPE_CHECKING:
    from airflow_provider_wolkvox.api import AgentCall
    from airflow_provider_wolkvox.calling.hours import Hours


class TransferOperator(SingleCallOperator):
    """Transfer the present call of an agent to another agent or to a phone number.

    Done at most once however often the task is run, like an auxiliary call: a second time would have another phone
    ring, or another call transferred that the agent has by then. It returns wolkvox's `conn_id`.

    No calling hours are kept unless `calling_hours` is given: the customer is on the line already, and who is rung is
    usually a colleague. The stop switch holds, since a phone rings.

    :param agent_id: the extension of the agent who has the call (templated)
    :param customer_phone: who gets it: a phone number, or another agent's extension (templated)
    :param to_agent: whether `customer_phone` is an extension, before which no `dial_prefix` is put and which logs show
        whole; default False
    :param calling_hours: when the number may be called; default None, any time
    :param outside_hours: what to do when they are closed: `"fail"` (default) or `"skip"`; by the time that they open
        the call would be over
    :param max_age: how long after the run was due a call may still be transferred; default 1 hour, because which call
        it is depends on the moment; None for any time

    The rest is as for `AuxCallOperator`. A call in doubt (`on_unknown="look_up"`) is looked for among the transfers
    in wolkvox's reports. GUESS: they show it as `transfer`, with the agent and the number that got it.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    """

    # By the time that the hours open the call would be over.
    checks: ClassVar[Checks] = {"to_agent": switch, "outside_hours": choice("fail", "skip")}
    api: ClassVar[str] = "transfer"

    words = Words(
        request="transfer",
        for_whom="target",
        nothing="no phone rang, and the call stays with its agent",
        perhaps="the call may have been transferred, and a phone may have rung",
        look="look for the transfer in wolkvox's reports (connected calls, not-connected calls)",
        again="transfer",
    )

    def __init__(
        self,
        *,
        to_agent: bool = False,
        calling_hours: Hours | str | None = None,
        outside_hours: OutsideHours = "fail",
        max_age: timedelta | None = timedelta(hours=1),
        **kwargs: Any,
    ) -> None:
        # First, since it decides what the base takes for a number.
        self.to_agent = to_agent
        super().__init__(calling_hours=calling_hours, outside_hours=outside_hours, max_age=max_age, **kwargs)
        self.validate(vars(self))

    @classmethod
    def all_checks(cls, arguments: Mapping[str, Any]) -> dict[str, Check]:
        """Return the checks; what is an agent's extension is no phone number.

        :param arguments: as for `Validated.all_checks`
        """
        checks = super().all_checks(arguments)
        return checks | {"customer_phone": agent} if arguments.get("to_agent") is True else checks

    @property
    def shown_number(self) -> str:
        """The number as logs and ledger show it; an extension is no customer's, and is shown whole."""
        return f"agent {self.customer_phone}" if self.to_agent else super().shown_number

    def ring(self, **around: Any) -> AgentCall:
        """Transfer the call; see `WolkvoxClient.transfer`."""
        return self.hook.get_conn().transfer(self.agent_id, self.customer_phone, to_agent=self.to_agent, **around)
