"""Operators for a recall: wolkvox, or the agent, rings a predictive campaign's customer at an instant to come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wolkvox.calling.lateness import instant
from airflow_provider_wolkvox.not_done import Words
from airflow_provider_wolkvox.operators.once import OnceOperator
from airflow_provider_wolkvox.operators.repeatable import RepeatableOperator
from airflow_provider_wolkvox.task import WolkvoxTask
from airflow_provider_wolkvox.validation import (
    OF_CONNECTION,
    Checks,
    agent,
    calling_hours,
    campaign,
    choice,
    identifier,
    optional,
    phone,
    switch,
    text,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.calling.hours import Hours
    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

RecallStyle = Literal["auto", "manual"]


class OfRecall(WolkvoxTask, BaseOperator):
    """Says which recall a task is about; to be named before the class that says how it asks.

    :param agent_id: the agent's extension (templated)
    :param campaign_id: the predictive campaign, digits (templated)
    :param customer_id: the customer's id in the campaign (templated)
    :param customer_phone: the customer's number as the campaign's record has it (templated)
    :param recall_style: `"auto"` (default): wolkvox dials; `"manual"`: the agent does
    :param name_recall: the recall's name; default None (templated)
    """

    template_fields: Sequence[str] = ("agent_id", "campaign_id", "customer_id", "customer_phone", "name_recall")
    fields_of_one: ClassVar[Collection[str]] = (*template_fields, "at", "call_before")
    checks: ClassVar[Checks] = {
        "agent_id": agent,
        "campaign_id": campaign,
        "customer_id": identifier,
        "customer_phone": phone,
        "recall_style": choice(*get_args(RecallStyle)),
        "name_recall": optional(text),
    }
    ui_color = "#e7f3ec"

    if TYPE_CHECKING:
        hook: WolkvoxHook
        wolkvox_conn_id: str

    def __init__(
        self,
        *,
        agent_id: str | int,
        campaign_id: str | int,
        customer_id: str | int,
        customer_phone: str | int,
        recall_style: RecallStyle = "auto",
        name_recall: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.agent_id = agent_id
        self.campaign_id = campaign_id
        self.customer_id = customer_id
        self.customer_phone = customer_phone
        self.recall_style = recall_style
        self.name_recall = name_recall
        self.validate(vars(self))

    @property
    def which(self) -> dict[str, Any]:
        """What tells the client which recall is meant."""
        return {
            "agent_id": self.agent_id,
            "campaign_id": self.campaign_id,
            "customer_id": self.customer_id,
            "customer_phone": self.customer_phone,
            "recall_style": self.recall_style,
            "name_recall": self.name_recall,
        }

    @property
    def shown(self) -> str:
        """The customer as logs and ledger show them."""
        from airflow_provider_wolkvox.phone import masked

        return masked(str(self.customer_phone))


class AtInstant(OfRecall):
    """Says when the customer is to be rung, which must be an instant at which they may be.

    :param at: when: an aware datetime or its ISO 8601 text (templated)
    :param calling_hours: when the customer may be called, asked for the instant `at`; as for `AuxCallOperator`
    :param phone_zones: as for `AuxCallOperator`
    """

    template_fields: Sequence[str] = (*OfRecall.template_fields, "at")
    checks: ClassVar[Checks] = {"at": instant, "calling_hours": calling_hours, "phone_zones": switch}

    def __init__(
        self,
        *,
        at: datetime | str,
        calling_hours: Hours | str | None = OF_CONNECTION,
        phone_zones: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.at = at
        self.calling_hours = calling_hours
        self.phone_zones = phone_zones
        self.validate(vars(self))

    @property
    def rings_at(self) -> datetime:
        """When the customer is to be rung.

        :raises ValueError: `at` is no instant
        """
        return instant(self.at, "at")

    @cached_property
    def hours(self) -> Hours | None:
        """When the customer may be called; None for any time."""
        return self.hook.calling_hours(self.calling_hours, self.customer_phone if self.phone_zones else None)

    def why_not(self) -> str | None:
        """Return why the customer must not be rung at that instant, and what to do about it; None if they may."""
        at = self.rings_at.astimezone(UTC)
        if at <= datetime.now(UTC):
            return f"{at:%Y-%m-%d %H:%M:%S} UTC (at) has passed: give the recall a later one"
        closed = self.hours.why_closed(at) if self.hours else None
        if self.hours and closed:
            opens = self.hours.next_open(at)
            return (
                f"the customer may not be called at {at:%Y-%m-%d %H:%M:%S} UTC ({closed}), next at "
                f"{opens:%Y-%m-%d %H:%M:%S} UTC: give the recall another instant"
            )
        return None


class ScheduleRecallOperator(AtInstant, OnceOperator):
    """Have a predictive campaign's customer rung at an instant to come.

    Done at most once however often the task is run: of two recalls, the customer's phone would ring twice. Nothing is
    scheduled for an instant that has passed or at which the customer may not be called, nor while the Variable
    `wolkvox_stop` ends all calling: wolkvox would ring by itself later, when the switch cannot hold it any more.

    :param agent_id: the agent's extension (templated)
    :param campaign_id: the predictive campaign, digits (templated)
    :param customer_id: the customer's id in the campaign, which no log or ledger shows (templated)
    :param customer_phone: the customer's number as the campaign's record has it; no `dial_prefix` is put before it
        (templated)
    :param at: when to ring: an aware datetime or its ISO 8601 text (templated)
    :param recall_style: `"auto"` (default): wolkvox dials; `"manual"`: the agent does
    :param name_recall: a name for the recall; default None (templated)
    :param calling_hours: when the customer may be called, asked for the instant `at`; as for `AuxCallOperator`
    :param phone_zones: as for `AuxCallOperator`

    `wolkvox_conn_id`, `max_age`, `call_before`, `ledger_retention`, `allow_second_try` and `pool` are as for
    `AuxCallOperator`.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: it must not be scheduled (again), wolkvox said no, or nobody saw the answer
    :raises AirflowException: nothing was sent, and a retry may help
    """

    words = Words(
        request="recall",
        for_whom="customer",
        nothing="no recall was scheduled",
        perhaps="the recall may have been scheduled",
        look="look for the customer's recall in wolkvox Manager",
        again="schedule it",
    )

    def execute(self, context: Context) -> None:
        """Schedule the recall, unless that was done already."""
        self.begin(context)
        try:
            at = f"{self.rings_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        except ValueError:
            # Not repeated: it might be a number. It is rejected below.
            at = "(invalid)"
        what = f"recall ({self.recall_style}) in campaign {self.campaign_id} at {at}"

        def send(**around: Any) -> dict[str, str]:
            self.hook.get_conn().recall(**self.which, at=self.rings_at, **around)
            self.log.info("wolkvox accepted: customer %s, %s.", self.shown, what)
            return {}

        customer = self.hook.customer_key(self.customer_phone)
        intent = self.intent(
            context, "schedule_recall", agent_id=str(self.agent_id), phone=self.shown, customer=customer, what=what
        )
        self.once(intent, send, context)

    def require_allowed(self, context: Context) -> None:
        """Refuse a recall that comes too late, one to an instant that cannot be, and any while calling is stopped."""
        super().require_allowed(context)
        stopped, why_not = self.stop_watch.why_stopped(self.wolkvox_conn_id), self.why_not()
        if stopped:
            self.reject("stopped", stopped, "Clear the task once calling goes on.")
        if why_not:
            self.reject("hours", why_not)


class EditRecallOperator(AtInstant, RepeatableOperator):
    """Move a scheduled recall to another instant; it may also change the recall's agent and style.

    wolkvox finds the recall by campaign, customer and number. Run again, it moves the recall to the same instant again.
    Nothing is moved to an instant that has passed or at which the customer may not be called.

    :param agent_id: the extension of the agent who has the recall from now on (templated)
    :param at: the new instant: an aware datetime or its ISO 8601 text (templated)
    :param recall_style: the style from now on: `"auto"` (default) or `"manual"`. A manual recall that is to stay one
        needs `"manual"`
    :param max_age: how long after the run was due it may still be moved; default 24 hours, None for any time

    `campaign_id`, `customer_id`, `customer_phone`, `name_recall`, `calling_hours` and `phone_zones` are as for
    `ScheduleRecallOperator`; `wolkvox_conn_id` and `pool` are as for `AuxCallOperator`.

    :raises ValueError: when the DAG is parsed: an argument is invalid
    :raises AirflowFailException: it comes too late, the customer may not be called then, or wolkvox said no
    :raises AirflowException: nothing was sent or nobody saw the answer, and a retry may help
    """

    def ask(self, before_sending: Callable[[], None]) -> str:
        """Move the recall."""
        self.hook.get_conn().edit_recall(**self.which, at=self.rings_at, before_sending=before_sending)
        return f"the recall of customer {self.shown} is moved to {self.at}"


class DeleteRecallOperator(OfRecall, RepeatableOperator):
    """Delete a scheduled recall. Run again, it asks for that again, which wolkvox may refuse once there is none.

    :param max_age: how long after the run was due it may still be deleted; default 24 hours, None for any time

    What says which recall is as for `ScheduleRecallOperator`; `wolkvox_conn_id` and `pool` are as for
    `AuxCallOperator`.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: it comes too late, or wolkvox said no
    :raises AirflowException: nothing was sent or nobody saw the answer, and a retry may help
    """

    def ask(self, before_sending: Callable[[], None]) -> str:
        """Delete the recall."""
        self.hook.get_conn().delete_recall(**self.which, before_sending=before_sending)
        return f"the recall of customer {self.shown} is deleted"
