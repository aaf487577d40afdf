"""Task instances that failed, in Airflow's own database, for commands that look at them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


@contextmanager
def failed_run(dag_id: str, run_id: str, *task_ids: str) -> Iterator[None]:
    """Keep a DAG's failed run in the database, with a task instance for each task; remove them in the end.

    :param dag_id: the DAG
    :param run_id: its run
    :param *task_ids: the tasks, none of them mapped
    """
    from airflow.models import DagModel, DagRun
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    now = datetime.now(UTC)
    _remove(dag_id)
    with create_session() as session:
        session.merge(DagBundleModel(name="tests"))
        session.flush()
        session.add(DagModel(dag_id=dag_id, bundle_name="tests", fileloc="x"))
        session.flush()
        session.add(DagVersion(dag_id=dag_id, version_number=1, bundle_name="tests"))
        session.add(DagRun(dag_id=dag_id, run_id=run_id, run_after=now, run_type="manual", state="failed"))
    for task_id in task_ids:
        add_instance(dag_id, run_id, task_id)
    yield
    _remove(dag_id)


def add_instance(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
    """Add a failed task instance to a run.

    :param dag_id: the DAG
    :param run_id: its run
    :param task_id: the task
    :param map_index: which of a mapped task; default -1, not mapped
    """
    from airflow.models import TaskInstance
    from airflow.models.dag_version import DagVersion
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        version = session.scalars(select(DagVersion).where(DagVersion.dag_id == dag_id)).one()
        session.execute(
            TaskInstance.__table__.insert().values(
                id=uuid.uuid4(),
                task_id=task_id,
                dag_id=dag_id,
                run_id=run_id,
                map_index=map_index,
                state="failed",
                try_number=1,
                max_tries=0,
                pool="default_pool",
                pool_slots=1,
                dag_version_id=version.id,
                executor_config={},
            )
        )


def _remove(dag_id: str) -> None:
    from airflow.models import DagModel, DagRun, TaskInstance
    from airflow.models.dag_version import DagVersion
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        for model in (TaskInstance, DagRun, DagVersion, DagModel):
            session.execute(delete(model).where(model.dag_id == dag_id))
