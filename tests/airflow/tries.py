"""What tests say of one try of a task, whichever Airflow runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from capabilities import HAS_LEDGER, NO_LEDGER

DAG_ID = "callbacks"
RUN_ID = "manual__1"


class ProcessKilled(BaseException):
    """The task's process is gone: nothing after this runs."""


@dataclass
class Run:
    """What a try ended with."""

    state: str | None
    error: BaseException | None
    xcoms: dict[str, Any]


@dataclass
class ServerState:
    """What Airflow keeps of one task instance.

    :param messages: what the task's process asked of it, from 3.0
    :param upstream: what other tasks returned, by their ids
    :param first_rescheduled: when a sensor first gave its slot back
    :param on_message: called before and after each message
    """

    run_id: str = RUN_ID
    task_state: str | None = "running"
    ti_id: Any = field(default_factory=uuid4)
    xcoms: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    upstream: dict[str, Any] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)
    store_down: bool = False
    first_rescheduled: datetime | None = None
    on_message: Callable[[Any, str], None] = lambda message, when: None
    _store: dict[str, Any] = field(default_factory=dict)
    _given_back: list[datetime] = field(default_factory=list)

    @property
    def store(self) -> dict[str, Any]:
        """The task state store; a test that looks into it has nothing to look at where there is none."""
        if not HAS_LEDGER:
            pytest.skip(NO_LEDGER)
        return self._store

    @store.setter
    def store(self, kept: dict[str, Any]) -> None:
        self._store = kept
