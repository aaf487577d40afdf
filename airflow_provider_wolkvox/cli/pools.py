"""`sync-pools` and `check`: the token's pool of each connection, and the tasks that use it."""

from __future__ import annotations

import argparse
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand

from airflow_provider_wolkvox.cli.connections import ARG_CONN_IDS, connection_of, listed, token_in, used_ledger
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows
from airflow_provider_wolkvox.lane import EVERYBODYS_POOL, SLOTS, is_pool_name
from airflow_provider_wolkvox.stop_switch import ON, STOP_SWITCH, read_from_database

if TYPE_CHECKING:
    from airflow.models.connection import Connection
    from sqlalchemy.orm import Session

    from airflow_provider_wolkvox.stop_switch import StopSwitch


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
            known = conn_id in kept or token_in(connection_of(conn_id))
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
    """Report what would let a token be used twice at once, a task wait for ever, or a customer be rung more than once.

    :param args: as for `sync_pools`
    :raises SystemExit: with 1, if there is anything to report, or no task of ours to look at
    """
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with logs_to_stderr(), create_session() as session:
        dag_ids, tasks, unreadable = _wolkvox_tasks(session)
        # A task's connection is known by name, so it can be looked up wherever it is kept.
        used = [task.conn_id for task in tasks if "{" not in task.conn_id]
        connections = {conn_id: connection_of(conn_id) for conn_id in {*listed(session), *args.conn_id, *used}}
        slots = {str(pool.pool): pool.slots for pool in session.scalars(select(Pool))}
        elsewhere = _ran_elsewhere(session, tasks, datetime.now(UTC) - _LOOKED_BACK)
        switch = read_from_database()
        findings = [
            _looked_at(dag_ids, tasks),
            _judged_switch(switch, connections),
            *_judged_ledger(session),
            *_findings(connections, tasks, slots),
            *elsewhere,
            *(
                Finding(f"DAG {dag_id}", "cannot be read from the database", "look at its import errors")
                for dag_id in unreadable
            ),
        ]
    print_rows([asdict(finding) for finding in findings], args.output, nothing="")
    if any(finding.finding != "ok" for finding in findings):
        raise SystemExit(1)


DEPLOYMENT = "wolkvox_deployment"
"""The Airflow Variable with the random id of this deployment; `check` makes it where there is a ledger in SQL."""

_SEEN_WITHIN = timedelta(days=30)


@dataclass(frozen=True)
class LaneTask:
    """A task of ours, as the scheduler reads it from the serialised DAG.

    :param dag_id: its DAG
    :param task_id: the task
    :param conn_id: its connection's id; a template, if it is one
    :param pool: the pool that the scheduler puts it into
    :param crossed: whether it is mapped over each agent with each customer
    """

    dag_id: str
    task_id: str
    conn_id: str
    pool: str
    crossed: bool = False

    @property
    def name(self) -> str:
        """DAG and task."""
        return f"{self.dag_id}.{self.task_id}"


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


def _looked_at(dag_ids: list[str], tasks: list[LaneTask]) -> Finding:
    """Say how much was looked at, for nothing at all proves nothing."""
    dags = len({task.dag_id for task in tasks})
    subject = f"looked at {len(tasks)} tasks of this provider in {dags} of {len(dag_ids)} DAGs"
    if tasks:
        return Finding(subject, "ok", "")
    return Finding(subject, "no task was checked", "airflow dags reserialize, airflow dags list-import-errors")


def _judged_switch(switch: StopSwitch, connections: Mapping[str, Connection | None]) -> Finding:
    subject = f"stop switch {STOP_SWITCH}: {switch}"
    known = {conn_id for conn_id in {*connections, *switch.items} if connections.get(conn_id) or connection_of(conn_id)}
    unknown = next(switch.unknown(known), None)
    if switch.is_off:
        return Finding(subject, "ok", "")
    if switch.unreadable:
        return Finding(subject, "stops all calling", "see what Airflow logs about its secrets backend")
    if unknown is not None:
        told = "stops all calling"
        if unknown.lower() not in ON:
            told = f"stops all calling, since {unknown[:60]!r} is no connection"
        return Finding(subject, told, f"airflow variables delete {STOP_SWITCH}")
    stopped = sorted(conn_id for conn_id in connections if switch.why_stopped(conn_id, known))
    if not stopped:
        return Finding(subject, "ok", "")
    return Finding(subject, f"stops calling with {', '.join(stopped)}", f"airflow variables delete {STOP_SWITCH}")


def _judged_ledger(session: Session) -> Iterator[Finding]:
    from airflow_provider_wolkvox.ledger.base import LedgerError
    from airflow_provider_wolkvox.ledger.configuration import namespace

    try:
        ledger = used_ledger()
        if ledger is None:
            yield Finding(
                "ledger: none in SQL, so at most the task that calls remembers it; one is recommended "
                "(airflow wolkvox ledger init)",
                "ok",
                "",
            )
            return
        own = _own_id(session)
        with closing(ledger):
            status = ledger.status()
            ledger.register(namespace(), own)
            seen = ledger.deployments(datetime.now(UTC) - _SEEN_WITHIN)
    except LedgerError as wrong:
        yield Finding("ledger", f"no task can call: {wrong}", "airflow wolkvox ledger status")
        return
    in_doubt = status["counts"]["intent"]
    yield Finding(f"ledger: {status['backend']}, {in_doubt} calls in doubt", "ok", "")
    others = len({*seen.get(namespace(), ())} - {own})
    if others:
        yield Finding(
            f"[wolkvox] namespace {namespace()!r}",
            f"{others} other Airflow deployments use the ledger under it: where a DAG and its run have the same names "
            "there, a customer is called by one of them only",
            "give each its own AIRFLOW__WOLKVOX__NAMESPACE; after this one's database was made anew, wait "
            f"{_SEEN_WITHIN.days} days",
        )


