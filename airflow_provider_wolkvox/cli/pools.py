"""`sync-pools` and `check`: the token's pool of each connection, and the tasks that use it."""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand

from airflow_provider_wolkvox.cli.connections import ARG_CONN_IDS, listed, token_of
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows
from airflow_provider_wolkvox.lane import EVERYBODYS_POOL, SLOTS, is_pool_name

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def sync_pools(args: argparse.Namespace) -> None:
    """Create, or set back to one slot, the pool of every wolkvox connection; change nothing else.

    :param args: `conn_id`: connections that the database does not hold; `output`: the table's format
    """
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    rows = []
    with logs_to_stderr(), create_session() as session:
        kept = listed(session)
        for conn_id in sorted({*kept, *args.conn_id}):
            known = conn_id in kept or token_of(conn_id)
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
    print_rows(rows, args.output, nothing="No wolkvox connection in the database. Name others with --conn-id.")


def check(args: argparse.Namespace) -> None:
    """Report what would let a token be used twice at once, or a task wait for ever.

    :param args: as for `sync_pools`
    :raises SystemExit: with 1, if there is anything to report
    """
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with logs_to_stderr(), create_session() as session:
        tasks, unreadable = _wolkvox_tasks(session)
        # A task's connection is known by name, so it can be looked up wherever it is kept.
        used = [task.conn_id for task in tasks if "{" not in task.conn_id]
        tokens = {conn_id: token_of(conn_id) for conn_id in {*listed(session), *args.conn_id, *used}}
        slots = {str(pool.pool): pool.slots for pool in session.scalars(select(Pool))}

    findings = _findings(tokens, tasks, slots) + [
        Finding(f"DAG {dag_id}", "cannot be read from the database", "look at its import errors")
        for dag_id in unreadable
    ]
    print_rows(
        [asdict(finding) for finding in findings],
        args.output,
        nothing="No wolkvox connection in the database and no task of ours in any DAG. Name connections with "
        "--conn-id.",
    )
    if any(finding.finding != "ok" for finding in findings):
        raise SystemExit(1)


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
]
