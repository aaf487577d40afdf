"""`WolkvoxCallNotifier`: a task that failed has an on-call person rung, once.

A failed task's callback runs in that task's process: outside of every lane, and maybe in many processes at once. So it
does not use the token. It asks Airflow for **one run of an on-call DAG**, whose single `DialOperator` sits in its
token's lane. The run's id is made from what failed, and Airflow refuses a second run of the same id: that is what keeps
the person from being rung twice for one failure.

What Airflow's sources say of it [src]:

- From 3.0 a task's process asks for a run with the message `TriggerDagRun`, as `TriggerDagRunOperator` does. The
  DAG processor, which runs the callbacks of DAGs and of tasks whose process was lost, has no such message, and would
  wait for ever for its answer.
- Before 3.0 a callback has the database at hand: `airflow.api.common.trigger_dag`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID
from airflow_provider_wolkvox.validation import Checks, Validated, choice, name

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG, Context

OncePer = Literal["failure", "run"]

ON_CALL_DAG = "wolkvox_on_call"

# What every release from 2.11 on lets stand in a run's id.
_NOT_IN_RUN_ID = re.compile("[^A-Za-z0-9_.~-]")
# Of at most 250; the rest is for what tells runs apart.
_READABLE = 180
# How often to ask again, before 3.0, where another run was asked for in the same microsecond.
_MOMENTS = 5


class NobodyIsRung(Exception):
    """The on-call DAG was not asked for a run; the message says why, and what to do."""


class WolkvoxCallNotifier(Validated, BaseNotifier):
    """Have an on-call person rung when a task fails: `on_failure_callback=WolkvoxCallNotifier()`.

    It needs a DAG that rings the person, which `on_call_dag` makes. Each failed try of a task is one intended
    ring, so a task that was cleared and fails again rings again; a task with retries left has not failed yet.
    Whatever keeps the person from being rung is logged, and leaves the task's own failure as it is.

    Give it to tasks, not to a DAG: from Airflow 3.0 the callbacks of DAGs run where no run can be asked for, and so
    do those of a task whose process was lost. There nobody is rung, and the log says so.

    :param on_call_dag_id: the DAG that rings the person; default `wolkvox_on_call` (templated)
    :param once_per: how often to ring: `"failure"` (default) for each failed try of each task, `"run"` once
        for a DAG run, however many of its tasks fail

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    """

    template_fields: Sequence[str] = ("on_call_dag_id",)
    checks: ClassVar[Checks] = {"on_call_dag_id": name, "once_per": choice(*get_args(OncePer))}

    def __init__(self, *, on_call_dag_id: str = ON_CALL_DAG, once_per: OncePer = "failure") -> None:
        super().__init__()
        self.on_call_dag_id = on_call_dag_id
        self.once_per = once_per
        self.validate(vars(self))

    def __call__(self, *args: Any) -> None:
        """Have the person rung; what goes wrong is logged."""
        try:
            super().__call__(*args)
        except Exception as failure:
            # Such as a template that cannot be rendered.
            self.log.error("Nobody is rung: %s: %s.", type(failure).__name__, failure)

    def notify(self, context: Context) -> None:
        """Ask for the one run of the on-call DAG that what failed stands for."""
        try:
            failed = _what_failed(context)
            run_id = on_call_run_id(failed, self.once_per)
            asked = _ask_for_run(self.on_call_dag_id, run_id, {"failed": failed})
        except NobodyIsRung as reason:
            self.log.error("Nobody is rung: %s", reason)
        except Exception as failure:
            self.log.error(
                "Nobody is known to be rung: Airflow did not say that it made a run of %r: %s: %s.",
                self.on_call_dag_id,
                type(failure).__name__,
                failure,
            )
        else:
            if asked:
                self.log.info("The on-call person is rung by run %s of DAG %s.", run_id, self.on_call_dag_id)
            else:
                self.log.info(
                    "Nobody is rung again: there is a run %s of DAG %s already, which stands for this %s.",
                    run_id,
                    self.on_call_dag_id,
                    self.once_per,
                )


def on_call_dag(
    dag_id: str = ON_CALL_DAG,
    *,
    agent_id: str | int,
    customer_phone: str | int,
    wolkvox_conn_id: str = DEFAULT_CONN_ID,
    max_age: timedelta = timedelta(minutes=15),
    tags: Sequence[str] = ("wolkvox", "on-call"),
    **dial: Any,
) -> DAG:
    """Return the DAG that rings an on-call person, for `WolkvoxCallNotifier` to ask for runs of.

    ::

        wolkvox_on_call = on_call_dag(agent_id="10001", customer_phone="{{ var.value.on_call_phone }}")

    The number stands on this side, not in what the failed task asks for, so it is in no run's conf. The call has the
    whole life of a `DialOperator`. A connection of its own, with a token of its own, gives it a lane in which no batch
    is before it.

    :param dag_id: the DAG's id; default `wolkvox_on_call`
    :param agent_id: the extension of the station that rings the person; somebody must be logged in there (templated)
    :param customer_phone: the person's number, such as a Variable's (templated)
    :param wolkvox_conn_id: the connection; default `wolkvox_default`
    :param max_age: how long after the failure to ring at all; default 15 minutes: who is rung later looks for a
        failure that somebody has seen by other means, or that is over
    :param tags: the DAG's tags
    :param dial: other arguments of `DialOperator`; default `calling_hours=None` and `cap=None`, since who is on call
        has asked for it, two retries after 30 seconds, which only what was not sent uses, before all others in the
        lane, and what failed as `customer_name`, for the agent to see

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    """
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_wolkvox.operators.dial import DialOperator

    given = {
        "calling_hours": None,
        "cap": None,
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "priority_weight": 1000,
        "weight_rule": "absolute",
        # A run that a person asked for, to try it out, has no such conf.
        "customer_name": "{{ (dag_run.conf or {}).get('failed', {}).get('task', 'on call') }}",
        **dial,
    }
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        # Who is on call is not to find out that somebody should have switched it on.
        is_paused_upon_creation=False,
        tags=list(tags),
    ) as dag:
        DialOperator(
            task_id="ring",
            agent_id=agent_id,
            customer_phone=customer_phone,
            wolkvox_conn_id=wolkvox_conn_id,
            max_age=max_age,
            **given,
        )
    return dag


def on_call_run_id(failed: dict[str, Any], once_per: OncePer) -> str:
    """Return the id of the one run that stands for a failure: readable, and never another failure's.

    :param failed: what failed: `dag_id`, `run_id`, `task_id`, `map_index`, `try_number`
    :param once_per: as for `WolkvoxCallNotifier`
    """
    names = ("dag_id", "run_id") if once_per == "run" else tuple(failed)
    identity = [failed[name] for name in names]
    digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=10).hexdigest()
    task = f".{failed['task_id']}" if once_per == "failure" else ""
    return f"on_call__{_NOT_IN_RUN_ID.sub('_', failed['dag_id'] + task)[:_READABLE]}__{digest}"


def _what_failed(context: Context) -> dict[str, Any]:
    ti: Any = context.get("ti")
    if ti is None:
        raise NobodyIsRung(
            "this callback is not a task's, so nothing tells one failure from another. Give the notifier to tasks: "
            "default_args={'on_failure_callback': ...}."
        )
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": -1 if ti.map_index is None else ti.map_index,
        "try_number": ti.try_number,
        "task": f"{ti.dag_id}.{ti.task_id}",
    }


def _ask_for_run(dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
    """Ask Airflow for a run; return whether it made one, False if there was that very run already.

    :raises NobodyIsRung: it cannot be asked here, or refused
    """
    try:
        from airflow.sdk.execution_time import comms, task_runner
    except ImportError:
        return _ask_before_3_0(dag_id, run_id, conf)

    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

    supervisor: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if not _is_a_tasks(supervisor):
        raise NobodyIsRung(
            "this process cannot ask for a run. Airflow runs the callbacks of a DAG, and those of a task whose process "
            "was lost, in the DAG processor. Give the notifier to tasks, and end the DAG with a task that rings "
            "(DialOperator, trigger_rule='one_failed') if a lost process must not go unnoticed."
        )
    try:
        answer = supervisor.send(comms.TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf))
    except AirflowRuntimeError as refusal:
        raise NobodyIsRung(f"Airflow made no run of {dag_id!r}: {_words(refusal.error)}.") from None
    if not isinstance(answer, comms.ErrorResponse):
        return True
    if answer.error is ErrorType.DAGRUN_ALREADY_EXISTS:
        return False
    raise NobodyIsRung(f"Airflow made no run of {dag_id!r}: {_words(answer)}.")


def _is_a_tasks(supervisor: Any) -> bool:
    """Return whether a process's line to its supervisor is a task's: only a task is ever told `StartupDetails`."""
    from pydantic import ValidationError

    try:
        supervisor.body_decoder.validate_python({"type": "StartupDetails"})
    except ValidationError as wrong:
        # Known, but incomplete; else there would be no such type.
        return all(error["type"] == "missing" for error in wrong.errors())
    except Exception:
        return False
    return True


def _words(error: Any) -> str:
    """Return what Airflow's API server said."""
    detail = error.detail or {}
    said = detail.get("detail") or detail.get("message") or detail
    while isinstance(said, dict) and "detail" in said:
        said = said["detail"]
    return f"{error.error.value}, {said.get('message', said) if isinstance(said, dict) else said}"


def _ask_before_3_0(dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagRunAlreadyExists

    trigger: Any = trigger_dag
    for _ in range(_MOMENTS):
        try:
            trigger(dag_id=dag_id, run_id=run_id, conf=conf, replace_microseconds=False)
        except DagRunAlreadyExists as already:
            # There, two runs may not share their moment either, and then it is another run that is in the way.
            if already.dag_run.run_id == run_id:
                return False
        else:
            return True
    raise NobodyIsRung(f"other runs of {dag_id!r} were made in the same microsecond, {_MOMENTS} times over.")
