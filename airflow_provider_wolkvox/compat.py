"""What differs between the versions of Airflow."""

from __future__ import annotations

import threading
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


def lock_supervisor() -> None:
    """Let a task's threads talk with its supervisor one after the other, for the rest of the process.

    A task of Airflow 3 asks its supervisor for everything over one socket, a request and its answer at a time. From
    task-sdk 1.2 (Airflow 3.2) on `send` has a lock; before, two threads read each other's answers, and one of them
    waits forever [ran]. Airflow looks the global name up for each message [src], so that its own messages go through
    the lock too.
    """
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:  # before Airflow 3.0, where a task has the database
        return
    comms: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if comms is not None and not hasattr(comms, "_thread_lock") and not isinstance(comms, _OneAtATime):
        task_runner.SUPERVISOR_COMMS = _OneAtATime(comms)  # type: ignore[assignment]


class _OneAtATime:
    """The supervisor's end, for one thread at a time."""

    def __init__(self, comms: Any) -> None:
        self._comms = comms
        # A signal's handler may say something while the thread that it interrupts does.
        self._lock = threading.RLock()

    def send(self, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return self._comms.send(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comms, name)
