"""`airflow wolkvox ...`, and the same as `python -m airflow_provider_wolkvox ...`.

Airflow loads command definitions at every start of `airflow`, so this module imports nothing heavy;
each command's work imports what it needs.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, GroupCommand

from airflow_provider_wolkvox.lane import SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

ARG_CONN_ID = Arg(  # type: ignore[no-untyped-call]
    ("--conn-id",),
    action="append",
    default=[],
    metavar="CONN_ID",
    help="A connection that is not in the database (environment variable, secrets backend); may be repeated",
)


def get_wolkvox_cli_commands() -> list[GroupCommand]:
    """Return the provider's commands, as Airflow's parser takes them."""
    return [GroupCommand(name="wolkvox", help="Lanes of wolkvox tokens", subcommands=COMMANDS)]


def sync_pools(args: argparse.Namespace) -> None:
    """Create, or set back to one slot, the pool of every wolkvox connection; change nothing else."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    rows = []
    with create_session() as session:
        for conn_id, token in sorted(_tokens(session, args.conn_id).items()):
            pool = session.scalars(select(Pool).where(Pool.pool == conn_id)).one_or_none()
            if pool is None:
                Pool.create_or_update_pool(
                    name=conn_id,
                    slots=SLOTS,
                    description=f"The lane of wolkvox connection {conn_id}: one request at a time",
                    include_deferred=False,
                    session=session,
                )
                done = "created"
            elif pool.slots != SLOTS:
                done = f"set from {pool.slots} slots to {SLOTS}"
                pool.slots = SLOTS
            else:
                done = "was right"
            rows.append({"connection": conn_id if token else f"{conn_id} (not found)", "pool": conn_id, "done": done})
    _print(rows, args.output, nothing="No wolkvox connection in the database. Name others with --conn-id.")


def check(args: argparse.Namespace) -> None:
    """Report what would let a token be used twice at once, or a task wait for ever; exit with 1 if anything."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        tasks, unreadable = _wolkvox_tasks(session)
        # A task's connection is known by name, so it can be looked up wherever it is kept.
        used = [task.conn_id for task in tasks if "{" not in task.conn_id]
        tokens = _tokens(session, [*args.conn_id, *used])
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


COMMANDS = [
    ActionCommand(
        name="sync-pools",
        help="Create and repair the pool of one slot of each wolkvox connection",
        func=sync_pools,
        args=(ARG_CONN_ID, ARG_OUTPUT),
    ),
    ActionCommand(
        name="check",
        help="Find lanes that are missing, too wide, doubled, or left by a task; exit status 1 if there are any",
        func=check,
        args=(ARG_CONN_ID, ARG_OUTPUT),
    ),
]


@dataclass(frozen=True)
class LaneTask:
    """A task of ours, as the scheduler reads it from the serialised DAG."""

    name: str
    conn_id: str
    pool: str


@dataclass(frozen=True)
class Finding:
    """One line of `check`: what it is about, what was found, what to do."""

    subject: str
    finding: str
    remedy: str


def _findings(tokens: dict[str, str | None], tasks: list[LaneTask], slots: dict[str, int]) -> list[Finding]:
    """Judge connections (id -> token, None if not found), tasks and pools (name -> slots)."""
    lanes: dict[str, set[str]] = {conn_id: set() for conn_id in tokens}
    for task in tasks:
        lanes.setdefault(task.conn_id, set()).add(task.pool)
    connections_of: dict[str, list[str]] = defaultdict(list)
    for conn_id, token in tokens.items():
        # Until a task says otherwise, a connection's lane is its own.
        lanes[conn_id] = lanes[conn_id] or {conn_id}
        if token:
            connections_of[token].append(conn_id)

    findings = []
    for conn_id, token in sorted(tokens.items()):
        subject = f"connection {conn_id}"
        sharing = sorted(connections_of[token]) if token else [conn_id]
        pools = sorted(set().union(*(lanes[each] for each in sharing)))
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
                    f"give every task that uses it pool={pools[0]!r}",
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
    if pool == "default_pool":
        return "outside any lane: default_pool is everybody's", "leave pool out, or name a pool of one slot"
    if slots[pool] != SLOTS:
        return (
            f"pool {pool} has {slots[pool]} slots: the token would be used by several requests at once",
            f"airflow wolkvox sync-pools --conn-id {pool}",
        )
    return "ok", ""


def _tokens(session: Session, named: Iterable[str]) -> dict[str, str | None]:
    """Return connection id -> token (None if there is none), for those in the database and those named."""
    from airflow.models.connection import Connection
    from sqlalchemy import select

    tokens = {
        connection.conn_id: connection.password or None
        for connection in session.scalars(select(Connection).where(Connection.conn_type == "wolkvox"))
    }
    for conn_id in named:
        if conn_id not in tokens:
            try:
                tokens[conn_id] = Connection.get_connection_from_secrets(conn_id).password or None
            except Exception:
                tokens[conn_id] = None
    return tokens


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
            # Every operator and sensor of ours templates this field, and so do classes made from them.
            if "wolkvox_conn_id" in task.template_fields:
                arguments = getattr(task, "partial_kwargs", None) or vars(task)
                tasks.append(LaneTask(f"{dag_id}.{task.task_id}", str(arguments["wolkvox_conn_id"]), task.pool))
    return tasks, unreadable


def _print(rows: list[dict[str, Any]], output: str, *, nothing: str) -> None:
    from airflow.cli.simple_table import AirflowConsole

    if not rows and output == "table":
        print(nothing)
        return
    AirflowConsole().print_as(rows, output=output)
