"""What every operator shares whose requests must not be made twice: what a task adds to `AtMostOnce`.

An operator says what it asks of wolkvox (`intent`) and in which words that is spoken of (`Words`), and `AtMostOnce`
does the rest, the same for a call, a recall of records and each batch of an upload.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from airflow_provider_wolkvox.calling.lateness import instant
from airflow_provider_wolkvox.hooks.wolkvox import UsesHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, InLane
from airflow_provider_wolkvox.not_done import NotDone, Then, Words
from airflow_provider_wolkvox.running_task import (
    due,
    origin_of,
    raise_for,
    release,
    settle,
    why_superseded,
    why_too_late,
)
from airflow_provider_wolkvox.stop_switch import StopWatch
from airflow_provider_wolkvox.validation import Checks, length, optional, switch, text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.at_most_once import AtMostOnce, Send
    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.ledger.base import Ledger
    from airflow_provider_wolkvox.ledger.entry import Entry, Intent
    from airflow_provider_wolkvox.ledger.sql import SqlLedger
    from airflow_provider_wolkvox.ledger.task_state import TaskStateLedger


class OnceOperator(UsesHook, InLane, BaseOperator):
    """An operator whose requests are made at most once, however often its task is run.

    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param max_age: how long after the run was due (the later of its `data_interval_end` and `run_after`)
        the request may still be made; default 24 hours, None for any time
    :param call_before: the instant from which it is too late; default None
    :param idempotency_key: what identifies the request instead of its DAG run and customer, for all that use the same
        ledger; needs a ledger in SQL; default None (templated)
    :param ledger_retention: how long the ledger keeps it; default None, as long as Airflow keeps the DAG run. What it
        has forgotten is done again
    :param allow_second_try: make it although nothing tells whether an earlier try did; default False

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: it must not be made (again), wolkvox said no, or its outcome is unknown; no retry
    :raises AirflowException: it was not made, and a retry may make it
    """

    template_fields: Sequence[str] = ()
    fields_of_all = ("idempotency_key", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {
        "max_age": optional(length),
        "ledger_retention": optional(length),
        "allow_second_try": switch,
        "call_before": optional(instant),
        "idempotency_key": optional(text),
    }

    words: ClassVar[Words]

    last_entry: Entry | None = None
    """What the ledger knows of the request that the running task made last, or found made."""
    found_made: bool = False
    """Whether an earlier run had made it."""

    def __init__(
        self,
        *,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        max_age: timedelta | None = timedelta(hours=24),
        ledger_retention: timedelta | None = None,
        allow_second_try: bool = False,
        call_before: datetime | str | None = None,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.max_age = max_age
        self.ledger_retention = ledger_retention
        self.allow_second_try = allow_second_try
        self.call_before = call_before
        self._has_deadline = call_before is not None
        self.idempotency_key = idempotency_key
        self._has_key = idempotency_key is not None

    def once(self, intent: Intent, send: Send, context: Context) -> Entry:
        """Make a request unless it was made already, and return what the ledger knows of the accepted one.

        :param intent: what to ask of wolkvox, as the ledger knows it
        :param send: makes the request
        :param context: the task's
        :raises AirflowFailException: it must not be made (again), wolkvox refused it, or its outcome is unknown
        :raises AirflowException: it was not made, and a retry may make it
        :raises AirflowSkipException: it was not made, and the task is skipped for it
        :raises AirflowRescheduleException: it was not made, and the task runs again later
        """
        # A DAG file needs none of this while it is parsed.
        from airflow_provider_wolkvox.at_most_once import AtMostOnce
        from airflow_provider_wolkvox.ledger.base import LedgerError

        about = _Task(self, context)
        configured, of_airflow = self.configured_ledger(), self._of_airflow(intent, context)
        ledger: Ledger = configured or of_airflow
        if configured is None:
            remembers = "only this task" if of_airflow.remembers else "nothing"
            self.log.info(
                "No ledger in SQL ([wolkvox] ledger_conn_id): %s remembers this %s.", remembers, self.words.request
            )
        engine = AtMostOnce(ledger, about, about, self.log, allow_second_try=self.allow_second_try)
        try:
            with self.hook.closing(), closing(ledger):
                if configured is not None and context["ti"].try_number > 1:
                    _take_over(of_airflow, configured, intent, engine)
                return engine.run(intent, send)
        except LedgerError as wrong:
            raise AirflowException(str(wrong)) from None
        except NotDone as ended:
            raise_for(ended)
        finally:
            self.last_entry, self.found_made = engine.entry, engine.found_made

    def configured_ledger(self) -> SqlLedger | None:
        """Return the ledger in SQL, None if none is configured.

        :raises AirflowFailException: none is, and `idempotency_key` needs one
        :raises AirflowException: it cannot be used
        """
        from airflow_provider_wolkvox.ledger.base import LedgerError
        from airflow_provider_wolkvox.ledger.configuration import configured_ledger

        try:
            ledger = configured_ledger()
        except LedgerError as wrong:
            raise AirflowException(str(wrong)) from None
        if ledger is None and self._has_key:
            why = "idempotency_key needs a ledger in SQL, and [wolkvox] ledger_conn_id is not set"
            self.fail(
                f"{self.words.not_made(why)} Airflow's own memory knows a task, not a key. Set up a ledger (`airflow "
                "wolkvox ledger init`), or leave idempotency_key out."
            )
        return ledger

    def _of_airflow(self, intent: Intent, context: Context) -> TaskStateLedger:
        """Return the memory that Airflow itself offers, which knows this task only."""
        from airflow_provider_wolkvox.ledger.task_state import TaskStateLedger, key_of, may_have_forgotten

        store: Any = context.get("task_state_store")

        def why_incomplete() -> str | None:
            # Of several requests the first one's entry, without which nobody comes this far, proves the ledger.
            if intent.index:
                return None
            return may_have_forgotten(context, self.retries or 0, remembers=store is not None)

        return TaskStateLedger(
            store,
            origin_of(context),
            retention=self.ledger_retention,
            key=key_of(intent.index),
            why_incomplete=why_incomplete,
        )

    def intent(
        self,
        context: Context,
        action: str,
        *,
        customer: str = "",
        phone: str = "",
        agent_id: str = "",
        what: str = "",
        index: int = 0,
        idempotency_key: str = "",
    ) -> Intent:
        """Return what is asked for, as the ledger knows it.

        :param context: the task's
        :param action: what is asked for, such as `aux_call`
        :param customer: the customer's number, in its one spelling; default none
        :param phone: the same, masked; default none
        :param agent_id: the agent's extension; default none
        :param what: what is asked for, in words, where it is not a call; default none
        :param index: which of a task's requests it is, from 0; default 0, the only or first one
        :param idempotency_key: what identifies this one; default none, the task's own `idempotency_key` and the index
        """
        from airflow_provider_wolkvox.ledger.entry import Intent, authors_key, customers_key

        origin = origin_of(context)
        # What is no call is told apart by its place, so what is asked for there must not change.
        arguments = (agent_id, what) if what else ()
        if idempotency_key or self.idempotency_key is not None:
            part = "" if idempotency_key else str(index or "")
            key = authors_key(idempotency_key or str(self.idempotency_key), part)
            arguments = (agent_id, what)
        elif customer:
            key = customers_key(origin, action, customer)
        else:
            key = ("task", *origin.of_run, origin.task_id, str(origin.map_index), action, str(index or ""))
        return Intent(
            key=key,
            action=action,
            origin=origin,
            customer=customer,
            phone=phone,
            agent_id=agent_id,
            arguments=arguments,
            what=what,
            index=index,
            server=self.hook.server_code(),
            due=due(context),
        )

    def require_allowed(self, context: Context) -> None:
        """Refuse, before anything is sent and again right before it is, what must not be asked for now.

        :raises NotDone: it must not be asked for now
        """
        try:
            self.validate_rendered()
        except ValueError as wrong:
            self.reject("arguments", str(wrong))
        late = why_too_late(context, self.call_before, self.max_age)
        if late:
            self.reject("late", late, "Running the task again does not change that.")

    def reject(self, code: str, why: str, what_to_do: str = "") -> NoReturn:
        """Reject what must not be asked for now.

        :param code: why, for programs
        :param why: why, for people, without a full stop
        :param what_to_do: a sentence; default none
        :raises NotDone: always
        """
        raise NotDone(f"{self.words.not_made(why)} {what_to_do}".strip(), code=code, reason=why)

    def caps(self, *, counted: bool) -> Sequence[Cap]:
        """Return how often the customer may be called: as often as is asked for, since this is no call.

        :param counted: whether the ledger can count
        """
        return ()

    def put_off(self, context: Context, code: str, why: str, opens: datetime) -> NotDone:
        """Return what to do about a request that may be made later: the task fails for a retry.

        :param code: why, for programs
        :param why: why, for people, without a full stop
        :param opens: when it may be made, aware
        """
        why = f"{why}, next at {opens:%Y-%m-%d %H:%M:%S} UTC"
        return NotDone(self.words.not_made(why), Then.RETRY, code=code, reason=why, until=opens)

    def validate_rendered(self) -> None:
        """Reject what cannot be right; a deadline that a template made empty is not taken for none.

        :raises ValueError: an argument cannot be right
        """
        super().validate_rendered()
        if self._has_key and not str(self.idempotency_key or "").strip():
            raise ValueError(
                "idempotency_key is empty: its template gave nothing. Only idempotency_key=None in the DAG file means "
                "that the request has no key of the author's"
            )
        if self._has_deadline and self.call_before is None:
            raise ValueError(
                "call_before is empty: its template gave nothing. Only call_before=None in the DAG file means that "
                "there is no deadline"
            )

    def look_up(self, entry: Entry, *, remembered: bool) -> str | None:
        """Return wolkvox's id of a request in doubt, if its reports show it; None if they do not, as here.

        :param entry: what the ledger knows of it
        :param remembered: whether a later try will still know of it
        :raises NotDone: they may show it later, and the task looks again then
        """
        return None

    def look_up_command(self, entry: Entry) -> str:
        """Return the command that looks for the request in wolkvox's reports, as a sentence; empty if there is none.

        :param entry: what the ledger knows of it
        """
        return ""

    @cached_property
    def stop_watch(self) -> StopWatch:
        """Looks at the stop switch, for requests that ring a phone."""
        return StopWatch(self.log)

    def fail(self, message: str) -> NoReturn:
        """Fail the task without a retry.

        :param message: what happened, what did not, and what to do; for the task's log
        :raises AirflowFailException: always
        """
        raise AirflowFailException(message) from None

    def require_running(self, context: Context) -> None:
        """Refuse to go on if the server no longer takes this process for the task that runs.

        :raises AirflowFailException: it was cleared, marked or given up; nothing was sent
        """
        lost = why_superseded(context)
        if lost:
            self.fail(self.words.superseded(lost))


class _Task:
    """What a running task knows, and how it speaks: `Checks` and `Messages` of its request."""

    def __init__(self, task: OnceOperator, context: Context) -> None:
        self._task = task
        self._context = context
        self.words = task.words

    def superseded(self) -> str | None:
        return why_superseded(self._context)

    def require_allowed(self) -> None:
        self._task.require_allowed(self._context)

    def token(self) -> tuple[str, float]:
        return self._task.hook.token_use()

    def caps(self, *, counted: bool) -> Sequence[Cap]:
        return self._task.caps(counted=counted)

    def put_off(self, code: str, why: str, opens: datetime) -> NotDone:
        return self._task.put_off(self._context, code, why, opens)

    def look_up(self, entry: Entry, *, remembered: bool) -> str | None:
        return self._task.look_up(entry, remembered=remembered)

    def release(self, entry: Entry | None) -> str:
        return release(self.words, self._context, entry)

    def settle(self, entry: Entry) -> str:
        return settle(self._context, entry)

    def where_to_look(self, entry: Entry) -> str:
        return self._task.look_up_command(entry)


def _take_over(before: TaskStateLedger, ledger: SqlLedger, intent: Intent, engine: AtMostOnce) -> None:
    """Move what Airflow's own memory knows of a request, made before there was a ledger in SQL, into that ledger.

    :raises NotDone: in the task's place, another customer was called before: a list shifted, and nobody knows whom else
    """
    from airflow_provider_wolkvox.at_most_once import take_over
    from airflow_provider_wolkvox.ledger.entry import CallState, Claimed, DifferentArguments, Entry, Settlement

    [known] = before.known([intent])
    if isinstance(known, DifferentArguments) and known.entry.state.may_have_rung:
        raise NotDone(engine.about_another(known))
    if not isinstance(known, Entry) or not known.state.may_have_rung:
        return
    if take_over(ledger, intent, known.state, known.conn_id, known.answer):
        # Else it would be moved again once a person has released it there.
        attempt = Claimed(known.intent_key, known.attempt_id, known.origin)
        moved = Settlement(claimed=attempt, state=CallState.NOT_SENT, reason="recorded in the ledger in SQL since")
        before.settle(moved)
