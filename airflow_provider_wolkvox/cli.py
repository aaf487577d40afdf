"""`airflow wolkvox ...`, and the same as `python -m airflow_provider_wolkvox ...`.

Airflow loads command definitions at every start of `airflow`, so this module imports nothing heavy;
each command's work imports what it needs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, GroupCommand

from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, EVERYBODYS_POOL, SLOTS, is_pool_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
    from airflow_provider_wolkvox.ledger import Entry


def _arg(name: str, **options: Any) -> Arg:
    return Arg((name,), **options)  # type: ignore[no-untyped-call]


ARG_CONN_IDS = _arg(
    "--conn-id",
    action="append",
    default=[],
    metavar="CONN_ID",
    help="A connection that is not in the database (environment variable, secrets backend); may be repeated",
)


def get_wolkvox_cli_commands() -> list[GroupCommand]:
    """Return the provider's commands, as Airflow's parser takes them."""
    return [GroupCommand(name="wolkvox", help="Lanes of wolkvox tokens", subcommands=COMMANDS)]


def sync_pools(args: argparse.Namespace) -> None:
    """Create, or set back to one slot, the pool of every wolkvox connection; change nothing else.

    :param args: `conn_id`: connections that the database does not hold; `output`: the table's format
    """
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    rows = []
    with _logs_to_stderr(), create_session() as session:
        listed = _listed(session)
        for conn_id in sorted({*listed, *args.conn_id}):
            known = conn_id in listed or _token(conn_id)
            rows.append({"connection": conn_id if known else f"{conn_id} (not found)", "pool": conn_id, "done": ""})
            if conn_id == EVERYBODYS_POOL or not is_pool_name(conn_id):
                rows[-1] |= {"pool": "-", "done": "no pool can have this name: give its tasks another one with pool="}
                continue
            pool = session.scalars(select(Pool).where(Pool.pool == conn_id)).one_or_none()
            if pool is None:
                Pool.create_or_update_pool(
                    name=conn_id,
                    slots=SLOTS,
                    description=f"The lane of wolkvox connection {conn_id}: one request at a time",
                    include_deferred=False,
                    session=session,
                )
                rows[-1]["done"] = "created"
            elif pool.slots != SLOTS:
                rows[-1]["done"] = f"set from {pool.slots} slots to {SLOTS}"
                pool.slots = SLOTS
            else:
                rows[-1]["done"] = "was right"
    _print(rows, args.output, nothing="No wolkvox connection in the database. Name others with --conn-id.")


def check(args: argparse.Namespace) -> None:
    """Report what would let a token be used twice at once, or a task wait for ever.

    :param args: as for `sync_pools`
    :raises SystemExit: with 1, if there is anything to report
    """
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with _logs_to_stderr(), create_session() as session:
        tasks, unreadable = _wolkvox_tasks(session)
        # A task's connection is known by name, so it can be looked up wherever it is kept.
        used = [task.conn_id for task in tasks if "{" not in task.conn_id]
        tokens = {conn_id: _token(conn_id) for conn_id in {*_listed(session), *args.conn_id, *used}}
        slots = {str(pool.pool): pool.slots for pool in session.scalars(select(Pool))}

    findings = _findings(tokens, tasks, slots) + [
        Finding(f"DAG {dag_id}", "cannot be read from the database", "look at its import errors")
        for dag_id in unreadable
    ]
    _print(
        [asdict(finding) for finding in findings],
        args.output,
        nothing="No wolkvox connection in the database and no task of ours in any DAG. Name connections with "
        "--conn-id.",
    )
    if any(finding.finding != "ok" for finding in findings):
        raise SystemExit(1)


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
        with _logs_to_stderr(), _hook(args.conn_id).get_conn() as wolkvox:
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
    _print(rows, args.output, nothing="No report shows a call. That does not prove that the phone did not ring.")
    if not rows:
        raise SystemExit(1)


def plan(args: argparse.Namespace) -> None:
    """Print whom of a campaign's customers to call back now and, with --skips, why not the others. Rings nobody.

    :param args: `conn_id`, `campaign`, `since` and `until` in ISO 8601 with their zones (None for now); the rules by
        the names of `Rules`, None for its defaults; `country`: whose law says who may be called now, None for any time;
        `prefix_in_reports`: as for `CampaignCallbacksOperator`; `skips`; `output`: the table's format
    :raises SystemExit: with 2 if an argument cannot be right, or wolkvox could not be read
    """
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_wolkvox.api import WolkvoxError
    from airflow_provider_wolkvox.calling import Rules
    from airflow_provider_wolkvox.calling.lateness import instant
    from airflow_provider_wolkvox.calling.phone import masked
    from airflow_provider_wolkvox.planning import plan_callbacks

    print("The token is used now, outside of its pool: run this while no call is under way.", file=sys.stderr)
    now = datetime.now(UTC)
    try:
        given = {name: value for name in _RULES if (value := getattr(args, name)) is not None}
        with _logs_to_stderr():
            hook = _hook(args.conn_id)
            rules = Rules(**given, hours=hook.calling_hours(args.country) if args.country else None)
        since = instant(args.since, "--since")
        until = instant(args.until, "--until") if args.until else now
        with _logs_to_stderr(), hook.get_conn() as wolkvox:
            chosen = plan_callbacks(
                wolkvox, args.campaign, since, until, rules, now, prefix_in_reports=args.prefix_in_reports
            )
    except (ValueError, ImportError, WolkvoxError, AirflowException) as wrong:
        print(wrong, file=sys.stderr)
        raise SystemExit(2) from None
    rows = [
        {
            "agent": callback.agent_id,
            "customer": masked(callback.phone),
            "call": f"{callback.attempt.at:%Y-%m-%d %H:%M:%S %Z}",
            "result": callback.attempt.result,
            "seconds": "" if callback.attempt.seconds is None else callback.attempt.seconds,
            "disposition": callback.attempt.cod_act,
            "conn_id": callback.attempt.conn_id,
        }
        for callback in chosen.callbacks
    ]
    if args.skips:
        rows = [
            {
                "reason": skip.reason.value,
                "customer": masked(skip.attempt.phone),
                "call": f"{skip.attempt.at:%Y-%m-%d %H:%M:%S %Z}",
                "why": skip.why,
                "next_allowed": "" if skip.next_allowed is None else f"{skip.next_allowed:%Y-%m-%d %H:%M:%S %Z}",
                "conn_id": skip.attempt.conn_id,
            }
            for skip in chosen.skips
        ]
    _print(rows, args.output, nothing="Nobody." if not args.skips else "Every attempt is called back.")
    counts = ", ".join(f"{count} {reason}" for reason, count in chosen.counts.items()) or "none"
    print(f"{len(chosen.callbacks)} callbacks. Not called back: {counts}.", file=sys.stderr)


# The rules that `plan` takes, by the names of `Rules`.
_RULES = (
    "results",
    "dispositions",
    "shorter_than",
    "hung_up_by",
    "max_attempts",
    "within",
    "least_interval",
    "limit",
)


def _hours(text: str) -> timedelta:
    try:
        return timedelta(hours=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours") from None


COMMANDS = [
    ActionCommand(
        name="sync-pools",
        help="Create and repair the pool of one slot of each wolkvox connection",
        func=sync_pools,
        args=(ARG_CONN_IDS, ARG_OUTPUT),
    ),
    ActionCommand(
        name="check",
        help="Find lanes that are missing, too wide, doubled, or left by a task; exit status 1 if there are any",
        func=check,
        args=(ARG_CONN_IDS, ARG_OUTPUT),
    ),
    ActionCommand(
        name="release",
        help="Show what is known of a task's call or other deed and, with --yes, let its next run do it again",
        func=release,
        args=(
            _arg("dag_id", help="The DAG"),
            _arg("run_id", help="The DAG run"),
            _arg("task_id", help="The task"),
            _arg("map_index", nargs="?", type=int, default=-1, help="Of a mapped task"),
            _arg("--yes", action="store_true", help="Do it; without this, only show"),
        ),
    ),
    ActionCommand(
        name="plan",
        help="Show whom of a campaign's customers to call back now, as CampaignCallbacksOperator would; rings nobody",
        func=plan,
        args=(
            _arg("--conn-id", default=DEFAULT_CONN_ID, help=f"The connection (default: {DEFAULT_CONN_ID})"),
            _arg("--campaign", required=True, help="The campaign's id"),
            _arg("--since", required=True, help="The calls from when on, such as 2026-11-22T07:00:00-05:00"),
            _arg("--until", help="The calls until when (default: now)"),
            _arg("--results", nargs="+", help="Which results are called back (default: ANSWER)"),
            _arg("--dispositions", nargs="+", help="Only these dispositions (default: any)"),
            _arg("--shorter-than", type=float, help="Only calls of less talk than this, in seconds"),
            _arg("--hung-up-by", choices=("agent", "customer"), help="Only calls that they ended"),
            _arg("--max-attempts", type=int, help="Attempts on a number, the callback among them (default: 2)"),
            _arg("--within", type=_hours, help="... in any stretch of so many hours (default: 24)"),
            _arg("--least-interval", type=_hours, help="Hours since a number's latest attempt (default: 0)"),
            _arg("--country", help="Leave out who may not be called now by this country's law"),
            _arg("--limit", type=int, help="At most so many callbacks (default: all)"),
            _arg(
                "--no-prefix-in-reports",
                dest="prefix_in_reports",
                action="store_false",
                help="wolkvox's reports show numbers without the connection's dial prefix",
            ),
            _arg("--skips", action="store_true", help="Show who is not called back instead, and why"),
            ARG_OUTPUT,
        ),
    ),
    ActionCommand(
        name="look-up",
        help="Look in wolkvox's reports for an agent's calls with a customer; exit status 1 if there are none",
        func=look_up,
        args=(
            _arg("--conn-id", default=DEFAULT_CONN_ID, help=f"The connection (default: {DEFAULT_CONN_ID})"),
            _arg("--agent", required=True, help="The agent's extension"),
            _arg("--phone", required=True, help="The customer's number"),
            _arg("--around", required=True, help="When, with its zone, such as 2026-11-22T07:05:00-05:00"),
            _arg("--minutes", type=float, default=15.0, help="How far before and after to look (default: 15)"),
            ARG_OUTPUT,
        ),
    ),
]


@dataclass(frozen=True)
class LaneTask:
    """A task of ours, as the scheduler reads it from the serialised DAG.

    :param name: DAG and task
    :param conn_id: its connection's id; a template, if it is one
    :param pool: the pool that the scheduler puts it into
    """

    name: str
    conn_id: str
    pool: str


@dataclass(frozen=True)
class Finding:
    """One line of `check`.

    :param subject: what it is about: a connection, a task or a DAG
    :param finding: what was found; `ok` for nothing wrong
    :param remedy: what to do; empty for nothing
    """

    subject: str
    finding: str
    remedy: str


def _findings(tokens: dict[str, str | None], tasks: list[LaneTask], slots: dict[str, int]) -> list[Finding]:
    """Judge connections (id -> token, None if not found), tasks and pools (name -> slots)."""
    lanes: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        lanes[task.conn_id].add(task.pool)
    connections_of: dict[str, list[str]] = defaultdict(list)
    for conn_id, token in sorted(tokens.items()):
        if token:
            connections_of[token].append(conn_id)

    findings = []
    for conn_id, token in sorted(tokens.items()):
        subject = f"connection {conn_id}"
        sharing = connections_of[token] if token else [conn_id]
        # Until a task says otherwise, a connection's lane is its own.
        pools = sorted(set().union(*(lanes[each] for each in sharing))) or sharing
        if token is None:
            findings.append(Finding(subject, "not found, or without a token", "create it, or correct its id"))
        elif len(pools) > 1:
            holders = (
                f"connections {', '.join(sharing)} hold one token, which is" if len(sharing) > 1 else "its token is"
            )
            findings.append(
                Finding(
                    subject,
                    f"{holders} used in {len(pools)} lanes: {', '.join(pools)}",
                    f"give every task that uses it pool={_best_lane(pools, sharing)!r}",
                )
            )
        else:
            findings.append(Finding(subject, *_judged(pools[0], slots)))
    for task in sorted(tasks, key=lambda task: task.name):
        findings.append(Finding(f"task {task.name}", *_judged(task.pool, slots)))
    return findings


def _judged(pool: str, slots: dict[str, int]) -> tuple[str, str]:
    if pool not in slots:
        return (
            f"pool {pool} is missing: tasks would wait for ever",
            f"airflow wolkvox sync-pools --conn-id {pool}",
        )
    if pool == EVERYBODYS_POOL:
        return "outside any lane: default_pool is everybody's", "leave pool out, or name a pool of one slot"
    if slots[pool] != SLOTS:
        return (
            f"pool {pool} has {slots[pool]} slots: the token would be used by several requests at once",
            f"airflow wolkvox sync-pools --conn-id {pool}",
        )
    return "ok", ""


def _best_lane(pools: list[str], sharing: list[str]) -> str:
    return next((pool for pool in [*pools, *sharing] if pool in sharing and pool != EVERYBODYS_POOL), sharing[0])


def _listed(session: Session) -> list[str]:
    """Return the ids of the wolkvox connections in the database."""
    from airflow.models.connection import Connection
    from sqlalchemy import select

    return list(session.scalars(select(Connection.conn_id).where(Connection.conn_type == "wolkvox")))


def _hook(conn_id: str) -> WolkvoxHook:
    """Return the hook of a connection, wherever it is kept.

    On 3.2 and later a hook itself looks into the database only within a server's or a task's process, not in a
    command's [ran on 3.3].

    :raises AirflowException: there is none
    """
    from airflow.models.connection import Connection

    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

    hook = WolkvoxHook(conn_id)
    hook.connection = Connection.get_connection_from_secrets(conn_id)
    return hook


def _token(conn_id: str) -> str | None:
    """Return the token that a task would get for a connection, wherever it is kept; None if there is none."""
    from airflow.models.connection import Connection

    try:
        # Looks where a task's hook does, in the same order: secrets backends, environment, database.
        return (Connection.get_connection_from_secrets(conn_id).password or "").strip() or None
    except Exception:
        # "Not found", and "cannot be decrypted", have other classes in other versions and backends.
        return None


def _wolkvox_tasks(session: Session) -> tuple[list[LaneTask], list[str]]:
    """Return the tasks of ours in all current DAGs, and the ids of DAGs that cannot be read."""
    from airflow.models import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import select

    # `is_active` became `not is_stale` in 3.0.
    current = ~DagModel.is_stale if hasattr(DagModel, "is_stale") else DagModel.is_active
    tasks: list[LaneTask] = []
    unreadable: list[str] = []
    for dag_id in session.scalars(select(DagModel.dag_id).where(current).order_by(DagModel.dag_id)):
        try:
            dag = SerializedDagModel.get_dag(dag_id, session=session)
        except Exception:
            unreadable.append(dag_id)
            continue
        for task in dag.task_dict.values() if dag else ():
            # Every operator and sensor of ours that uses a token templates this field, and so do classes made of them.
            if "wolkvox_conn_id" in task.template_fields:
                arguments = getattr(task, "partial_kwargs", None) or vars(task)
                # Absent from a mapped operator that is not ours, if that expands over it.
                if conn_id := arguments.get("wolkvox_conn_id"):
                    tasks.append(LaneTask(f"{dag_id}.{task.task_id}", str(conn_id), task.pool))
    return tasks, unreadable


def _logs_to_stderr() -> AbstractContextManager[Any]:
    """Keep stdout for what a command shows: Airflow 2.11 logs there, and JSON with a log before it is none."""
    return redirect_stdout(sys.stderr)


def _print(rows: list[dict[str, Any]], output: str, *, nothing: str) -> None:
    from airflow.cli.simple_table import AirflowConsole

    if not rows and output == "table":
        print(nothing)
        return
    AirflowConsole().print_as(rows, output=output)
