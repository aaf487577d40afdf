"""Runs one try of a task as the installed Airflow does: its Task SDK from 3.0, its models on a database before."""

from __future__ import annotations

from capabilities import HAS_TASK_SDK
from tries import DAG_ID, RUN_ID, ProcessKilled, Run

if HAS_TASK_SDK:
    from sdk_runner import Server, kind_of, run_try
else:
    from database_runner import Server, kind_of, run_try

__all__ = ["DAG_ID", "RUN_ID", "ProcessKilled", "Run", "Server", "kind_of", "run_try"]