def _own_id(session: Session) -> str:
    """Return the random id of this Airflow, which is made once and kept as a Variable."""
    from airflow.models.variable import Variable
    from sqlalchemy import select

    kept = session.scalars(select(Variable).where(Variable.key == DEPLOYMENT)).one_or_none()
    if kept is None:
        kept = Variable(  # type: ignore[no-untyped-call]
            key=DEPLOYMENT,
            val=secrets.token_hex(16),
            description="Tells this Airflow from others that use the same wolkvox ledger",
        )
        session.add(kept)
    # Whatever a person has made of it: of the length that the ledger has for it.
    return hashlib.sha256(str(kept.val).encode()).hexdigest()[:32]


def _findings(
    connections: Mapping[str, Connection | None], tasks: list[LaneTask], slots: dict[str, int]
) -> list[Finding]:
    """Judge connections (by their ids, None if not found), tasks and pools (name -> slots)."""
    tokens = {conn_id: token_in(connection) for conn_id, connection in connections.items()}
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
        code = _shortened_code(connections[conn_id])
        if code:
            findings.append(
                Finding(
                    f"{subject}, server code",
                    f"{code!r} has fewer than four digits: YAML reads 0042 without quotes as 34",
                    'quote it where it is written: host: "0042"',
                )
            )
    for task in sorted(tasks, key=lambda task: task.name):
        findings.append(Finding(f"task {task.name}", *(_CROSSED if task.crossed else _judged(task.pool, slots))))
    return findings


def _shortened_code(connection: Connection | None) -> str:
    """Return a server code that has lost its leading zeros; empty if it has not."""
    from airflow_provider_wolkvox.api.arguments import SERVER_CODE_DIGITS

    code = str((connection.host if connection else None) or "").strip().lower().removeprefix("wv")
    return code if code.isdigit() and len(code) < SERVER_CODE_DIGITS else ""


def _ran_elsewhere(session: Session, tasks: list[LaneTask], since: datetime) -> list[Finding]:
    """Return the tasks of ours that ran, or are about to run, in another pool than the DAG gives them.

    A cluster policy (`task_instance_mutation_hook`) changes the task instance, not the DAG, and from 3.0 no task can
    see its own [src].
    """
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import func, or_, select

    lanes = {(task.dag_id, task.task_id): task.pool for task in tasks}
    under_way = TaskInstance.state.in_(["scheduled", "queued", "running", "up_for_reschedule", "up_for_retry"])
    found = session.execute(
        select(TaskInstance.dag_id, TaskInstance.task_id, TaskInstance.pool, func.count())
        .where(
            TaskInstance.dag_id.in_({task.dag_id for task in tasks}),
            or_(TaskInstance.start_date >= since, under_way),
        )
        .group_by(TaskInstance.dag_id, TaskInstance.task_id, TaskInstance.pool)
    ).all()
    return [
        Finding(
            f"task {dag_id}.{task_id}: its runs of the last day",
            f"{count} in pool {pool} instead of {lanes[dag_id, task_id]}: the token may have been used by several "
            "requests at once",
            "find what moves it: a cluster policy (task_instance_mutation_hook), or an older version of the DAG",
        )
        for dag_id, task_id, pool, count in sorted(found)
        if pool != lanes.get((dag_id, task_id), pool)
    ]


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


def _wolkvox_tasks(session: Session) -> tuple[list[str], list[LaneTask], list[str]]:
    """Return the ids of all current DAGs, the tasks of ours in them, and the ids of DAGs that cannot be read."""
    from airflow.models import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import select

    # `is_active` became `not is_stale` in 3.0.
    current = ~DagModel.is_stale if hasattr(DagModel, "is_stale") else DagModel.is_active
    tasks: list[LaneTask] = []
    unreadable: list[str] = []
    dag_ids = list(session.scalars(select(DagModel.dag_id).where(current).order_by(DagModel.dag_id)))
    for dag_id in dag_ids:
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
                    tasks.append(LaneTask(dag_id, task.task_id, str(conn_id), task.pool, _is_crossed(task)))
    return dag_ids, tasks, unreadable


def _is_crossed(task: Any) -> bool:
    """Return whether a task is mapped with `expand` over agents and over customers: each agent rings each of them."""
    over = getattr(getattr(task, "expand_input", None), "value", None)
    return isinstance(over, Mapping) and {"agent_id", "customer_phone"} <= set(over)


_LOOKED_BACK = timedelta(days=1)

_CROSSED = (
    "expand(agent_id=..., customer_phone=...) rings each customer once for each agent",
    "give the pairs to expand_kwargs",
)


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
