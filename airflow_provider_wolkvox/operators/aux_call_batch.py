"""AuxCallBatchOperator: many calls in one task, strictly one after the other."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowTaskTimeout

from airflow_provider_wolkvox.assets import own_assets, server_uri, tell
from airflow_provider_wolkvox.batch import Agent, Batch, Call, Flag, Limits, Made, Outcome, PutOff, Stop, in_words
from airflow_provider_wolkvox.calling.lateness import instant
from airflow_provider_wolkvox.compat import describe, is_test_run, lock_supervisor, was_cleared
from airflow_provider_wolkvox.files import require_writable, write
from airflow_provider_wolkvox.operators.calling import CallingOperator, not_a_call
from airflow_provider_wolkvox.phone import PhoneNumber, masked
from airflow_provider_wolkvox.running_task import can_pause, pause_until, settle, why_superseded, why_too_late
from airflow_provider_wolkvox.validation import (
    Checks,
    choices,
    identifier,
    length,
    length_or_none_at_all,
    optional,
    path,
    rows,
    switch,
    whole_number,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_wolkvox.calling.hours import Hours

# Seconds for which it is believed that the task is still its own, and that nobody has stopped all calling.
_LOOK_AHEAD_HOLDS = 1.0
# National numbers of Peru, Chile and Ecuador.
_SHORT = (8, 9)
NONE_MADE = "none_made"
_MEANS = {
    Made.REFUSED: "wolkvox rejected them, no phone rang",
    Made.UNKNOWN: "their outcome is unknown, the phones may have rung",
    Made.SKIPPED: "they were not to be made, no phone rang",
    Made.NOT_SENT: "they were not sent, no phone rang",
    Made.LEFT: "they were not reached",
}


class AuxCallBatchOperator(CallingOperator):
    """Make many calls in one task, strictly one after the other; returns what became of each.

    For runs that are large for one task per call: Airflow takes more than a second for each task, and maps at most
    1,024. Each call has the same life as that of an `AuxCallOperator`: hours and lateness are judged at the last
    moment, an intent is in the ledger before it, its outcome after it. Killed and retried, or cleared, the task goes
    on where it was: nobody who was rung is rung again, a call whose answer nobody saw is looked up or reported, and
    the rest is made. While a call's answer is awaited, the ledger learns of the one before and of the one after, so
    it costs no time of its own; a killed task leaves at most two calls in doubt.

    Who stands in the list twice, is no number, or has no agent is skipped with that reason. The result tells of each
    call, in the list's order: `index`, `agent_id`, `customer_phone` (masked), `state` (`accepted`, `refused`,
    `unknown`, `skipped`, `not_sent`, `left`), `conn_id`, `reason`, `at`. XCom `summary` counts them; XCom `left` holds
    the calls that were not reached, ready for the next batch. With `outlets=[batch_called("0042", "evening")]` (see
    `assets`) other DAGs can be scheduled on it, and find the summary in the event's `extra`.

    The quota used up, a bad token and maintenance end the batch, and so does a connection that does not come about.

    :param calls: mappings with `agent_id` and `customer_phone`, and maybe `call_before` and `idempotency_key`; such as
        the output of `CampaignCallbacksOperator` (templated)
    :param wait_for_agents: make a call only once its agent was seen ready, and never two to one agent without a free
        state in between: the states of all are read with one request; default True
    :param agent_poll_interval: least time between two such requests, and how long one is relied on; default 15
        seconds. Each counts for the daily quota, and the vendor recommends at most one every 5 minutes [doc]
    :param agent_timeout: how long an agent may stay busy before their calls are skipped; default 10 minutes
    :param pace: least time from one call's answer to the next call; default none
    :param max_calls: how many calls to make in this run; default None, all
    :param max_duration: how long to start calls in this run; default None, any time
    :param stop_on: which outcomes end the batch besides those above: `"refused"`, `"unknown"`; default none
    :param fail_on: which results fail the task once all is reported: `"unknown"`, `"refused"`, `"skipped"`,
        `"not_sent"`, `"left"`, and `"none_made"`: nobody was called although there was somebody to call; default
        `"unknown"` and `"none_made"`, `()` for none
    :param max_unknown: how many unknown outcomes in a row end it; default 3, None for any number
    :param results_path: where to write the results as JSON lines instead of returning them, any path that Airflow's
        object storage knows; the path is returned; default None, not written (templated)
    :param report_path: where to write a report for people, `.html` or Markdown; default None, not written (templated)

    The other parameters are as for `AuxCallOperator`. What waits for its hours has the task run again when they open.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: the list or the connection cannot be right, an earlier run may have called and nothing
        tells whom, or the batch ended early and a retry alone cannot help; who was called is in the ledger
    :raises AirflowException: the batch ended early, and a retry goes on where it was
    """

    template_fields: Sequence[str] = ("calls", "wolkvox_conn_id", "call_before", "results_path", "report_path")
    checks: ClassVar[Checks] = {
        "calls": rows,
        "wait_for_agents": switch,
        "agent_poll_interval": length,
        "agent_timeout": length,
        "pace": length_or_none_at_all,
        "max_calls": optional(whole_number()),
        "max_duration": optional(length),
        "fail_on": choices(*(made.value for made in Made if made is not Made.ACCEPTED), NONE_MADE),
        "stop_on": choices(Made.REFUSED.value, Made.UNKNOWN.value),
        "max_unknown": optional(whole_number()),
        "results_path": optional(path),
        "report_path": optional(path),
    }
    ui_color = "#e7f3ec"

    def __init__(
        self,
        *,
        calls: Iterable[Mapping[str, Any]],
        wait_for_agents: bool = True,
        agent_poll_interval: timedelta = timedelta(seconds=15),
        agent_timeout: timedelta = timedelta(minutes=10),
        pace: timedelta = timedelta(0),
        max_calls: int | None = None,
        max_duration: timedelta | None = None,
        stop_on: Sequence[str] = (),
        fail_on: Sequence[str] = (Made.UNKNOWN, NONE_MADE),
        max_unknown: int | None = 3,
        results_path: str | None = None,
        report_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.calls = calls
        self.wait_for_agents = wait_for_agents
        self.agent_poll_interval = agent_poll_interval
        self.agent_timeout = agent_timeout
        self.pace = pace
        self.max_calls = max_calls
        self.max_duration = max_duration
        self.stop_on = stop_on
        self.fail_on = fail_on
        self.max_unknown = max_unknown
        self.results_path = results_path
        self.report_path = report_path
        self.validate(vars(self))
        self._stopped = Flag()

    def execute(self, context: Context) -> list[dict[str, Any]] | str:
        """Make the calls that are still to be made, tell what became of all, and return it."""
        self.begin(context)
        with self.hook.failing(repeatable=False):
            self.validate_rendered()
            calls, skipped = self._checked(datetime.now(UTC))
            for name in ("results_path", "report_path"):
                if getattr(self, name):
                    require_writable(getattr(self, name), name)
            # A connection that cannot be right is no call's fault.
            self.hook.get_conn()
            assets = own_assets(self.outlets, f"{server_uri(self.hook.connection.host)}/batches/")
            world = _World(self, context)
            known = world.known(calls)
        if world.may_look_ahead:
            lock_supervisor()
        batch = Batch(
            calls, {**known, **skipped}, world, self._limits(), ahead=world.may_look_ahead, progress=self._progress
        )
        try:
            with self.hook.closing(), self._reporting(batch, world, assets):
                batch.run()
                # What has ended on purpose does not go on after a pause.
                self._look_up(batch, world, pausing=not batch.ended_because)
        finally:
            world.close(batch)
        result = self._report(batch, world, assets)
        self._pause_if_it_helps(batch, world)
        self._fail_if_asked_to(batch, world, result)
        return result

    def on_kill(self) -> None:
        """Send nothing more; a request that is on its way cannot be called back."""
        super().on_kill()
        self._stopped.set()

    def _checked(self, now: datetime) -> tuple[list[Call], dict[Call, Outcome]]:
        """Return all calls, and those among them that cannot be made, with their reasons."""
        from airflow_provider_wolkvox.api.arguments import agent_id

        calls: list[Call] = []
        skipped: dict[Call, Outcome] = {}
        seen: dict[str, int] = {}
        longer: dict[str, int] = {}
        for index, given in enumerate(self.calls):
            if why := not_a_call(given):
                raise ValueError(f"calls[{index}] {why}. No call was made")
            key = _key_of(given, index)
            shown = masked(given["customer_phone"])
            before = given.get("call_before")
            try:
                before = None if before is None else instant(before, "call_before")
            except ValueError:
                # Not repeated: it might be the number.
                raise ValueError(
                    f"calls[{index}]: call_before is no instant with a time zone. No call was made"
                ) from None
            try:
                number = PhoneNumber.parse(given["customer_phone"])
                calls.append(Call(index, agent_id(given["agent_id"]), number, shown, before, key))
            except ValueError as wrong:
                calls.append(Call(index, "", PhoneNumber(""), shown))
                skipped[calls[-1]] = Outcome(Made.SKIPPED, now, reason=str(wrong))
                continue
            customer = self.hook.customer_key(number)
            same = _earlier(customer, seen, longer)
            if same is not None:
                skipped[calls[-1]] = Outcome(Made.SKIPPED, now, reason=f"calls[{same}] is to the same number")
                continue
            seen[customer] = index
            longer |= {customer[-digits:]: index for digits in _SHORT if len(customer) > digits}
        return calls, skipped

    def put_off_call(self, context: Context, call: Call, why: str, opens: datetime) -> PutOff:
        """Return what to do about a call that may be made later: what `outside_hours` says.

        :param context: the task's
        :param call: the call
        :param why: why not now, without a full stop
        :param opens: when it may be made, aware
        :raises Stop: the batch is to end for it
        """
        why = f"{why}, next at {opens:%Y-%m-%d %H:%M:%S} UTC"
        if self.outside_hours == "fail":
            raise Stop(f"customer {call.shown}: {why}", final=True)
        late = why_too_late(context, call.call_before or self.call_before, self.max_age, at=opens)
        if late:
            return PutOff(f"{why}, and then it would be too late: {late}", None)
        return PutOff(why, None if self.outside_hours == "skip" else opens)

    def _limits(self) -> Limits:
        return Limits(
            pace=self.pace.total_seconds(),
            max_calls=self.max_calls,
            max_duration=self.max_duration,
            max_unknown=self.max_unknown,
            stop_on=frozenset(self.stop_on),
            wait_for_agents=self.wait_for_agents,
            agent_poll_interval=self.agent_poll_interval.total_seconds(),
            agent_timeout=self.agent_timeout,
        )

    def _progress(self, batch: Batch) -> None:
        rate = batch.made / batch.seconds if batch.seconds else 0.0
        left = batch.counts[Made.LEFT.value]
        self.log.info(
            "%s. %.0f calls a minute%s.",
            _counted(batch),
            60 * rate,
            f", about {timedelta(seconds=round(left / rate))} left" if rate and left else "",
        )

    def _look_up(self, batch: Batch, world: _World, *, pausing: bool) -> None:
        """Look for the calls in doubt; have the task run again for those that may still appear in the reports."""
        if self.on_unknown != "look_up":
            return
        doubtful = {call: each for call, each in batch.outcomes.items() if each.made is Made.UNKNOWN}
        found = {}
        for call, outcome in doubtful.items():
            reported = self.find_call(world.asked_of.get(call, call.agent_id), call.phone.written, outcome.at)
            if reported:
                self.log.info("Call %d was made: report %s shows it.", call.index, reported.report)
                found[call] = Outcome(Made.ACCEPTED, outcome.at, conn_id=reported.conn_id)
        batch.outcomes.update(found)
        if found:
            world.write(found, [])
        now = datetime.now(UTC)
        waiting = [call for call in doubtful if call not in found and now < doubtful[call].at + self.look_up_timeout]
        if waiting and world.remembers and pausing:
            self.log.info("No report shows %d calls yet. Looking again in %s.", len(waiting), self.look_up_every)
            pause_until(now + self.look_up_every)

    @contextmanager
    def _reporting(self, batch: Batch, world: _World, assets: list[Asset]) -> Iterator[None]:
        """Report what became of the calls, whatever ends the batch early; that is raised, whatever the report raises.

        :raises AirflowException: the batch was stopped, and a retry goes on where it was
        :raises AirflowFailException: it was stopped, and a retry alone cannot help
        """
        try:
            yield
        except AirflowRescheduleException:
            # The task goes on.
            raise
        except (Exception, AirflowTaskTimeout) as ended:
            try:
                self._report(batch, world, assets)
            except Exception as failure:
                self.log.error("The batch's results could not be reported: %s", describe(failure))
            if not isinstance(ended, Stop):
                raise
            raise (AirflowFailException if ended.final else AirflowException)(
                f"The batch ended early: {ended.reason}. {_counted(batch)}. Run again, the task goes on where it was."
            ) from None

    def _report(self, batch: Batch, world: _World, assets: list[Asset]) -> list[dict[str, Any]] | str:
        """Report what became of the calls to Airflow and to the files, and return it.

        :raises AirflowFailException: this process is not the task's any more; nothing was reported, since another
            process may have called those whom this one did not reach
        """
        context = world.context
        lost = world.why_superseded()
        if lost:
            self.fail(f"{lost}. {_counted(batch)}. Nothing of this is reported to Airflow or to files.")
        summary = {
            **batch.counts,
            "calls": len(batch.calls),
            "calls_per_minute": round(60 * batch.made / batch.seconds, 1) if batch.seconds else 0.0,
            "started": (datetime.now(UTC) - timedelta(seconds=batch.seconds)).isoformat(),
            "ended": datetime.now(UTC).isoformat(),
            "ended_because": batch.ended_because or None,
        }
        results = [
            {
                "index": call.index,
                "agent_id": call.shown_agent,
                "customer_phone": call.shown,
                **in_words(batch.outcomes.get(call), batch.why_left(call)),
            }
            for call in batch.calls
        ]
        self.log.info("%s%s.", _counted(batch), f": {batch.ended_because}" if batch.ended_because else "")
        for made, meaning in _MEANS.items():
            if batch.counts[made]:
                self.log.warning("%s of %d calls: %s.", batch.counts[made], len(batch.calls), meaning)
        if batch.counts[Made.UNKNOWN] and world.remembers:
            self.log.warning("%s (of a batch, with --agent and --phone-ends).", settle(context))
        self.made = batch.counts[Made.ACCEPTED.value]
        tell(assets, summary, context)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="summary", value=summary)
            if world.is_certainly_own:
                left = [_asked_for(call) for call in batch.calls if call not in batch.outcomes]
                context["ti"].xcom_push(key="left", value=left)
            else:
                self.log.error(
                    "XCom 'left' is not pushed: Airflow's server did not say whether this process is still the task's, "
                    "so another one may have called those who are left."
                )
        if self.report_path:
            write(self.report_path, [_report_of(self.report_path, self.task_id, results, summary)])
            self.log.info("A report stands in %s.", self.report_path)
        if not self.results_path:
            return results
        write(self.results_path, (json.dumps(each) + "\n" for each in results))
        return self.results_path

    def _pause_if_it_helps(self, batch: Batch, world: _World) -> None:
        under_way = any(each.is_under_way for each in batch.put_off.values())
        if batch.opens and not batch.ended_because and (under_way or self.outside_hours == "wait"):
            # Without a ledger, nothing would be known any more after the pause.
            if world.remembers and can_pause():
                self.log.info("What is left waits until %s UTC.", f"{batch.opens:%Y-%m-%d %H:%M:%S}")
                pause_until(batch.opens)
            if under_way:
                raise AirflowException(
                    "Another task may be making calls of this batch at this moment, and this Airflow cannot let the "
                    f"task wait for what comes of them. {_counted(batch)}. Run again, the task goes on where it was."
                )
            self.log.warning(
                "What is left is outside of its hours, and this Airflow cannot let the task wait for them."
            )

    def _fail_if_asked_to(self, batch: Batch, world: _World, result: list[dict[str, Any]] | str) -> None:
        """Fail the task for what became of its calls, once all of it is reported.

        :raises AirflowException: a retry may help: it makes the calls that certainly rang nobody
        :raises AirflowFailException: it cannot help
        """
        counts = {name: count for name, count in batch.counts.items() if count}
        failing = [made for made in map(str, self.fail_on) if made in counts]
        if NONE_MADE in map(str, self.fail_on) and batch.calls and Made.ACCEPTED not in counts:
            failing.append(NONE_MADE)
        if not failing:
            return
        if self.do_xcom_push:
            world.context["ti"].xcom_push(key="return_value", value=result)
        # A call of unknown outcome is made no second time.
        again = world.remembers and batch.counts[Made.UNKNOWN] + batch.counts[Made.ACCEPTED] < len(batch.calls)
        raise (AirflowException if again else AirflowFailException)(
            f"The batch is reported and fails for {', '.join(failing)} (fail_on). {_counted(batch)}. Nobody who was "
            "called is called again by a retry."
        )


class _World:
    """A batch's surroundings: the ledger, the fences and the hook of its task."""

    def __init__(self, task: AuxCallBatchOperator, context: Context) -> None:
        # A DAG file needs none of this while it is parsed.
        from airflow_provider_wolkvox.batch_memory import Memory, SqlMemory, StoreMemory

        self.stopped = task._stopped
        self._task = task
        self.context = context
        self.is_certainly_own = True
        # Also with a ledger in SQL: only the store tells which process is the task's.
        in_store = StoreMemory(task, context)
        self._fence = in_store.ledger
        ledger = task.configured_ledger()
        self._memory: Memory = in_store if ledger is None else SqlMemory(ledger, task, context, in_store)
        self._looked_ahead = time.monotonic()
        self._hours: Hours | None = None
        if not task.phone_zones:
            self._hours = task.hook.calling_hours(task.calling_hours)

    @property
    def remembers(self) -> bool:
        return self._memory.remembers

    @property
    def asked_of(self) -> Mapping[Call, str]:
        return self._memory.asked_of

    @property
    def may_look_ahead(self) -> bool:
        """Whether Airflow may be asked from another thread: not the database's session, nor a test run's supervisor."""
        ti = self.context["ti"]
        return hasattr(ti, "get_task_states") and not is_test_run(ti)

    def known(self, calls: Sequence[Call]) -> dict[Call, Outcome]:
        """Return what was done before, as far as no call may follow it."""
        known = self._memory.known(calls)
        if known:
            self._task.log.info(
                "%d of %d calls were made in earlier runs, or may have been: these are not made.",
                len(known),
                len(calls),
            )
        return known

    def write(self, outcomes: Mapping[Call, Outcome], intents: Sequence[Call]) -> None:
        self._memory.write(outcomes, intents)

    def close(self, batch: Batch) -> None:
        """Record why calls were not made, and give back what is held."""
        why: dict[Call, PutOff] = {}
        for call in batch.calls:
            outcome = batch.outcomes.get(call)
            if outcome is None:
                why[call] = batch.put_off.get(call) or PutOff(batch.why_left(call) or "it was not reached", None)
            elif outcome.made is Made.SKIPPED:
                why[call] = PutOff(outcome.reason, None)
        try:
            self._memory.skip(why)
        finally:
            self._memory.close()

    def make(self, call: Call) -> tuple[Outcome, Stop | None]:
        from airflow_provider_wolkvox.api import (
            ApiUnavailable,
            NotSent,
            OutcomeUnknown,
            Refused,
            TokenBusy,
            TokenInvalid,
            TokenQuotaExceeded,
        )

        why_not = self._memory.why_not(call)
        if why_not:
            return why_not, None
        tries = itertools.count()

        def pre_send_check() -> None:
            if next(tries) or time.monotonic() - self._looked_ahead >= _LOOK_AHEAD_HOLDS:
                self.look_ahead({}, [call])
            closed = self.closed(call, datetime.now(UTC))
            if closed:
                raise PutOff(*closed)
            try:
                self._memory.hold_token()
            except AirflowException:
                # Another process uses the token: nothing is sent, so nothing is in doubt.
                held = Outcome(Made.NOT_SENT, datetime.now(UTC), reason="another process uses the token")
                self._memory.write({call: held}, [])
                raise

        sent_at = datetime.now(UTC)
        try:
            made = self._task.hook.get_conn().aux_call(call.agent_id, call.phone.written, before_sending=pre_send_check)
        except NotSent as failure:
            return Outcome(Made.NOT_SENT, sent_at, reason=failure.why), Stop(str(failure), final=False)
        except (TokenBusy, ApiUnavailable) as failure:
            return Outcome(Made.REFUSED, sent_at, reason=failure.why), Stop(str(failure), final=False)
        except (TokenQuotaExceeded, TokenInvalid) as failure:
            return Outcome(Made.REFUSED, sent_at, reason=failure.why), Stop(str(failure), final=True)
        except Refused as failure:
            return Outcome(Made.REFUSED, sent_at, reason=failure.why), None
        except OutcomeUnknown as failure:
            return Outcome(Made.UNKNOWN, sent_at, reason=failure.why), None
        return Outcome(Made.ACCEPTED, made.accepted_at, made.conn_id), None

    def closed(self, call: Call, at: datetime) -> tuple[str, datetime | None] | None:
        task = self._task
        for before in (call.call_before, task.call_before):
            late = why_too_late(self.context, before, task.max_age, at=at)
            if late:
                return late, None
        hours = self._hours
        if task.phone_zones:
            try:
                hours = task.hook.calling_hours(task.calling_hours, call.phone)
            except ValueError as wrong:
                return str(wrong), None
        why = hours.why_closed(at) if hours else None
        if hours is None or why is None:
            return None
        put_off = task.put_off_call(
            self.context, call, f"the customer may not be called now ({why})", hours.next_open(at)
        )
        return put_off.reason, put_off.opens

    def look_ahead(self, outcomes: Mapping[Call, Outcome], intents: Sequence[Call]) -> None:
        try:
            # Before the write, which else might go over what another process of this task has written.
            self._task.require_running(self.context)
        except AirflowFailException as lost:
            accepted = {call: outcome for call, outcome in outcomes.items() if outcome.made is Made.ACCEPTED}
            if accepted:
                self._memory.keep_accepted(accepted)
            raise Stop(str(lost), final=True) from None
        except Exception as failure:
            raise Stop(
                f"Airflow's server does not say whether the task is still running ({describe(failure)})", final=False
            ) from None
        if intents:
            stopped = self._task.switched_off()
            if stopped:
                raise Stop(stopped, final=True)
        if outcomes or not self._memory.has_all(intents):
            self.write(outcomes, intents)
        self._looked_ahead = time.monotonic()

    def why_superseded(self) -> str | None:
        """Return why nothing may be reported, None if it may: another process may be the task's by now."""
        try:
            lost = why_superseded(self.context)
            if lost is None:
                # A task that was cleared and runs again is running, too: the store knows which process is whose.
                self._fence.write({})
        except Exception as failure:
            self.is_certainly_own = False
            return "The task was cleared since this try began" if was_cleared(failure) else None
        return lost

    def agents(self) -> dict[str, Agent]:
        from airflow_provider_wolkvox.api import ApiUnavailable, NotSent, OutcomeUnknown, Refused, TokenBusy

        self._memory.hold_token()
        wolkvox = self._task.hook.get_conn()
        try:
            try:
                now = wolkvox.real_time_agents()
            except OutcomeUnknown as failure:
                self._task.log.warning("%s The agents' states are asked for again.", failure)
                self._memory.hold_token()
                now = wolkvox.real_time_agents()
        except (NotSent, TokenBusy, ApiUnavailable, OutcomeUnknown) as failure:
            raise Stop(str(failure), final=False) from None
        except Refused as failure:
            raise Stop(str(failure), final=True) from None
        return {agent.agent_id: Agent(agent.status.upper() == "READY", agent.seconds) for agent in now}


