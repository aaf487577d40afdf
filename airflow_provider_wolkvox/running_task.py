"""What a running task knows of itself from Airflow's context, and what Airflow is to do with it next."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_wolkvox.calling.lateness import instant, too_late
from airflow_provider_wolkvox.compat import state_of
from airflow_provider_wolkvox.not_done import NotDone, Then, Words

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.ledger.entry import Entry, Origin


def origin_of(context: Context) -> Origin:
    """Return which task asks, as the ledger keeps it."""
    from airflow_provider_wolkvox.ledger.configuration import namespace
    from airflow_provider_wolkvox.ledger.entry import Origin

    ti = context["ti"]
    return Origin(
        namespace=namespace(),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
    )


def due(context: Context) -> datetime | None:
    """Return when the run was due: the end of the interval or, if a person asked later, that moment."""
    run: Any = context["dag_run"]
    # `run_after` came with 3.0; before, a manual run's logical date is the moment that it was asked for.
    moments = (context.get("data_interval_end"), getattr(run, "run_after", None) or getattr(run, "logical_date", None))
    return max((moment for moment in moments if moment is not None), default=None)


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


def why_superseded(context: Context) -> str | None:
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


def release(words: Words, context: Context, entry: Entry | None = None, *, phone_ends: str = "") -> str:
    """Return how a person has a request made once more.

    :param words: for it
    :param context: the task's
    :param entry: what the ledger knows of it, perhaps from another task; default None, nothing
    :param phone_ends: which of several calls of one task, by the number's last digits; default none, the only one
    """
    which = f" --phone-ends {phone_ends}" if phone_ends else ""
    command = f"airflow wolkvox release {_task_of(context, entry)}{which} --yes"
    return f"To {words.again} on purpose, and only then: `{command}`, then clear the task"


def settle(context: Context, entry: Entry | None = None) -> str:
    """Return how a person records what came of a request whose outcome is unknown.

    :param context: the task's
    :param entry: what the ledger knows of it, perhaps from another task; default None, nothing
    """
    command = f"airflow wolkvox settle {_task_of(context, entry)}"
    return f"Once you know what came of it: `{command} --conn-id ID` or `{command} --not-made`, then clear the task"


def _task_of(context: Context, entry: Entry | None = None) -> str:
    """Return what names to a command the task instance that a request is recorded for."""
    asked = entry.origin if entry is not None and entry.origin.dag_id else origin_of(context)
    names = [asked.dag_id, asked.run_id, asked.task_id, *(() if asked.map_index < 0 else (asked.map_index,))]
    return " ".join(shlex.quote(str(name)) for name in names)


def raise_for(ended: NotDone) -> NoReturn:
    """Have Airflow do with the task what follows.

    :param ended: why its request is not known to be made
    :raises AirflowException: its retries apply
    :raises AirflowFailException: they could not help
    :raises AirflowSkipException: the task is skipped
    :raises AirflowRescheduleException: it runs again later
    """
    if ended.then is Then.SKIP:
        raise AirflowSkipException(str(ended)) from None
    if ended.then is Then.WAIT and ended.until and can_pause():
        pause_until(ended.until)
    raise (AirflowFailException if ended.then is Then.FAIL else AirflowException)(str(ended)) from None


def pause_until(at: datetime) -> NoReturn:
    """Give the slot back and have the task run again at an instant; see `can_pause`.

    :param at: the instant, aware
    :raises AirflowRescheduleException: always; Airflow then does it
    """
    raise AirflowRescheduleException(at)  # type: ignore[no-untyped-call]


def can_pause() -> bool:
    """Return whether Airflow runs a task again later that is no sensor: from 3.1.8 [ran]."""
    from airflow import __version__ as airflow_version
    from packaging.version import Version

    return Version(airflow_version) >= Version("3.1.8")
