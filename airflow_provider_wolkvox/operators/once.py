"""What every request that must not be made twice goes through: the ledger, the fences, the outcomes.

An operator says what it asks of wolkvox (`Request`) and in which words that is spoken of (`Words`);
`OnceOperator` does the rest in the order of the ledger's protocol, the same for a call, a recall of
records and each batch of an upload.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, Protocol

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
)

from airflow_provider_wolkvox.calling.lateness import instant, too_late
from airflow_provider_wolkvox.compat import state_of
from airflow_provider_wolkvox.hooks.wolkvox import UsesHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, InLane
from airflow_provider_wolkvox.stop_switch import StopWatch
from airflow_provider_wolkvox.validation import Checks, length, optional, switch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.api import NotSent, TokenBusy
    from airflow_provider_wolkvox.ledger import Entry, Ledger


class Send(Protocol):
    """Makes the request, and returns what the ledger is to keep of an accepted one."""

    def __call__(
        self, *, before_sending: Callable[[], None], before_resending: Callable[[NotSent | TokenBusy], None]
    ) -> Mapping[str, Any]:
        """Make the request; the two callables are the client's.

        :param before_sending: called in every try right before the first byte; what it raises ends the request unsent
        :param before_resending: called with what ended a try that certainly did nothing, if another one follows
        """


@dataclass(frozen=True)
class Request:
    """One thing that is asked of wolkvox, at most once.

    :param about: what the ledger keeps of it: `agent_id` and masked `phone` of a call, else `what`
    :param send: makes the request
    :param number: a call's number, in its one spelling, of which the ledger keeps a keyed hash; default none
    :param place: which of a task's requests it is, from 0; default 0, the only or first one
    """

    about: Mapping[str, str]
    send: Send
    number: str = field(default="", repr=False)
    place: int = 0

    def is_told_by(self, entry: Entry) -> bool:
        """Return whether an entry of the ledger is about this request.

        :param entry: the one that stands where this request's would
        """
        return entry.is_of(self.about.get("phone") or self.about["what"], self.number)


class Words(NamedTuple):
    """How messages speak of a request.

    :param request: what it is, such as `call`
    :param for_whom: what it is about, such as `customer`
    :param nothing: that nothing came of it, such as `no phone rang`
    :param perhaps: what may have come of it, such as `the phone may have rung`
    :param look: where to look for what came of it
    :param again: what a person does who has it made once more, such as `ring`
    """

    request: str
    for_whom: str
    nothing: str
    perhaps: str
    look: str
    again: str


class OnceOperator(UsesHook, InLane, BaseOperator):
    """An operator whose requests are made at most once, however often its task is run.

    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param max_age: how long after the run was due (the later of its `data_interval_end` and `run_after`)
        the request may still be made; default 24 hours, None for any time
    :param call_before: the instant from which it is too late; default None
    :param ledger_retention: how long the ledger keeps it; default None, as long as Airflow keeps the DAG run. What it
        has forgotten is done again
    :param allow_second_try: make it although nothing tells whether an earlier try did; default False

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: it must not be made (again), wolkvox said no, or its outcome is unknown; no retry
    :raises AirflowException: it was not made, and a retry may make it
    """

    template_fields: Sequence[str] = ("wolkvox_conn_id",)

    checks: ClassVar[Checks] = {
        "max_age": optional(length),
        "ledger_retention": optional(length),
        "allow_second_try": switch,
        "call_before": optional(instant),
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
        **kwargs: Any,
    ) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.max_age = max_age
        self.ledger_retention = ledger_retention
        self.allow_second_try = allow_second_try
        self.call_before = call_before
        self._has_deadline = call_before is not None

    def once(self, request: Request, context: Context) -> Entry:
        """Make a request unless it was made already, and return the ledger's entry of the accepted one.

        :param request: what to ask of wolkvox
        :raises AirflowFailException: it must not be made (again), wolkvox refused it, or its outcome is unknown
        :raises AirflowException: it was not made, and a retry may make it
        """
        from airflow_provider_wolkvox.ledger import Ledger, key_of

        ledger = Ledger.of(context, self.ledger_retention, key_of(request.place))
        try:
            known = self._known(request, ledger, context)
            self.found_made = known is not None
            if known is not None:
                return known
            with self.hook.closing():
                made = self._make(request, ledger, context)
        finally:
            self.last_entry = ledger.entry
        lost = self.why_superseded(context)
        if lost:
            self.fail(
                f"{lost}. The {self.words.request} was made: {made}. It is not reported to Airflow, where another try "
                "may have reported something else."
            )
        return made

    def require_allowed(self, ledger: Ledger, context: Context) -> None:
        """Refuse, before anything is sent and again right before it is, what must not be asked for now.

        :param ledger: gets the reason
        :raises AirflowFailException: it must not be asked for in this run any more
        """
        try:
            self.validate_rendered()
        except ValueError as wrong:
            ledger.not_sent(str(wrong))
            self.fail(self.not_made(str(wrong)))
        late = why_too_late(context, self.call_before, self.max_age)
        if late:
            ledger.not_sent(late)
            self.fail(f"{self.not_made(late)} Running the task again does not change that.")

    def validate_rendered(self) -> None:
        """Reject what cannot be right; a deadline that a template made empty is not taken for none.

        :raises ValueError: an argument cannot be right
        """
        super().validate_rendered()
        if self._has_deadline and self.call_before is None:
            raise ValueError(
                "call_before is empty: its template gave nothing. Only call_before=None in the DAG file means that "
                "there is no deadline"
            )

    def resolve(self, intent: Entry, ledger: Ledger, context: Context) -> Entry:
        """Return the entry of a request whose answer nobody saw, if what came of it can be found out.

        :param intent: what the ledger knows of it
        :param ledger: gets what is found out
        :raises AirflowFailException: it cannot be found out
        """
        self.fail(
            f"The outcome of this {self.words.request} is unknown: {intent}. "
            f"{_sentence(self.words.perhaps)} This task does not {self.words.again} again on its own. "
            f"{_sentence(self.words.look)}{self.look_up_command(intent)}"
            + (f" {self.settle(context)}. {self.release(context)}." if ledger.remembers else "")
        )

    def look_up_command(self, intent: Entry) -> str:
        """Return the command that looks for the request in wolkvox's reports, as a sentence; empty if there is none.

        :param intent: what the ledger knows of it
        """
        return ""

    @cached_property
    def stop_watch(self) -> StopWatch:
        """Looks at the stop switch, for requests that ring a phone."""
        return StopWatch(self.log)

    def not_made(self, why: str) -> str:
        """Return the words for a request that was not made.

        :param why: the reason, without a full stop
        """
        return f"The {self.words.request} was not made: {why}. {_sentence(self.words.nothing)}"

    def fail(self, message: str) -> NoReturn:
        """Fail the task without a retry.

        :param message: what happened, what did not, and what to do; for the task's log
        :raises AirflowFailException: always
        """
        raise AirflowFailException(message) from None

    def _known(self, request: Request, ledger: Ledger, context: Context) -> Entry | None:
        """Return the entry of a request that was accepted already, None if it may be made now."""
        from airflow_provider_wolkvox.ledger import State

        words = self.words
        try:
            entry = ledger.read()
        except ValueError as wrong:
            self.fail(
                f"What the ledger holds cannot be read: {wrong}. No {words.request} was made. {self.release(context)}."
            )
        if entry is None:
            # Of several requests the first one's entry, without which nobody comes this far, proves the ledger.
            if request.place == 0:
                self._require_that_none_was_forgotten(ledger, context)
        elif entry.state in (State.ACCEPTED, State.INTENT) and not request.is_told_by(entry):
            self.fail(
                f"An earlier run of this task was for another {words.for_whom}: {entry}. Which {words.for_whom} stands "
                "behind a task must not change once it has sent something (a mapped task's list changed its order?). "
                f"No {words.request} was made. {self.release(context)}."
            )
        elif entry.state is State.ACCEPTED:
            self.log.info(
                "This %s was already made: %s. It is not made again; what it gave is returned. %s.",
                words.request,
                entry,
                self.release(context),
            )
            return entry
        elif entry.state is State.INTENT:
            return self.resolve(entry, ledger, context)
        return None

    def _make(self, request: Request, ledger: Ledger, context: Context) -> Entry:
        from airflow_provider_wolkvox.api import (
            ApiUnavailable,
            NotSent,
            OutcomeUnknown,
            Refused,
            TokenBusy,
            WolkvoxError,
        )

        def last_look() -> None:
            self.require_running(context)
            self.require_allowed(ledger, context)
            ledger.intend(number=request.number, **request.about)

        def record(failure: WolkvoxError) -> None:
            (ledger.refuse if isinstance(failure, Refused) else ledger.not_sent)(str(failure))

        try:
            self.require_allowed(ledger, context)
            answer = request.send(before_sending=last_look, before_resending=record)
        except (NotSent, TokenBusy, ApiUnavailable) as failure:
            record(failure)
            # Without a ledger the next try could only refuse, and would hide the reason.
            again = ledger.remembers or self.allow_second_try
            raise (AirflowException if again else AirflowFailException)(str(failure)) from None
        except Refused as failure:
            record(failure)
            self.fail(str(failure))
        except OutcomeUnknown as failure:
            ledger.leave_open(failure.why)
            return self.resolve(ledger.last, ledger, context)
        except (AirflowFailException, AirflowSkipException, AirflowRescheduleException):
            # The last look said no, and has written what it knows.
            raise
        except Exception as failure:
            # Such as a number that cannot be right, hours without a time zone, a connection that Airflow does not
            # have, a store that is down. Once an intent stands, what an exception of any other kind proves is nothing.
            if ledger.is_open:
                ledger.leave_open(type(failure).__name__)
                raise
            final = isinstance(failure, (ValueError, ImportError))
            ledger.not_sent(str(failure) if final else type(failure).__name__)
            if final:
                self.fail(str(failure))
            raise
        ledger.accept(**answer)
        return ledger.last

    def _require_that_none_was_forgotten(self, ledger: Ledger, context: Context) -> None:
        """Refuse where an earlier run may have made the request and the empty ledger does not prove otherwise."""
        why = ledger.may_have_forgotten(context, self.retries or 0)
        if why and not self.allow_second_try:
            release = f", or: {self.release(context)}" if ledger.remembers else ""
            self.fail(
                f"This is try {context['ti'].try_number} of the task: in an earlier one {self.words.perhaps}, and "
                f"{why}. No {self.words.request} was made in this try. Look at the earlier try's log. "
                f"{_sentence(self.words.look)} To {self.words.again} nevertheless, set allow_second_try=True on the "
                f"task{release}."
            )

    def require_running(self, context: Context) -> None:
        """Refuse to go on if the server no longer takes this process for the task that runs.

        :raises AirflowFailException: it was cleared, marked or given up; nothing was sent
        """
        lost = self.why_superseded(context)
        if lost:
            self.fail(f"{lost}. This {self.words.request} was not sent, and {self.words.nothing}.")

    def why_superseded(self, context: Context) -> str | None:
        """Return why this process is not the task's any more, None if it is, as far as Airflow's server says.

        Such a process must neither send nor report anything: another one may have done so meanwhile.

        :param context: the task's
        """
        state = state_of(context["ti"])
        if state == "running":
            return None
        return (
            f"The task is no longer running for Airflow (its state is {state}): it was cleared, marked or given up "
            "since this try began"
        )

    def release(self, context: Context) -> str:
        """Return how a person has the request made once more."""
        command = f"airflow wolkvox release {_task_of(context)} --yes"
        return f"To {self.words.again} on purpose, and only then: `{command}`, then clear the task"

    def settle(self, context: Context) -> str:
        """Return how a person records what came of a request whose outcome is unknown."""
        command = f"airflow wolkvox settle {_task_of(context)}"
        return f"Once you know what came of it: `{command} --conn-id ID` or `{command} --not-made`, then clear the task"


def why_too_late(
    context: Context, call_before: datetime | str | None, max_age: timedelta | None, *, at: datetime | None = None
) -> str | None:
    """Return why a request comes too late in a task's run, None if it does not.

    :param call_before: the instant from which it is too late, an aware datetime or its ISO 8601 text; None for never
    :param max_age: how long after the run was due it may still be made; None for any time
    :param at: when it would be made, aware; default now
    """
    try:
        return too_late(
            at or datetime.now(UTC),
            call_before=instant(call_before, "call_before") if call_before is not None else None,
            due=due(context),
            max_age=max_age,
        )
    except ValueError as wrong:
        return str(wrong)


def pause_until(at: datetime) -> NoReturn:
    """Give the lane back and have the task run again at an instant; see `can_pause`.

    :param at: the instant, aware
    :raises AirflowRescheduleException: always; Airflow then does it
    """
    raise AirflowRescheduleException(at)  # type: ignore[no-untyped-call]


def can_pause() -> bool:
    """Return whether Airflow runs a task again later that is no sensor: from 3.1.8 [ran]."""
    from airflow import __version__ as airflow_version
    from packaging.version import Version

    return Version(airflow_version) >= Version("3.1.8")


def _task_of(context: Context) -> str:
    """Return what names a task instance to a command."""
    ti = context["ti"]
    names = [ti.dag_id, ti.run_id, ti.task_id, *(() if ti.map_index in (None, -1) else (ti.map_index,))]
    return " ".join(shlex.quote(str(name)) for name in names)


def due(context: Context) -> datetime | None:
    """Return when the run was due: the end of the interval or, if a person asked later, that moment."""
    run: Any = context["dag_run"]
    # `run_after` came with 3.0; before, a manual run's logical date is the moment that it was asked for.
    moments = (context.get("data_interval_end"), getattr(run, "run_after", None) or getattr(run, "logical_date", None))
    return max((moment for moment in moments if moment is not None), default=None)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
