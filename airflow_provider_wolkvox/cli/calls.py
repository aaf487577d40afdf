"""`release` and `look-up`: what is known of a call, and what a person does about it."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand

from airflow_provider_wolkvox.cli.connections import arg, hook_of
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from airflow_provider_wolkvox.ledger import Entry


def release(args: argparse.Namespace) -> None:
    """Show what the ledger knows of a task's call or other deed and, with --yes, let its next run do it again.

    Of a task that makes several requests (the batches of an upload), those of unknown outcome are released and,
    only if there are none, all.

    :param args: `dag_id`, `run_id`, `task_id` and `map_index` (-1 for a task that is not mapped); `yes`: do it
    :raises SystemExit: nothing was changed, and the message says why: also where nothing needed to be
    """
    try:
        from airflow.state import TaskScope, get_state_backend
    except ImportError:
        raise SystemExit(
            "There is no ledger before Airflow 3.3: allow_second_try=True on the task lets it call."
        ) from None
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_provider_wolkvox.ledger import BatchLedger, Entry, State, key_of

    name = f"{args.dag_id} {args.run_id} {args.task_id}" + (f" {args.map_index}" if args.map_index >= 0 else "")
    scope = TaskScope(dag_id=args.dag_id, run_id=args.run_id, task_id=args.task_id, map_index=args.map_index)
    with create_session() as session:
        ti = session.scalars(
            select(TaskInstance).where(
                TaskInstance.dag_id == args.dag_id,
                TaskInstance.run_id == args.run_id,
                TaskInstance.task_id == args.task_id,
                TaskInstance.map_index == args.map_index,
            )
        ).one_or_none()
        if ti is None:
            raise SystemExit(f"There is no task instance {name}. Nothing was changed.")
        store = _StoreOf(get_state_backend(), scope, session)
        batch = BatchLedger(store, ti.try_number)
        try:
            customers: Mapping[str, Entry | None] = batch.read()
        except ValueError:
            raise SystemExit(f"{name}: what its ledger holds cannot be read here. Nothing was changed.") from None
        entries = customers or _entries(store)
        print(f"{name} (now {ti.state or 'not scheduled'}): ", end="")
        print(*(_told(entries) or ["nothing is known of a call or other deed"]), sep="\n")
        if ti.state in ("queued", "running", "restarting"):
            raise SystemExit("The task is under way and may be calling at this moment. Nothing was changed.")
        if not args.yes:
            raise SystemExit(
                "Nothing was changed. With --yes the next run of this task does it again: a phone that has rung rings "
                "once more."
            )
        unknown = [key for key, entry in entries.items() if entry is None or entry.state is State.INTENT]
        going_on = [entry for entry in entries.values() if entry and entry.state in (State.REFUSED, State.NOT_SENT)]
        if not unknown and going_on:
            raise SystemExit("Nothing needs a release: clear the task, and it goes on. Nothing was changed.")
        released = {}
        for key in unknown or entries or [key_of(0)]:
            before = entries.get(key) or ("an entry that cannot be read" if key in entries else "nothing is known")
            released[key] = Entry(
                State.NOT_SENT, ti.try_number, datetime.now(UTC), reason=f"released by hand; before: {before}"
            )
        if customers:
            batch.write(released)
        else:
            for key, entry in released.items():
                store.set(key, entry.to_json())
    print("Released. Clear the task, and it does it again; what is late stays refused (call_before, max_age).")


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
            "began": f"{call.at:%Y-%m-%d %H:%M:%S %Z}",
            "report": call.report,
            "agent": call.agent_id,
            "customer": arguments.masked(call.phone),
            "kind": call.type_interaction,
            "result": call.result,
            "seconds": "" if call.seconds is None else call.seconds,
            "conn_id": call.conn_id,
        }
        for call in calls
    ]
    print_rows(rows, args.output, nothing="No report shows a call. That does not prove that the phone did not ring.")
    if not rows:
        raise SystemExit(1)


COMMANDS = [
    ActionCommand(
        name="release",
        help="Show what is known of a task's call or other deed and, with --yes, let its next run do it again",
        func=release,
        args=(
            arg("dag_id", help="The DAG"),
            arg("run_id", help="The DAG run"),
            arg("task_id", help="The task"),
            arg("map_index", nargs="?", type=int, default=-1, help="Of a mapped task"),
            arg("--yes", action="store_true", help="Do it; without this, only show"),
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
