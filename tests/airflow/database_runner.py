"""Runs a try by the models of Airflow 2.11, on a database of its own: there a task is at the database itself.

What is real: all of it but the executor, and the process that a task has of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from unittest import mock

import pytest
from airflow.exceptions import AirflowTaskTerminated
from airflow.models import DagRun, Log, TaskInstance, TaskReschedule, XCom
from airflow.models.dataset import DatasetEvent, DatasetModel
from airflow.models.taskmap import TaskMap
from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.secrets.environment_variables import EnvironmentVariablesBackend
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from tries import DAG_ID, Run, ServerState

NO_MESSAGES = "about what a task asks of the API server; before 3.0 it has the database at hand"


@cache
def _database() -> None:
    """Make the database that tests/conftest.py has named."""
    from airflow.utils.db import initdb

    initdb()


class Server(ServerState):
    """The database, as one task instance sees it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "on_message" and name in vars(self):
            pytest.skip(NO_MESSAGES)
        super().__setattr__(name, value)
        if name == "task_state" and vars(self).get("_under_way"):
            with create_session() as session:
                session.query(TaskInstance).update({"state": value})

    def kinds(self) -> list[str]:
        """There are no messages."""
        pytest.skip(NO_MESSAGES)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While a try runs, the state that a test gives the task is the database's at once."""
        self.task_state = "running"
        self._under_way = True
        try:
            yield
        finally:
            self._under_way = False

    def reschedules(self) -> list[datetime]:
        """Return the instants at which the task asked to be run again."""
        return list(self._given_back)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the URI and the extra of each dataset whose event the task's success made."""
        with create_session() as session:
            return [(event.dataset.uri, event.extra) for event in session.query(DatasetEvent).order_by(DatasetEvent.id)]


def kind_of(message: Any) -> str:
    """There are no messages."""
    pytest.skip(NO_MESSAGES)


def run_try(
    make_operator: Callable[[DAG], Any],
    server: Server,
    *,
    try_number: int = 1,
    retries: int = 0,
    max_tries: int | None = None,
    due: datetime | None = None,
    around: Callable[[Any], Any] | None = None,
    quiet: bool = False,
) -> Run:
    """Run one try of the operator that `make_operator` puts into a DAG.

    :param max_tries: as the database keeps it; `retries` unless the task was cleared
    :param due: the run's logical date; now if not given
    :param around: gets the task instance before the try starts
    """
    _database()
    due = due or datetime.now(UTC)
    with DAG(DAG_ID, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        task = make_operator(dag)
        task.retries = retries
    with create_session() as session:
        # With the task instance go its XComs and reschedules; the run keeps nothing of them. Only Airflow's log of
        # events keeps that a try of another test, whose names are the same, has started.
        for model in (TaskInstance, DagRun, DatasetEvent, DatasetModel, Log):
            session.query(model).delete()
        # As the DAG processor makes them of a DAG.
        session.add_all(DatasetModel(uri=outlet.uri) for outlet in task.outlets if isinstance(outlet, Asset))
        session.add(
            DagRun(
                dag_id=task.dag_id,
                run_id=server.run_id,
                execution_date=due,
                data_interval=(due, due),
                run_type="manual",
                state="running",
                start_date=due,
                conf={},
            )
        )
    ti = TaskInstance(task, run_id=server.run_id, state=TaskInstanceState.RUNNING)
    ti.try_number = try_number
    ti.max_tries = retries if max_tries is None else max_tries
    ti.start_date = datetime.now(UTC)
    if around:
        around(ti)
    with create_session() as session:
        session.merge(ti)
        for task_id, returned in ((each, server.upstream[each]) for each in server.upstream if dag.has_task(each)):
            gave = TaskInstance(dag.get_task(task_id), run_id=server.run_id, state=TaskInstanceState.SUCCESS)
            session.add(gave)
            session.flush()
            if isinstance(returned, (list, dict)):
                session.add(TaskMap.from_task_instance_xcom(gave, returned))
            XCom.set(key="return_value", value=returned, task_id=task_id, dag_id=dag.dag_id, run_id=server.run_id)
        session.flush()
        if first := server.first_rescheduled:
            session.add(
                TaskReschedule(task.task_id, task.dag_id, server.run_id, try_number, first, first, first, ti.map_index)
            )
    error: BaseException | None = None
    with (
        mock.patch.object(EnvironmentVariablesBackend, "get_variable", lambda _, key: server.variables.get(key)),
        server.under_way(),
    ):
        try:
            ti._run_raw_task(mark_success=False, test_mode=False, job_id=1)
        except (Exception, AirflowTaskTerminated) as failure:
            error = failure
    with create_session() as session:
        asked = session.query(TaskReschedule.reschedule_date)
        server._given_back += [at for (at,) in asked.order_by(TaskReschedule.id)][
            1 if server.first_rescheduled else 0 :
        ]
        kept = session.query(TaskInstance).filter_by(task_id=task.task_id).one()
        server.task_state = kept.state
        server.xcoms = {each.key: each.value for each in session.query(XCom).filter_by(task_id=task.task_id)}
    return Run(state=server.task_state, error=error, xcoms=dict(server.xcoms))