def _earlier(customer: str, seen: Mapping[str, int], longer: Mapping[str, int]) -> int | None:
    """Return the place of an earlier call to a customer: a short number is also that of a longer one that ends in it.

    :param seen: the places of the numbers before
    :param longer: the places of those that end in so many digits
    """
    short = [seen.get(customer[-digits:]) for digits in _SHORT if len(customer) > digits]
    places = [seen.get(customer), longer.get(customer) if len(customer) in _SHORT else None, *short]
    return next((place for place in places if place is not None), None)


def _asked_for(call: Call) -> dict[str, str]:
    """Return a call as the next batch takes it."""
    asked = {"agent_id": call.agent_id, "customer_phone": call.phone.written}
    if call.call_before is not None:
        asked["call_before"] = call.call_before.isoformat()
    return asked | ({"idempotency_key": call.idempotency_key} if call.idempotency_key else {})


def _key_of(given: Mapping[str, Any], index: int) -> str:
    """Return a call's own idempotency key; empty if it has none.

    :raises ValueError: it is none, or there is no ledger that would know it
    """
    from airflow_provider_wolkvox.ledger.configuration import ledger_conn_id

    if "idempotency_key" not in given:
        return ""
    identifier(given["idempotency_key"], f"calls[{index}]: idempotency_key")
    if not ledger_conn_id():
        raise ValueError(
            f"calls[{index}]: idempotency_key needs a ledger in SQL, and [wolkvox] ledger_conn_id is not set. No call "
            "was made"
        )
    return str(given["idempotency_key"])


def _counted(batch: Batch) -> str:
    counts = ", ".join(f"{count} {made}" for made, count in batch.counts.items() if count)
    return f"{len(batch.outcomes)} of {len(batch.calls)} calls done: {counts or 'none'}"


def _report_of(path: str, title: str, results: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    from airflow_provider_wolkvox import batch_report

    write = batch_report.html if path.lower().endswith((".html", ".htm")) else batch_report.markdown
    return write(title, results, summary)
