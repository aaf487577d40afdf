"""What every operator shares that has a phone ring: the stop switch, the customer's hours, and what to do in doubt."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_wolkvox.compat import describe
from airflow_provider_wolkvox.links import WolkvoxManagerLink
from airflow_provider_wolkvox.not_done import OF_A_CALL, NotDone, Then
from airflow_provider_wolkvox.operators.once import OnceOperator
from airflow_provider_wolkvox.phone import mask_numbers, masked
from airflow_provider_wolkvox.running_task import can_pause, why_superseded, why_too_late
from airflow_provider_wolkvox.validation import (
    OF_CONNECTION,
    Checks,
    agent,
    calling_hours,
    cap,
    choice,
    length_or_none_at_all,
    phone,
    switch,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_wolkvox.api import AgentCall, ReportedCall
    from airflow_provider_wolkvox.calling.caps import Cap
    from airflow_provider_wolkvox.calling.hours import Hours
    from airflow_provider_wolkvox.ledger.entry import Entry, Intent

OnUnknown = Literal["fail", "look_up"]
OutsideHours = Literal["wait", "skip", "fail"]


_OF_A_CALL = ("agent_id", "customer_phone", "call_before", "idempotency_key")


def not_a_call(given: Any) -> str | None:
    """Return why something does not say whom to call; None if it is a mapping that does.

    :param given: a mapping with `agent_id`, `customer_phone` and maybe `call_before`, if all is well; its values are
        not looked at, and not repeated, since one may be a number
    """
    if not isinstance(given, Mapping):
        return f"is {type(given).__name__}, not a mapping with agent_id and customer_phone"
    missing = [name for name in _OF_A_CALL[:2] if name not in given]
    unknown = [name for name in given if name not in _OF_A_CALL]
    if unknown:
        shown = ", ".join(repr(mask_numbers(str(name)[:40])) for name in unknown[:5])
        return (
            f"has keys that no call has: {shown}. A call has {', '.join(_OF_A_CALL[:2])} and, if need be, "
            f"{', '.join(_OF_A_CALL[2:])}"
        )
    return f"has no {' and no '.join(missing)}" if missing else None


def _has_provider_commands() -> bool:
    """Return whether `airflow` has the commands of providers: from 3.2 [src]."""
    from airflow import __version__ as airflow_version
    from packaging.version import Version

    return Version(airflow_version) >= Version("3.2")


_SET_UP = "Set up a ledger (`airflow wolkvox ledger init`), or leave cap out."


class CallingOperator(OnceOperator):
    """An operator that has a phone ring: keeps the customer's hours, the stop switch, and what to do about doubt.

    The parameters are told by `AuxCallOperator`.
    """

    api: ClassVar[str] = "aux_call"
    """The API that makes the call, which decides how reports show it."""

    operator_extra_links = (WolkvoxManagerLink(),)
    made: int | None = None
    """How many calls the running task has made; None if that is not known."""

    # The vendor recommends at most one request for reports every five minutes [doc].
    look_up_every: ClassVar[timedelta] = timedelta(minutes=5)

    checks: ClassVar[Checks] = {
        "calling_hours": calling_hours,
        "outside_hours": choice(*get_args(OutsideHours)),
        "phone_zones": switch,
        "cap": cap,
        "on_unknown": choice(*get_args(OnUnknown)),
        "look_up_timeout": length_or_none_at_all,
    }
    words = OF_A_CALL

    def __init__(
        self,
        *,
        calling_hours: Hours | str | None = OF_CONNECTION,
        outside_hours: OutsideHours = "wait",
        phone_zones: bool = False,
        cap: Cap | Sequence[Cap] | str | None = OF_CONNECTION,
        on_unknown: OnUnknown = "fail",
        look_up_timeout: timedelta = timedelta(minutes=30),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.calling_hours = calling_hours
        self.outside_hours = outside_hours
        self.phone_zones = phone_zones
        self.cap = cap
        self.on_unknown = on_unknown
        self.look_up_timeout = look_up_timeout

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage of the calls, and of the callbacks behind them.

        :param task_instance: not needed
        """
        from airflow_provider_wolkvox.lineage import lineage_of_calls

        return lineage_of_calls(self, self.made)

    def find_call(self, agent_id: str, customer_phone: str | int, sent_at: datetime) -> ReportedCall | None:
        """Look in wolkvox's reports for a call whose answer nobody saw; None if none shows it, or none can be read.

        Its parameters are as for `WolkvoxClient.find_call`.
        """
        from airflow_provider_wolkvox.api import WolkvoxError

        try:
            return self.hook.get_conn().find_call(agent_id, customer_phone, sent_at, made_by=self.api)
        except (WolkvoxError, ValueError) as failure:
            self.log.warning("The reports could not be read: %s", failure)
            return None

    def caps(self, *, counted: bool) -> Sequence[Cap]:
        """Return how often the customer may be called; see `WolkvoxHook.caps`.

        :param counted: whether the ledger can count
        :raises NotDone: it cannot, and a cap was given that is not the law's
        """
        caps, of_law = self.hook.caps(self.cap)
        if caps and not counted:
            shown = " and ".join(map(str, caps))
            if not of_law:
                self.reject("cap", "cap needs a ledger in SQL, and [wolkvox] ledger_conn_id is not set", _SET_UP)
            self.log.warning(
                "Nobody counts how often a customer is called, which the law of the connection's country limits to %s: "
                "that needs a ledger in SQL ([wolkvox] ledger_conn_id).",
                shown,
            )
            return ()
        return caps

    def look_up_command(self, entry: Entry) -> str:
        """Return the command that looks for the call in wolkvox's reports, as a sentence.

        The number is masked wherever it is kept, so the person who looks fills it in.

        :param entry: what the ledger knows of the call
        """
        program = "airflow wolkvox" if _has_provider_commands() else "python -m airflow_provider_wolkvox"
        return (
            f" `{program} look-up --conn-id {shlex.quote(self.wolkvox_conn_id)} --agent {shlex.quote(entry.agent_id)} "
            f"--around '{entry.at:%Y-%m-%d %H:%M:%S} UTC' --phone NUMBER`, where NUMBER is the customer's "
            f"({entry.phone})."
        )

    def switched_off(self) -> str | None:
        """Return why the stop switch lets this task make no call now, None if it may; log each change of its state."""
        return self.stop_watch.why_stopped(self.wolkvox_conn_id)


