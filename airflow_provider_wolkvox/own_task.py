"""`WolkvoxHook.aux_call` within a task of an author's own: made at most once, through the ledger in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, get_current_context

from airflow_provider_wolkvox.api import AgentCall
from airflow_provider_wolkvox.at_most_once import AtMostOnce
from airflow_provider_wolkvox.ledger.base import LedgerError
from airflow_provider_wolkvox.ledger.configuration import configured_ledger
from airflow_provider_wolkvox.ledger.entry import Intent, authors_key, customers_key
from airflow_provider_wolkvox.not_done import OF_A_CALL, NotDone
from airflow_provider_wolkvox.phone import PhoneNumber, masked
from airflow_provider_wolkvox.running_task import due, origin_of, raise_for, release, settle, why_superseded
from airflow_provider_wolkvox.stop_switch import StopWatch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
    from airflow_provider_wolkvox.ledger.entry import Entry


def running_context() -> Context | None:
    """Return the context of the running task; None outside of one."""
    try:
        return get_current_context()
    except Exception:
        # Each version of Airflow has a class of its own for it.
        return None


def call_once(
    hook: WolkvoxHook, agent_id: str | int, customer_phone: str | int, idempotency_key: str | None, context: Context
) -> AgentCall:
    """Make an auxiliary call unless it was made already.

    :param hook: the connection's
    :param agent_id: as for `WolkvoxHook.aux_call`, also `customer_phone` and `idempotency_key`
    :param context: the task's
    :raises AirflowFailException: as for `WolkvoxHook.aux_call`, and so are the other errors
    """
    PhoneNumber.parse(customer_phone)
    customer = hook.customer_key(customer_phone)
    origin = origin_of(context)
    if idempotency_key is not None and not idempotency_key.strip():
        raise ValueError("idempotency_key is empty. No call was made")
    intent = Intent(
        key=authors_key(idempotency_key) if idempotency_key else customers_key(origin, "aux_call", customer),
        action="aux_call",
        origin=origin,
        customer=customer,
        phone=masked(str(customer_phone)),
        agent_id=str(agent_id),
        arguments=(str(agent_id), "") if idempotency_key else (),
        server=hook.server_code(),
        due=due(context),
    )

    def send(**around: Any) -> dict[str, str]:
        return {"conn_id": hook.get_conn().aux_call(agent_id, customer_phone, **around).conn_id}

    task = _Task(hook, context)
    try:
        ledger = configured_ledger()
        assert ledger is not None  # noqa: S101
        with closing(ledger):
            entry = AtMostOnce(ledger, task, task, hook.log).run(intent, send)
    except LedgerError as wrong:
        raise AirflowException(str(wrong)) from None
    except NotDone as ended:
        raise_for(ended)
    return AgentCall(conn_id=entry.conn_id, agent_id=entry.agent_id, accepted_at=entry.settled_at or entry.at)


class _Task:
    """What the author's task knows, and how its call is spoken of: `Checks` and `Messages`."""

    words = OF_A_CALL

    def __init__(self, hook: WolkvoxHook, context: Context) -> None:
        self._hook = hook
        self._context = context
        self._stop_watch = StopWatch(hook.log)

    def superseded(self) -> str | None:
        return why_superseded(self._context)

    def require_allowed(self) -> None:
        stopped = self._stop_watch.why_stopped(self._hook.wolkvox_conn_id)
        if stopped:
            raise NotDone(
                f"{self.words.not_made(stopped)} Clear the task once calling goes on.", code="stopped", reason=stopped
            )

    def token(self) -> tuple[str, float]:
        return self._hook.token_use()

    def caps(self, *, counted: bool) -> Sequence[Cap]:
        return self._hook.caps()[0]

    def put_off(self, code: str, why: str, opens: datetime) -> NotDone:
        why = f"{why}, next at {opens:%Y-%m-%d %H:%M:%S} UTC"
        return NotDone(self.words.not_made(why), code=code, reason=why, until=opens)

    def look_up(self, entry: Entry, *, remembered: bool) -> str | None:
        return None

    def release(self, entry: Entry | None) -> str:
        return release(self.words, self._context, entry, phone_ends=entry.phone[-4:] if entry else "")

    def settle(self, entry: Entry) -> str:
        return settle(self._context, entry)

    def where_to_look(self, entry: Entry) -> str:
        return ""
