"""What differs between the versions of Airflow."""

from __future__ import annotations

from typing import Any


def is_test_run(ti: Any) -> bool:
    """Return whether a task runs in `airflow dags test`, `dag.test()` or `airflow tasks test`.

    These run the task in the process that was started by hand, without a worker, a pool or retries. What runs through
    an executor (`dag.test(use_executor=True)`) cannot be told from a real run.

    :param ti: the task instance of the context
    """
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:
        # Before 3.0: only a task that an executor has started has a job [src].
        return bool(getattr(ti, "test_mode", False)) or getattr(ti, "job_id", None) is None
    supervisor = getattr(task_runner, "SUPERVISOR_COMMS", None)
    # By its name, since its module takes a second to import [src, 3.0 to 3.3].
    return type(supervisor).__name__ == "InProcessSupervisorComms"


def ran_before(ti: Any) -> bool:
    """Return whether this very try of a task was run before, which Airflow before 3.0 does when a person forces it.

    `airflow tasks run --ignore-all-dependencies --force` leaves the try's number as it is. From 3.0 there is no such
    command, and the answer is no.

    :param ti: the task instance of the context
    """
    if not hasattr(ti, "refresh_from_db") or getattr(ti, "test_mode", False):
        return False
    if ti.duration is not None:
        # Set when a try ends, however it does, and by nothing before [src].
        return True

    from airflow.models import Log
    from airflow.utils.session import create_session

    # A process that was lost has told no end; but each start is an event.
    with create_session() as session:
        started = session.query(Log).filter_by(
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=ti.map_index,
            try_number=ti.try_number,
            event="running",
        )
        return bool(started.count() > 1)
