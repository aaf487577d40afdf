"""`release`, `settle` and `look-up`: what is known of a call, and what a person does about it."""

from __future__ import annotations

import argparse
import getpass
import itertools
import json
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand

from airflow_provider_wolkvox.cli.connections import arg, hook_of, token_in_use, used_ledger
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_wolkvox.api import ReportedCall
    from airflow_provider_wolkvox.ledger.entry import CallState
    from airflow_provider_wolkvox.ledger.sql import SqlLedger
    from airflow_provider_wolkvox.ledger.task_state import Entry


def release(args: argparse.Namespace) -> None:
    """Show what the ledger knows of a task's call or other deed and, with --yes, let its next run do it again.

    Of a task that makes several requests (the batches of an upload, calls), those of unknown outcome are released and,
    only if there are none, all; or those that `agent` and `phone_ends` name.

    :param args: `dag_id`, `run_id`, `task_id` and `map_index` (-1 for a task that is not mapped); `agent` and
        `phone_ends`: which calls, None for any; `yes`: do it
    :raises SystemExit: nothing was changed, and the message says why: also where nothing needed to be
    """
    with _kept(args, "allow_second_try=True on the task lets it call") as kept:
        named = [key for key, entry in kept.entries.items() if _is_named(args, entry)]
        if not named and (args.agent or args.phone_ends):
            raise SystemExit("No call fits --agent and --phone-ends. Nothing was changed.")
        in_doubt = [key for key in kept.in_doubt() if key in named]
        if not in_doubt and any(
            (entry := kept.entries[key]) is not None and not entry.state.may_have_rung for key in named
        ):
            raise SystemExit("Nothing needs a release: clear the task, and it goes on. Nothing was changed.")
        if not args.yes:
            raise SystemExit(
                "Nothing was changed. With --yes the next run of this task does it again: a phone that has rung rings "
                "once more."
            )
        kept.release(in_doubt or named)
    print("Released. Clear the task, and it does it again; what is late stays refused (call_before, max_age).")


def settle(args: argparse.Namespace) -> None:
    """Close by hand the doubt about one call or other deed: it was made, or it was not.

    The ledger's entry keeps who did it and when. The next run of the task returns the call's id, or makes the call.

    :param args: `dag_id`, `run_id`, `task_id` and `map_index`, as for `release`; `conn_id`: wolkvox's id of the call
        that was made, None if `not_made`; `agent` and `phone_ends`: of which of a batch's calls, None if there is only
        one in doubt
    :raises SystemExit: nothing was changed, and the message says why
    """
    from airflow_provider_wolkvox.ledger.entry import CallState

    if args.not_made == (args.conn_id is not None):
        raise SystemExit("Give either --conn-id or --not-made. Nothing was changed.")
    if args.conn_id is not None and not _CONN_ID.fullmatch(args.conn_id):
        raise SystemExit("--conn-id is not an id of wolkvox's: 1 to 100 visible ASCII characters. Nothing was changed.")
    with _kept(args, "mark the task success if the call was made") as kept:
        if not kept.in_doubt():
            raise SystemExit("Nothing is in doubt. Nothing was changed.")
        found = {
            key: entry for key in kept.in_doubt() if (entry := kept.entries[key]) is not None and _is_named(args, entry)
        }
        if len(found) != 1:
            print(*(f"- {entry}" for entry in itertools.islice(found.values(), _SHOWN)), sep="\n")
            raise SystemExit(
                f"{len(found)} calls in doubt fit; --agent and --phone-ends must fit exactly one. Nothing was changed."
            )
        [key] = found
        state = CallState.NOT_SENT if args.not_made else CallState.ACCEPTED
        settled = kept.settle(key, state, args.conn_id or "")
    print(f"Settled: {settled}")
    print(
        "Clear the task, and it makes the call; what is late stays refused (call_before, max_age)."
        if args.not_made
        else "Clear the task, and it returns this id and rings nobody."
    )


def _is_named(args: argparse.Namespace, entry: Any) -> bool:
    """Return whether an entry is of the agent and the number that were named, if any were."""
    if entry is None:
        # What cannot be read fits no agent and no number.
        return not args.agent and not args.phone_ends
    ends = args.phone_ends[-4:] if args.phone_ends else ""
    return args.agent in (None, entry.agent_id) and entry.phone.endswith(ends)


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


class _Kept(ABC):
    """What the ledger holds of one task instance."""

    entries: Mapping[str, Any]
    """By the keys that they are kept under; None is one that cannot be read."""

    def in_doubt(self) -> list[str]:
        """Return the keys of what has an unknown outcome, or cannot be read."""
        return [key for key, entry in self.entries.items() if entry is None or entry.state.value == "intent"]

    @abstractmethod
    def release(self, keys: Sequence[str]) -> None:
        """Let requests be made once more."""

    @abstractmethod
    def settle(self, key: str, state: CallState, conn_id: str) -> str:
        """Record what became of a request in doubt, and return what is known of it then."""


