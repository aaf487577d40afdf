"""AuxCallOperator: an agent rings the customer of a predictive call that has been cut."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeGuard, get_args

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from airflow_provider_wolkvox.calling.lateness import instant, too_late
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, InLane, require_lane
from airflow_provider_wolkvox.ledger import Ledger, State

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.api import ReportedCall
    from airflow_provider_wolkvox.ledger import Entry

OnUnknown = Literal["fail", "look_up"]

RELEASE = (
    "To ring on purpose, and only then: `airflow wolkvox release {dag_id} {run_id} {task_id}{map_index} --yes`, "
    "then clear the task"
)


class AuxCallOperator(InLane, BaseOperator):
    """Make an agent ring the customer of a predictive call again, once that call has been cut.

    The agent must be logged in and have no active call [doc]. The task runs in its token's lane: the
    pool named after the connection, of one slot (`airflow wolkvox sync-pools` makes it). It returns
    wolkvox's `conn_id` of the new call and pushes it to XCom under the key `conn_id` as well; it is
    empty if wolkvox gave none.

    However often the task is run, the phone rings at most once. From Airflow 3.3 a ledger in the task
    state store remembers what became of the call; before, a try after the first refuses to call.

    :param agent_id: the agent's extension (templated)
    :param customer_phone: 5 to 20 digits; blanks, dashes, dots, brackets and one leading `+` are dropped,
        and the connection's `dial_prefix` is put before it (templated)
    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
        (templated if `pool` is given)
    :param call_before: the instant from which the call is too late, an aware datetime or its ISO 8601
        text (templated); default None
    :param max_age: how long after the run was due (the later of its `data_interval_end` and `run_after`)
        the call may still be made; default 24 hours, None for any time
    :param on_unknown: what to do when nobody saw the call's answer: `"fail"` (default), or `"look_up"`: look
        for the call in wolkvox's reports, at once and then every 5 minutes, giving the lane back in between
        (before Airflow 3.3 at once only); if it is found, the task succeeds with its `conn_id`
    :param look_up_timeout: how long after the request to look for the call; default 30 minutes
    :param ledger_retention: how long the ledger keeps the call; default None, as long as Airflow keeps
        the DAG run
    :param allow_second_try: call although nothing tells whether an earlier try did: in a later try
        before Airflow 3.3, or where the ledger was wiped; default False
    :param pool: another lane than the one named after the connection, for connections that hold one
        token; a pool of one slot

    What was not sent, a token that stays in use and an API that is switched off fail the try, and the
    task's `retries` apply. All other refusals and an unknown outcome fail the task at once.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    """

    template_fields: Sequence[str] = ("agent_id", "customer_phone", "wolkvox_conn_id", "call_before")
    ui_color = "#e7f3ec"

    # The vendor recommends at most one request for reports every five minutes [doc].
    look_up_every: ClassVar[timedelta] = timedelta(minutes=5)

    def __init__(
        self,
        *,
        agent_id: str | int,
        customer_phone: str | int,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        call_before: datetime | str | None = None,
        max_age: timedelta | None = timedelta(hours=24),
        on_unknown: OnUnknown = "fail",
        look_up_timeout: timedelta = timedelta(minutes=30),
        ledger_retention: timedelta | None = None,
        allow_second_try: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.agent_id = agent_id
        self.customer_phone = customer_phone
        self.call_before = call_before
        self.max_age = max_age
        self.on_unknown = on_unknown
        self.look_up_timeout = look_up_timeout
        self.ledger_retention = ledger_retention
        self.allow_second_try = allow_second_try
        self._refuse_literals_that_cannot_be_right()

    @cached_property
    def hook(self) -> WolkvoxHook:
        """The hook of the task's connection."""
        return WolkvoxHook(self.wolkvox_conn_id)

    def execute(self, context: Context) -> str:
        """Make the call unless it was made already; push `conn_id` and return it."""
        require_lane(self, context)
        ledger = Ledger.of(context, self.ledger_retention)
        conn_id = self._known(ledger, context)
        if conn_id is None:
            self._require_in_time(ledger, context)
            conn_id = self._call(ledger, context)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="conn_id", value=conn_id)
        return conn_id

    def on_kill(self) -> None:
        """Send nothing more; a request that is on its way cannot be called back."""
        self.hook.stop()

    def _known(self, ledger: Ledger, context: Context) -> str | None:
        """Return the `conn_id` of a call that was made already, None if the call may be made now."""
        try:
            entry = ledger.read()
        except ValueError as wrong:
            self._fail(f"What the ledger holds cannot be read: {wrong}. No call was made. {self._release(context)}.")
        if entry is None:
            self._require_that_none_was_forgotten(ledger, context)
        elif entry.state in (State.ACCEPTED, State.INTENT) and entry.phone != self._shown():
            self._fail(
                f"An earlier run of this task was for another customer: {entry}. Which customer stands behind a task "
                "must not change once it has called (a mapped task's list changed its order?). No call was made. "
                f"{self._release(context)}."
            )
        elif entry.state is State.ACCEPTED:
            self.log.info(
                "This call was already made: %s. No phone rings now; its conn_id is returned. %s.",
                entry,
                self._release(context),
            )
            return entry.conn_id
        elif entry.state is State.INTENT:
            return self._resolve(ledger, entry, context)
        return None

    def _call(self, ledger: Ledger, context: Context) -> str:
        from airflow_provider_wolkvox.api import (
            ApiUnavailable,
            NotSent,
            OutcomeUnknown,
            Refused,
            TokenBusy,
            WolkvoxError,
        )

        shown = self._shown()

        def last_look() -> None:
            _require_running(context)
            self._require_in_time(ledger, context)
            ledger.intend(str(self.agent_id), shown)

        def record(failure: WolkvoxError) -> None:
            (ledger.refuse if isinstance(failure, Refused) else ledger.not_sent)(str(failure))

        try:
            call = self.hook.aux_call(
                self.agent_id, self.customer_phone, before_sending=last_look, before_resending=record
            )
        except (NotSent, TokenBusy, ApiUnavailable) as failure:
            record(failure)
            # Without a ledger the next try could only refuse, and would hide the reason.
            again = ledger.remembers or self.allow_second_try
            raise (AirflowException if again else AirflowFailException)(str(failure)) from None
        except Refused as failure:
            record(failure)
            self._fail(str(failure))
        except OutcomeUnknown as failure:
            ledger.leave_open(failure.why)
            return self._resolve(ledger, ledger.last, context)
        except AirflowFailException:
            # The last look said no, and has written what it knows.
            raise
        except Exception as failure:
            # Such as a number that cannot be right, a connection that Airflow does not have, a store that is
            # down. Once an intent stands, what an exception of any other kind proves is nothing.
            if ledger.is_open:
                ledger.leave_open(type(failure).__name__)
                raise
            ledger.not_sent(str(failure) if isinstance(failure, ValueError) else type(failure).__name__)
            if isinstance(failure, ValueError):
                self._fail(str(failure))
            raise
        ledger.accept(call.conn_id)
        self.log.info(
            "wolkvox accepted the call: agent %s rings %s, conn_id %s",
            call.agent_id,
            shown,
            call.conn_id or "(none given, so the call cannot be found in the reports by its id)",
        )
        return call.conn_id

    def _require_in_time(self, ledger: Ledger, context: Context) -> None:
        try:
            late = too_late(
                datetime.now(UTC),
                call_before=instant(self.call_before, "call_before") if self.call_before else None,
                due=_due(context),
                max_age=self.max_age,
            )
        except ValueError as wrong:
            late = str(wrong)
        if late:
            ledger.not_sent(late)
            self._fail(f"The call was not made: {late}. No phone rang. Running the task again does not change that.")

    def _require_that_none_was_forgotten(self, ledger: Ledger, context: Context) -> None:
        """Refuse to call where an earlier run may have called and the empty ledger does not prove otherwise."""
        why = ledger.may_have_forgotten(context, self.retries or 0)
        if why and not self.allow_second_try:
            release = f", or: {self._release(context)}" if ledger.remembers else ""
            self._fail(
                f"This is try {context['ti'].try_number} of the task: an earlier one may have made the phone ring, and "
                f"{why}. No call was made in this try. Look at the earlier try's log and in wolkvox's reports. To call "
                f"nevertheless, set allow_second_try=True on the task{release}."
            )

    def _resolve(self, ledger: Ledger, intent: Entry, context: Context) -> str:
        """Return the `conn_id` of a call whose answer nobody saw, if wolkvox's reports show it."""
        if self.on_unknown == "look_up":
            found = self._look_up(intent)
            if found:
                ledger.accept(found.conn_id)
                self.log.info("The call was made: report %s shows it with conn_id %s.", found.report, found.conn_id)
                return found.conn_id
            now, last_look = datetime.now(UTC), intent.at + self.look_up_timeout
            # Without a ledger, nothing would be known any more after the pause.
            if ledger.remembers and now < last_look:
                again_at = min(now + self.look_up_every, last_look)
                self.log.info("No report shows the call yet. Looking again at %s.", f"{again_at:%H:%M:%S} UTC")
                from airflow.exceptions import AirflowRescheduleException

                raise AirflowRescheduleException(again_at)  # type: ignore[no-untyped-call]
        self._fail(
            f"The outcome of this call is unknown: {intent}. The phone may have rung, and this task does not "
            "call again on its own. Look for the call in wolkvox's reports (connected calls, not-connected calls). "
            + (f"{self._release(context)}." if ledger.remembers else "")
        )

    def _look_up(self, intent: Entry) -> ReportedCall | None:
        from airflow_provider_wolkvox.api import WolkvoxError

        try:
            return self.hook.find_aux_call(intent.agent_id, self.customer_phone, intent.at)
        except (WolkvoxError, ValueError) as failure:
            self.log.warning("The reports could not be read: %s", failure)
            return None

    def _shown(self) -> str:
        from airflow_provider_wolkvox.api.arguments import masked

        return masked(str(self.customer_phone))

    def _release(self, context: Context) -> str:
        ti = context["ti"]
        map_index = "" if ti.map_index in (None, -1) else f" {ti.map_index}"
        return RELEASE.format(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index)

    def _fail(self, message: str) -> NoReturn:
        raise AirflowFailException(message) from None

    def _refuse_literals_that_cannot_be_right(self) -> None:
        """Refuse, while the DAG is parsed, what is known by then."""
        from airflow_provider_wolkvox.api import arguments

        for value, check in ((self.agent_id, arguments.agent_id), (self.customer_phone, arguments.phone)):
            if value is None or isinstance(value, (int, float)) or _is_literal(value):
                check(value)
        if self.on_unknown not in get_args(OnUnknown):
            raise ValueError(f"on_unknown={self.on_unknown!r} is none of {', '.join(map(repr, get_args(OnUnknown)))}")
        for name in ("look_up_timeout", "max_age", "ledger_retention"):
            length = getattr(self, name)
            if not isinstance(length, timedelta) and (length is not None or name == "look_up_timeout"):
                raise ValueError(f"{name}={length!r} is no timedelta")
        if isinstance(self.call_before, datetime) or _is_literal(self.call_before):
            instant(self.call_before, "call_before")


