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


def state_of(ti: Any) -> str | None:
    """Return a task's own state as Airflow's server sees it; another one than `running` if another try runs.

    :param ti: the task instance of the context
    """
    if hasattr(ti, "get_task_states"):
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        # The request names one task instance, so at most one state comes back.
        return next(iter(states.get(ti.run_id, {}).values()), None)
    # Before 3.0 a task has the database at hand. What it reads replaces what the process knows of its own try.
    own = ti.try_number
    ti.refresh_from_db()
    found, ti.try_number = ti.try_number, own
    if found != own:
        return f"{ti.state} in try {found}"
    # `airflow dags test` leaves the state at "scheduled" there. It is no harm to take that for running
    # where a task was cleared and scheduled again: that later try refuses to call.
    state: str | None = "running" if ti.state == "scheduled" else ti.state
    return state


def was_cleared(failure: BaseException) -> bool:
    """Return whether Airflow's server rejects a message because the task instance that sends it is no more.

    From 3.3 it answers so to a write of a process whose task was cleared [ran].

    :param failure: what writing to the task state store raised
    """
    detail = getattr(getattr(failure, "error", None), "detail", None) or {}
    return detail.get("status_code") == 404


def describe(failure: BaseException) -> str:
    """Return what kind of failure it was, without its text: Airflow puts arguments and results into it.

    :param failure: an exception of Airflow's, or of a library
    """
    kind: Any = getattr(getattr(failure, "error", None), "error", None)
    return f"{type(failure).__name__}: {kind.value}" if hasattr(kind, "value") else type(failure).__name__


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