class SingleCallOperator(CallingOperator):
    """An operator that makes one call: an agent rings one number, at most once.

    The parameters are told by `AuxCallOperator`.
    """

    template_fields: Sequence[str] = ("agent_id", "customer_phone", "wolkvox_conn_id", "call_before")
    fields_of_one = ("agent_id", "customer_phone", "call_before", "idempotency_key", "customer_id", "customer_name")
    checks: ClassVar[Checks] = {"agent_id": agent, "customer_phone": phone}
    ui_color = "#e7f3ec"

    def __init__(self, *, agent_id: str | int, customer_phone: str | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agent_id = agent_id
        self.customer_phone = customer_phone
        self.validate(vars(self))

    name_when_mapped = "{{ task.shown_call | default('') }}"

    @property
    def shown_call(self) -> str:
        """The call as a list of mapped tasks names it: agent, masked number and, once it is known, what came of it."""
        from airflow_provider_wolkvox.ledger.entry import CallState

        entry, came_of_it = self.last_entry, ""
        if entry is not None:
            accepted = "made before" if self.found_made else "accepted"
            names = {CallState.INTENT: "in doubt", CallState.REFUSED: "refused", CallState.ACCEPTED: accepted}
            came_of_it = ": " + names.get(entry.state, "not made")
        # An agent that cannot be right is anything, such as a number in the wrong place.
        agent = self.agent_id if str(self.agent_id).isdecimal() and len(str(self.agent_id)) < 7 else "?"
        return f"{agent} → {self.shown_number}{came_of_it}"

    @property
    def shown_number(self) -> str:
        """The number as logs and ledger show it."""
        return masked(str(self.customer_phone))

    @cached_property
    def hours(self) -> Hours | None:
        """When the customer may be called; None for any time."""
        return self.hook.calling_hours(self.calling_hours, self.customer_phone if self.phone_zones else None)

    def execute(self, context: Context) -> str:
        """Make the call unless it was made already; push `conn_id` and return it, or push why it was not accepted."""
        self.begin(context)
        try:
            conn_id = self.once(self._intent(context), self._send, context).conn_id
        except AirflowRescheduleException:
            # The task goes on.
            raise
        except AirflowException:
            self._push_state(context)
            raise
        self.made = 1
        if self.do_xcom_push:
            context["ti"].xcom_push(key="conn_id", value=conn_id)
        return conn_id

    def _push_state(self, context: Context) -> None:
        """Push to XCom whether a call that was not accepted may have rung, unless another process is the task's."""
        if self.last_entry is None or not self.do_xcom_push:
            return
        state = "unknown" if self.last_entry.state.may_have_rung else self.last_entry.state.value
        try:
            if why_superseded(context) is None:
                context["ti"].xcom_push(key="state", value=state)
        except Exception as failure:
            # Why the call was not accepted matters more.
            self.log.warning("XCom 'state' was not pushed (%s).", describe(failure))

    def require_allowed(self, context: Context) -> None:
        """Refuse a call that comes too late, one outside of the customer's hours, and any while calling is stopped.

        :raises NotDone: it must not be made now; what follows is as `outside_hours` says
        """
        super().require_allowed(context)
        stopped = self.switched_off()
        if stopped:
            self.reject("stopped", stopped, "Clear the task once calling goes on.")
        now = datetime.now(UTC)
        closed = self.hours.why_closed(now) if self.hours else None
        if self.hours and closed:
            why = f"the customer may not be called now ({closed})"
            raise self.put_off(context, "hours", why, self.hours.next_open(now))

    def put_off(self, context: Context, code: str, why: str, opens: datetime) -> NotDone:
        """Return what to do about a call that may be made later: what `outside_hours` says.

        :param code: why, for programs
        :param why: why, for people, without a full stop
        :param opens: when it may be made, aware
        """
        why = f"{why}, next at {opens:%Y-%m-%d %H:%M:%S} UTC"
        late = why_too_late(context, self.call_before, self.max_age, at=opens)
        if self.outside_hours == "wait" and late:
            why += f", and then it would be too late: {late}"
        elif self.outside_hours == "wait" and not can_pause():
            why += "; this Airflow cannot let the task wait: put a CallingHoursSensor before it"
        then = Then.SKIP if self.outside_hours == "skip" else Then.FAIL
        if self.outside_hours == "wait" and can_pause() and not late:
            self.log.info("The %s waits: %s.", self.words.request, why)
            then = Then.WAIT
        return NotDone(self.words.not_made(why), then, code=code, reason=why, until=opens)

    def look_up(self, entry: Entry, *, remembered: bool) -> str | None:
        """Return wolkvox's id of a call whose answer nobody saw, if the reports show it, and `on_unknown` asks for it.

        :param entry: what the ledger knows of it
        :param remembered: whether a later try will still know of it
        :raises NotDone: none shows it yet; the task looks again later, and gives the lane back
        """
        if self.on_unknown != "look_up":
            return None
        found = self.find_call(entry.agent_id, self.customer_phone, entry.at)
        if found:
            self.log.info(
                "The %s was made: report %s shows it with conn_id %s.", self.words.request, found.report, found.conn_id
            )
            return found.conn_id
        now, last_look = datetime.now(UTC), entry.at + self.look_up_timeout
        # Without a ledger, nothing would be known any more after the pause.
        if remembered and now < last_look:
            again_at = min(now + self.look_up_every, last_look)
            message = f"No report shows the {self.words.request} yet. Looking again at {again_at:%H:%M:%S} UTC."
            self.log.info("%s", message)
            raise NotDone(message, Then.WAIT, until=again_at)
        return None

    @abstractmethod
    def ring(self, **around: Any) -> AgentCall:
        """Have wolkvox make the call.

        :param **around: the client's `before_sending` and `before_resending`
        """

    def _intent(self, context: Context) -> Intent:
        customer = self.hook.customer_key(self.customer_phone)
        return self.intent(context, self.api, agent_id=str(self.agent_id), phone=self.shown_number, customer=customer)

    def _send(self, **around: Any) -> dict[str, str]:
        call = self.ring(**around)
        self.log.info(
            "wolkvox accepted the %s: agent %s rings %s, conn_id %s",
            self.words.request,
            call.agent_id,
            self.shown_number,
            call.conn_id or "(none given, so the call cannot be found in the reports by its id)",
        )
        return {"conn_id": call.conn_id}
