"""`release`, `settle` and `look-up`: what is known of a call, and what a person does about it."""

from __future__ import annotations

import argparse
import getpass
import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand

from airflow_provider_wolkvox.cli.connections import arg, hook_of
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_wolkvox.api import ReportedCall
    from airflow_provider_wolkvox.ledger import Entry


def release(args: argparse.Namespace) -> None:
    """Show what the ledger knows of a task's call or other deed and, with --yes, let its next run do it again.

    Of a task that makes several requests (the batches of an upload), those of unknown outcome are released and,
    only if there are none, all.

    :param args: `dag_id`, `run_id`, `task_id` and `map_index` (-1 for a task that is not mapped); `yes`: do it
    :raises SystemExit: nothing was changed, and the message says why: also where nothing needed to be
    """
    from airflow_provider_wolkvox.ledger import CallState, Entry, key_of

    with _kept(args, "allow_second_try=True on the task lets it call") as kept:
        in_doubt = kept.in_doubt()
        going_on = [
            entry for entry in kept.entries.values() if entry and entry.state in (CallState.REFUSED, CallState.NOT_SENT)
        ]
        if not in_doubt and going_on:
            raise SystemExit("Nothing needs a release: clear the task, and it goes on. Nothing was changed.")
        if not args.yes:
            raise SystemExit(
                "Nothing was changed. With --yes the next run of this task does it again: a phone that has rung rings "
                "once more."
            )
        released = {}
        for key in in_doubt or kept.entries or [key_of(0)]:
            before = kept.entries.get(key) or (
                "an entry that cannot be read" if key in kept.entries else "nothing is known"
            )
            released[key] = Entry(
                CallState.NOT_SENT, kept.try_number, datetime.now(UTC), reason=f"released by hand; before: {before}"
            )
        kept.write(released)
    print("Released. Clear the task, and it does it again; what is late stays refused (call_before, max_age).")