def _require_running(context: Context) -> None:
    """Refuse to go on if the server no longer takes this process for the task that runs.

    :raises AirflowFailException: the task was cleared, marked, or given to another process
    """
    ti: Any = context["ti"]
    if hasattr(ti, "get_task_states"):
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        # The request names one task instance, so at most one state comes back.
        state = next(iter(states.get(ti.run_id, {}).values()), None)
    else:
        # Before 3.0 a task has the database at hand.
        ti.refresh_from_db()
        # `airflow dags test` leaves the state at "scheduled" there. It is no harm to take that for running
        # where a task was cleared and scheduled again: that later try refuses to call.
        state = "running" if ti.state == "scheduled" else ti.state
    if state != "running":
        raise AirflowFailException(
            f"The task is no longer running for Airflow (its state is {state}): it was cleared, marked or given up "
            "since this try began. Nothing was sent in this try and no phone rang."
        )


def _due(context: Context) -> datetime | None:
    """Return when the call was due: the end of the interval or, if a person asked later, that moment."""
    run: Any = context["dag_run"]
    # `run_after` came with 3.0; before, a manual run's logical date is the moment that it was asked for.
    moments = (context.get("data_interval_end"), getattr(run, "run_after", None) or getattr(run, "logical_date", None))
    return max((moment for moment in moments if moment is not None), default=None)


def _is_literal(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and "{" not in value