class _InSql(_Kept):
    """What the ledger in SQL holds of one task instance."""

    def __init__(self, ledger: SqlLedger, args: argparse.Namespace) -> None:
        found = ledger.find(
            dag_id=args.dag_id, run_id=args.run_id, task_id=args.task_id, map_index=args.map_index, limit=_MOST
        )
        self._ledger = ledger
        # What was released before is kept for the caps alone.
        self.entries = {entry.intent_key: entry for entry in found if entry.reason_code != "released"}

    def release(self, keys: Sequence[str]) -> None:
        if not keys:
            raise SystemExit("Nothing is known of this task's calls here. Nothing was changed.")
        for key in keys:
            if not self._ledger.release(key, _who(), "released by hand"):
                raise SystemExit("It was released meanwhile. Nothing more was changed.")

    def settle(self, key: str, state: CallState, conn_id: str) -> str:
        if not self._ledger.settle_by_person(key, state, _who(), _by_hand(state), conn_id):
            raise SystemExit("It is not in doubt any more. Nothing was changed.")
        return f"{state.value} ({_by_hand(state)}), before: {self.entries[key]}"


class _InStore(_Kept):
    """What Airflow's task state store holds of one task instance.

    :raises ValueError: it cannot be read
    """

    def __init__(self, store: _StoreOf, try_number: int) -> None:
        from airflow_provider_wolkvox.ledger.task_state import BatchLedger

        self._store = store
        self._try_number = try_number
        self._batch = BatchLedger(store, try_number)
        self._customers = self._batch.read()
        self.entries = self._customers or _entries(store)

    def release(self, keys: Sequence[str]) -> None:
        from airflow_provider_wolkvox.ledger.entry import CallState
        from airflow_provider_wolkvox.ledger.task_state import Entry, key_of

        released = {}
        for key in keys or [key_of(0)]:
            unread = "an entry that cannot be read" if key in self.entries else "nothing is known"
            reason = f"released by hand; before: {self.entries.get(key) or unread}"
            released[key] = Entry(CallState.NOT_SENT, self._try_number, datetime.now(UTC), reason=reason)
        self._write(released)

    def settle(self, key: str, state: CallState, conn_id: str) -> str:
        settled = replace(self.entries[key], state=state, conn_id=conn_id, reason=_by_hand(state))
        self._write({key: settled})
        return str(settled)

    def _write(self, entries: Mapping[str, Entry]) -> None:
        if self._customers:
            self._batch.write(entries)
            return
        for key, entry in entries.items():
            self._store.set(key, entry.to_json())


def _by_hand(state: CallState) -> str:
    what = "made" if state.value == "accepted" else "not made"
    return f"settled by hand as {what}, by {_who()} at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def _kept(args: argparse.Namespace, without: str) -> Iterator[_Kept]:
    """Print what the ledger holds of a task instance and yield it, so that a person can change it.

    :raises SystemExit: there is no ledger, no such task instance, or it is running
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_provider_wolkvox.ledger.base import LedgerError

    try:
        ledger = used_ledger()
    except LedgerError as wrong:
        raise SystemExit(f"{wrong} Nothing was changed.") from None
    if ledger is None:
        _require_store(without)
    name = f"{args.dag_id} {args.run_id} {args.task_id}" + (f" {args.map_index}" if args.map_index >= 0 else "")
    with create_session() as session, ExitStack() as undo:
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
        kept: _Kept
        try:
            if ledger is not None:
                undo.callback(ledger.close)
                kept = _InSql(ledger, args)
            else:
                kept = _in_store(args, ti, session, name)
        except LedgerError as wrong:
            raise SystemExit(f"{wrong} Nothing was changed.") from None
        if ti is None and not kept.entries:
            raise SystemExit(f"There is no task instance {name}{_there_are(instances)}. Nothing was changed.")
        state = (ti.state or "not scheduled") if ti else "not of this Airflow (any more)"
        print(f"{name} (now {state}): ", end="")
        print(*(_told(kept.entries) or ["nothing is known of a call or other deed"]), sep="\n")
        recent = ti is None and any(
            datetime.now(UTC) - kept.entries[key].at < _MAY_STILL_CALL for key in kept.in_doubt()
        )
        if recent or (ti and ti.state in ("queued", "running", "restarting")):
            raise SystemExit("The task is under way and may be calling at this moment. Nothing was changed.")
        yield kept


def _require_store(without: str) -> None:
    try:
        import airflow.state  # noqa: F401
    except ImportError:
        raise SystemExit(
            f"There is no ledger before Airflow 3.3 unless [wolkvox] ledger_conn_id names one: {without}."
        ) from None


def _in_store(args: argparse.Namespace, ti: Any, session: Session, name: str) -> _InStore:
    from airflow.state import TaskScope, get_state_backend

    scope = TaskScope(dag_id=args.dag_id, run_id=args.run_id, task_id=args.task_id, map_index=args.map_index)
    try:
        return _InStore(_StoreOf(get_state_backend(), scope, session), ti.try_number if ti else 0)
    except ValueError:
        raise SystemExit(f"{name}: what its ledger holds cannot be read here. Nothing was changed.") from None


# Of a task of another deployment nobody here knows whether it runs; no request takes longer.
_MAY_STILL_CALL = timedelta(minutes=10)
# A batch's calls in one task.
_MOST = 100_000


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
    from airflow_provider_wolkvox.ledger.task_state import Entry, key_of

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
    from airflow_provider_wolkvox.api import arguments
    from airflow_provider_wolkvox.calling.lateness import instant
    from airflow_provider_wolkvox.phone import masked

    with token_in_use():
        around = instant(args.around, "--around")
        half = timedelta(seconds=arguments.seconds(args.minutes * 60, "--minutes"))
        with logs_to_stderr(), hook_of(args.conn_id).get_conn() as wolkvox:
            calls = wolkvox.reported_calls(args.agent, args.phone, around - half, around + half)
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
            arg("--agent", help="Of several calls: those of this agent's extension"),
            arg("--phone-ends", help="Of several calls: those to a number with these last four digits"),
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