def settle(args: argparse.Namespace) -> None:
    """Close by hand the doubt about one call or other deed: it was made, or it was not.

    The ledger's entry keeps who did it and when. The next run of the task returns the call's id, or makes the call.

    :param args: `dag_id`, `run_id`, `task_id` and `map_index`, as for `release`; `conn_id`: wolkvox's id of the call
        that was made, None if `not_made`; `agent` and `phone_ends`: of which of a batch's calls, None if there is only
        one in doubt
    :raises SystemExit: nothing was changed, and the message says why
    """
    from airflow_provider_wolkvox.ledger import CallState

    if args.not_made == (args.conn_id is not None):
        raise SystemExit("Give either --conn-id or --not-made. Nothing was changed.")
    if args.conn_id is not None and not _CONN_ID.fullmatch(args.conn_id):
        raise SystemExit("--conn-id is not an id of wolkvox's: 1 to 100 visible ASCII characters. Nothing was changed.")
    with _kept(args, "mark the task success if the call was made") as kept:
        if not kept.in_doubt():
            raise SystemExit("Nothing is in doubt. Nothing was changed.")
        found = {
            key: entry
            for key in kept.in_doubt()
            if (entry := kept.entries[key]) is not None
            and args.agent in (None, entry.agent_id)
            and (not args.phone_ends or entry.phone.endswith(args.phone_ends[-4:]))
        }
        if len(found) != 1:
            print(*(f"- {entry}" for entry in itertools.islice(found.values(), _SHOWN)), sep="\n")
            raise SystemExit(
                f"{len(found)} calls in doubt fit; --agent and --phone-ends must fit exactly one. Nothing was changed."
            )
        ((key, before),) = found.items()
        state = CallState.NOT_SENT if args.not_made else CallState.ACCEPTED
        what = "not made" if args.not_made else "made"
        settled = replace(
            before,
            state=state,
            conn_id=args.conn_id or "",
            reason=f"settled by hand as {what}, by {_who()} at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        )
        kept.write({key: settled})
    print(f"Settled: {settled}")
    print(
        "Clear the task, and it makes the call; what is late stays refused (call_before, max_age)."
        if args.not_made
        else "Clear the task, and it returns this id and rings nobody."
    )


# wolkvox documents no form of its ids; this keeps control characters and long texts out of the ledger.
_CONN_ID = re.compile(r"[\x21-\x7e]{1,100}")
_SHOWN = 20


def _who() -> str:
    """Return the user of the operating system: a command knows no user of Airflow's."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # In a container, a user may have a number only.
        return f"user {os.getuid()}"


@dataclass
class _Kept:
    """What the ledger holds of one task instance, by the keys that it is written under."""

    entries: Mapping[str, Entry | None]
    try_number: int
    write: Callable[[Mapping[str, Entry]], None]

    def in_doubt(self) -> list[str]:
        """Return the keys of what has an unknown outcome, or cannot be read."""
        return [key for key, entry in self.entries.items() if entry is None or entry.state.value == "intent"]


@contextmanager
def _kept(args: argparse.Namespace, without: str) -> Iterator[_Kept]:
    """Print what the ledger holds of a task instance and yield it, so that a person can change it.

    :raises SystemExit: there is no ledger, no such task instance, or it is running
    """
    try:
        from airflow.state import TaskScope, get_state_backend
    except ImportError:
        raise SystemExit(f"There is no ledger before Airflow 3.3: {without}.") from None
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_provider_wolkvox.ledger import BatchLedger

    name = f"{args.dag_id} {args.run_id} {args.task_id}" + (f" {args.map_index}" if args.map_index >= 0 else "")
    scope = TaskScope(dag_id=args.dag_id, run_id=args.run_id, task_id=args.task_id, map_index=args.map_index)
    with create_session() as session:
        instances = {
            ti.map_index: ti
            for ti in session.scalars(
                select(TaskInstance)
                .where(
                    TaskInstance.dag_id == args.dag_id,
                    TaskInstance.run_id == args.run_id,
                    TaskInstance.task_id == args.task_id,
                )
                .order_by(TaskInstance.map_index)
            )
        }
        ti = instances.get(args.map_index)
        if ti is None:
            raise SystemExit(f"There is no task instance {name}{_there_are(instances)}. Nothing was changed.")
        store = _StoreOf(get_state_backend(), scope, session)
        batch = BatchLedger(store, ti.try_number)
        try:
            customers: Mapping[str, Entry | None] = batch.read()
        except ValueError:
            raise SystemExit(f"{name}: what its ledger holds cannot be read here. Nothing was changed.") from None

        def write(entries: Mapping[str, Entry]) -> None:
            if customers:
                batch.write(entries)
                return
            for key, entry in entries.items():
                store.set(key, entry.to_json())

        kept = _Kept(customers or _entries(store), ti.try_number, write)
        print(f"{name} (now {ti.state or 'not scheduled'}): ", end="")
        print(*(_told(kept.entries) or ["nothing is known of a call or other deed"]), sep="\n")
        if ti.state in ("queued", "running", "restarting"):
            raise SystemExit("The task is under way and may be calling at this moment. Nothing was changed.")
        yield kept


def _there_are(instances: Mapping[int, Any]) -> str:
    """Return which map indexes there are, for who left theirs out."""
    if not instances:
        return ""
    if list(instances) == [-1]:
        return "; the task is not mapped, so leave the map index out"
    shown = ", ".join(f"{index} ({ti.state or 'not scheduled'})" for index, ti in list(instances.items())[:_SHOWN])
    more = f" and {len(instances) - _SHOWN} more" if len(instances) > _SHOWN else ""
    return f"; the task is mapped, so give a map index: {shown}{more}"


class _StoreOf:
    """A task's state store, by the database."""

    def __init__(self, backend: Any, scope: Any, session: Session) -> None:
        self._backend, self._scope, self._session = backend, scope, session

    def get(self, key: str, default: Any = None) -> Any:
        kept = self._backend.get(self._scope, key, session=self._session)
        return default if kept is None else json.loads(kept)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        # Without a time of its own, it lives as long as the run.
        self._backend.set(self._scope, key, json.dumps(value), session=self._session)


def _entries(store: _StoreOf) -> dict[str, Entry | None]:
    """Return the entries of a task that makes one request or a few; None is one that cannot be read."""
    from airflow_provider_wolkvox.ledger import Entry, key_of

    entries: dict[str, Entry | None] = {}
    for key in map(key_of, itertools.count()):
        try:
            kept = store.get(key)
            if kept is None:
                break
            entries[key] = Entry.from_json(kept)
        except ValueError:
            entries[key] = None
    return entries


def _told(entries: Mapping[str, Entry | None]) -> list[str]:
    """Return what is known in lines; of many calls, their counts and those in doubt."""
    unreadable = "an entry that cannot be read here (a worker's own state store backend, or another hand, wrote it)"
    shown = {key: str(entry or unreadable) for key, entry in entries.items()}
    if len(entries) <= 20:
        return list(shown.values())
    counts = Counter(entry.state.value if entry else "unreadable" for entry in entries.values())
    in_doubt = [shown[key] for key, entry in entries.items() if not entry or entry.state.value == "intent"]
    return [", ".join(f"{count} {state}" for state, count in counts.items()), *in_doubt]


def look_up(args: argparse.Namespace) -> None:
    """Print what wolkvox's reports hold of an agent's calls with a customer.

    :param args: `conn_id`, `agent`, `phone`; `around`: an instant in ISO 8601 with its zone, and `minutes` before and
        after it; `output`: the table's format
    :raises SystemExit: with 1 if they hold nothing, with 2 if they could not be read
    """
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_wolkvox.api import WolkvoxError, arguments
    from airflow_provider_wolkvox.calling.lateness import instant
    from airflow_provider_wolkvox.phone import masked

    print("The token is used now, outside of its pool: run this while no call is under way.", file=sys.stderr)
    try:
        around = instant(args.around, "--around")
        half = timedelta(seconds=arguments.seconds(args.minutes * 60, "--minutes"))
        with logs_to_stderr(), hook_of(args.conn_id).get_conn() as wolkvox:
            calls = wolkvox.reported_calls(args.agent, args.phone, around - half, around + half)
    except (ValueError, WolkvoxError, AirflowException) as wrong:
        print(wrong, file=sys.stderr)
        raise SystemExit(2) from None
    rows = [
        {
            "conn_id": call.conn_id,
            "began": f"{call.at:%Y-%m-%d %H:%M:%S %Z}",
            "report": call.report,
            "agent": call.agent_id,
            "customer": masked(call.phone),
            "kind": call.type_interaction,
            "result": call.result,
            "seconds": "" if call.seconds is None else call.seconds,
        }
        for call in _by_conn_id(calls)
    ]
    print_rows(rows, args.output, nothing="No report shows a call. That does not prove that the phone did not ring.")
    if not rows:
        raise SystemExit(1)


def _by_conn_id(calls: Iterable[ReportedCall]) -> list[ReportedCall]:
    """Return the rows of each call together, in the order in which the calls began."""
    together: dict[str, list[ReportedCall]] = {}
    for number, call in enumerate(calls):
        # Without an id, nothing tells which rows are of one call.
        together.setdefault(call.conn_id or f" {number}", []).append(call)
    return [call for rows in together.values() for call in rows]


_TASK = (
    arg("dag_id", help="The DAG"),
    arg("run_id", help="The DAG run"),
    arg("task_id", help="The task"),
    arg("map_index", nargs="?", type=int, default=-1, help="Of a mapped task"),
)


COMMANDS = [
    ActionCommand(
        name="release",
        help="Show what is known of a task's call or other deed and, with --yes, let its next run do it again",
        func=release,
        args=(
            *_TASK,
            arg("--yes", action="store_true", help="Do it; without this, only show"),
        ),
    ),
    ActionCommand(
        name="settle",
        help="Close by hand the doubt about a call: it was made (--conn-id) or it was not (--not-made)",
        func=settle,
        args=(
            *_TASK,
            arg("--conn-id", help="It was made: wolkvox's id of the call, as look-up shows it"),
            arg("--not-made", action="store_true", help="It was not made: the next run makes it"),
            arg("--agent", help="Of a batch: the agent's extension of the call in doubt"),
            arg("--phone-ends", help="Of a batch: the last four digits of the customer's number"),
        ),
    ),
    ActionCommand(
        name="look-up",
        help="Look in wolkvox's reports for an agent's calls with a customer; exit status 1 if there are none",
        func=look_up,
        args=(
            arg("--conn-id", default=DEFAULT_CONN_ID, help=f"The connection (default: {DEFAULT_CONN_ID})"),
            arg("--agent", required=True, help="The agent's extension"),
            arg("--phone", required=True, help="The customer's number"),
            arg("--around", required=True, help="When, with its zone, such as 2026-11-22T07:05:00-05:00"),
            arg("--minutes", type=float, default=15.0, help="How far before and after to look (default: 15)"),
            ARG_OUTPUT,
        ),
    ),
]
