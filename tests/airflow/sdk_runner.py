"""Drives the real task runner of Airflow 3 without a database: this module is the server that it talks to.

What is real: the runner's `run`, template rendering, the operator, the context with its task state
store, the hook, the client, the sockets. What stands in: the API server, as a dictionary for each of
the things that a task asks it for. Every message is recorded, and a test may crash the task's process
before or after any of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn
from unittest import mock
from uuid import uuid4

import structlog
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType, TaskInstance, TIRunContext
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms, task_runner
from pydantic import BaseModel
from tries import DAG_ID, Run, ServerState

try:
    from airflow.sdk.log import _secrets_masker
except ImportError:  # before 3.3
    try:
        from airflow.sdk._shared.secrets_masker.secrets_masker import _secrets_masker
    except ImportError:  # before 3.1
        from airflow.sdk.execution_time.secrets_masker import _secrets_masker


class _NoSuchMessage:
    """Stands for a message that this Airflow does not know."""


GetTaskStateStore: Any = getattr(comms, "GetTaskStateStore", _NoSuchMessage)
SetTaskStateStore: Any = getattr(comms, "SetTaskStateStore", _NoSuchMessage)


def _drop(*event: Any) -> NoReturn:
    raise structlog.DropEvent


_SILENCE = structlog.wrap_logger(None, processors=[_drop])


class Server(ServerState):
    """Airflow's API server, as one task instance sees it."""

    def send(self, msg: Any) -> Any:
        """Answer one message of the task."""
        self.on_message(msg, "before")
        answer = self._answer(msg)
        self.messages.append(msg)
        self.on_message(msg, "after")
        return answer

    def kinds(self) -> list[str]:
        """Return the messages' kinds in order; a write to the ledger also tells its state."""
        return [kind_of(message) for message in self.messages]

    def reschedules(self) -> list[datetime]:
        """Return the instants at which the task asked to be run again."""
        return [message.reschedule_date for message in self.messages if isinstance(message, comms.RescheduleTask)]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the URI and the extra of each asset whose event the task's success told of."""
        [told] = [message for message in self.messages if isinstance(message, comms.SucceedTask)]
        extras = {event["dest_asset_key"]["uri"]: event["extra"] for event in told.outlet_events}
        uris = [outlet.uri for outlet in told.task_outlets]
        assert set(extras) <= set(uris)
        return [(uri, extras.get(uri, {})) for uri in uris]

    def _answer(self, msg: Any) -> Any:
        match msg:
            case GetTaskStateStore():
                self._require_store()
                if msg.ti_id != self.ti_id or msg.key not in self.store:
                    return comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND, detail={})
                return comms.TaskStateStoreResult(value=self.store[msg.key])
            case SetTaskStateStore():
                self._require_store()
                if msg.ti_id != self.ti_id:
                    # What 3.3 answers to the process of a task instance that was cleared [ran].
                    raise AirflowRuntimeError(
                        comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404})
                    )
                self.store[msg.key] = json.loads(json.dumps(msg.value))
            case comms.GetTaskRescheduleStartDate():
                return comms.TaskRescheduleStartDate(start_date=self.first_rescheduled)
            case comms.GetTaskStates():
                return comms.TaskStatesResult(task_states={self.run_id: {"task": self.task_state}})
            case comms.GetVariable():
                if msg.key not in self.variables:
                    return comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={})
                return comms.VariableResult(key=msg.key, value=self.variables[msg.key])
            case comms.SetXCom():
                self.xcoms[msg.key] = msg.value
            case comms.GetXCom() if msg.task_id in self.upstream:
                return comms.XComResult(key=msg.key, value=self.upstream[msg.task_id])
            case comms.GetXComSequenceSlice() if msg.task_id in self.upstream:
                return comms.XComSequenceSliceResult(root=[self.upstream[msg.task_id]])
            case comms.GetXCom():
                return comms.XComResult(key=msg.key, value=self.xcoms.get(msg.key))
            case comms.DeleteXCom():
                self.xcoms.pop(msg.key, None)
            case comms.ValidateInletsAndOutlets():
                return comms.InactiveAssetsResult(inactive_assets=[])
            case comms.SucceedTask():
                self.task_state = "success"
            case comms.TaskState():
                self.task_state = msg.state.value
            case comms.RetryTask():
                self.task_state = "up_for_retry"
            case comms.RescheduleTask():
                self.task_state = "up_for_reschedule"
        return None

    def _require_store(self) -> None:
        if self.store_down:
            raise AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={}))


def kind_of(message: Any) -> str:
    """Return a message's class name and, for a write to the ledger, the state written."""
    name = type(message).__name__
    if isinstance(message, SetTaskStateStore) and "state" in message.value:
        return f"{name}:{message.value['state']}"
    return name


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
    talk: Any = None,
) -> Run:
    """Run one try of the operator that `make_operator` puts into a DAG; a kill comes out as `ProcessKilled`.

    :param max_tries: as the server keeps it; `retries` unless the task was cleared
    :param due: the run's `run_after`; now if not given
    :param quiet: drop the runner's own log; its tracebacks cost more than all the rest of a try
    :param around: gets the running operator before the try starts
    :param talk: what the process talks to its supervisor with; `server` itself if not given
    """
    # A process of its own knows the secrets of one task. Here they would pile up, thousands of them in one pattern that
    # is compiled anew with each.
    _secrets_masker().reset_masker()
    xcoms_left = sorted(server.xcoms)
    due = due or datetime.now(UTC)
    with DAG(DAG_ID, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        task = make_operator(dag)
        task.retries = retries
    server.task_state = "running"
    ti = task_runner.RuntimeTaskInstance.model_construct(
        **_known(
            TaskInstance,
            id=server.ti_id,
            task_id=task.task_id,
            dag_id=DAG_ID,
            run_id=server.run_id,
            try_number=try_number,
            dag_version_id=uuid4(),
        ).model_dump(exclude_unset=True),
        task=task,
        max_tries=retries if max_tries is None else max_tries,
        start_date=datetime.now(UTC),
        map_index=-1,
        _ti_context_from_server=TIRunContext(
            dag_run=_known(
                DagRun,
                dag_id=DAG_ID,
                run_id=server.run_id,
                logical_date=due,
                data_interval_start=due,
                data_interval_end=due,
                run_after=due,
                start_date=due,
                end_date=None,
                run_type=DagRunType.MANUAL,
                state=DagRunState.RUNNING,
                clear_number=0,
                conf={},
                consumed_asset_events=[],
                partition_key=None,
            ),
            max_tries=retries if max_tries is None else max_tries,
            xcom_keys_to_clear=xcoms_left,
            should_retry=try_number <= (retries if max_tries is None else max_tries),
        ),
    )
    if around:
        around(ti)
    with _talking_to(talk or server):
        state, _, error = task_runner.run(
            ti, ti.get_template_context(), _SILENCE if quiet else structlog.get_logger("task")
        )
    return Run(state=None if state is None else state.value, error=error, xcoms=dict(server.xcoms))


def _known(model: type[BaseModel], **fields: Any) -> Any:
    """Make what the server would send, with the fields that this Airflow's server knows."""
    return model(**{name: value for name, value in fields.items() if name in model.model_fields})


@contextmanager
def _talking_to(server: Any) -> Iterator[None]:
    with mock.patch.object(task_runner, "SUPERVISOR_COMMS", server, create=True):
        yield
