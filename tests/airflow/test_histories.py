"""Hypothesis looks for a history that rings a phone twice for one intended call, or that loses a ring.

Histories of one task with Airflow's own memory, and of many tasks, runs and deployments with a ledger in SQL. Airflow's
part is played by the rules, and time passes by moving every instant into the past; operators, ledger and requests are
real, and the simulator counts the rings. Here it takes few histories, so that the suite stays quick; `make histories`
takes many.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock
from uuid import uuid4

import airflow
import pytest
from capabilities import HAS_LEDGER, HAS_TASK_SDK
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from interruptions import Interruption
from ledger_database import LedgerDatabase
from sqlalchemy.exc import OperationalError
from task_runner import Run, Server
from test_batch import batch
from test_batch_interruptions import Orderly
from test_ledger_interruptions import PHONE, attempt, call, connection

from airflow_provider_wolkvox import at_most_once
from airflow_provider_wolkvox.calling import Cap
from airflow_provider_wolkvox.ledger.entry import CallState, Entry
from airflow_provider_wolkvox.ledger.sql import LEAST_AGE_OF_PURGED
from airflow_provider_wolkvox.phone import PhoneNumber
from airflow_provider_wolkvox.simulator import Simulator

# What wolkvox or the network may do to one request, whether the phone rings or not.
FAULTS = (
    "drop_after_reading",
    "drop_after_ringing",
    "close_after_ringing",
    "cut_body",
    "garbage",
    "garbage_body",
    "bad_gzip",
    "server_error",
    "redirect",
    "busy",
    "quota",
    "bad_token",
    "api_off",
    "text_null",
    "int_codes",
    "empty_conn_id",
)
# What somebody does before a task is run (again), with Airflow's own memory and with a ledger in SQL.
DONE_IN_ANY_CASE = ("nothing", "clear", "clear and wipe", "mark failed", "mark success")
DONE_WITHOUT_LEDGER = (*DONE_IN_ANY_CASE, "set up a ledger")
DONE_IN_SQL = (
    *DONE_IN_ANY_CASE,
    "rename the task",
    "call another customer of the run",
    "call both customers in a batch",
    "run a second deployment",
    "delete the run and make it anew",
    "dags test",
    "backfill",
    "back up",
    "restore the backup",
    "purge",
    "settle what is in doubt",
)
# What comes in between, at a step of the try.
INTERRUPTIONS = (
    *("nothing", "nothing", "nothing", "kill", "execution timeout", "SIGTERM", "clear", "mark failed", "mark success"),
    # Before 3.0 the tests' database knows one running task.
    *(("second copy",) if HAS_TASK_SDK else ()),
)
INTERRUPTIONS_IN_SQL = (
    *INTERRUPTIONS,
    *("database down", "database restarted", "database slow"),
    *(("another task",) if HAS_TASK_SDK else ()),
)
# How much time passes. Minutes end a lease, hours pass call_before, a day makes a run too old, a month is purged.
MINUTES, HOURS, DAY, MONTH = timedelta(minutes=3), timedelta(hours=3), timedelta(hours=25), timedelta(days=31)
PASSES = st.sampled_from((*(timedelta(0),) * 4, *(MINUTES,) * 8, HOURS, DAY, MONTH))

RETRIES = 2
MAX_AGE = timedelta(hours=24)
ONE_A_DAY = Cap(calls=1, within=timedelta(hours=24))
# More steps than a try ever has; a step that a try does not reach interrupts nothing.
STEPS = st.integers(1, 60)
MOMENTS = st.sampled_from(("before", "after"))
OTHER_PHONE = "3005550102"
# Customer, namespace and run; the customer alone where the author has given a key.
Key = tuple[str, ...]


class Tally:
    """What the histories came to, up to the first one that must not be."""

    def __init__(self) -> None:
        names = ("histories", "tries", "rings", "double rings", "late rings", "over the cap", "silent losses")
        self.counts = Counter(dict.fromkeys(names, 0))
        self._is_closed = False

    def add(self, name: str, number: int = 1) -> None:
        """Count something; nothing any more once a violation was found, since Hypothesis plays it again."""
        if not self._is_closed:
            self.counts[name] += number

    def found(self, violation: str, told: str) -> NoReturn:
        """Count what must not be, and end the history."""
        self.add(violation)
        self._is_closed = True
        raise AssertionError(f"{violation}: {told}")


@dataclass
class Task:
    """One task instance, as its Airflow keeps it; a batch if it has two customers, `due` as before any time passed."""

    namespace: str
    task_id: str
    phones: tuple[str, ...]
    due: datetime
    server: Server
    try_number: int = 0
    max_tries: int = RETRIES

    @property
    def is_batch(self) -> bool:
        """Whether it calls several customers."""
        return len(self.phones) > 1

    def clear(self) -> None:
        """Have Airflow run it again."""
        self.server.ti_id = uuid4()
        self.server.task_state = "scheduled"
        self.max_tries = self.try_number + RETRIES


@dataclass
class IntendedCall:
    """What the phone knows of one intended call.

    :param remembered: when it rang, as far as the ledger's database has not lost it
    :param rang: whether it ever rang
    :param lost_at: since when the ledger's database knows no more of a ring; a run due before must not ring any more
    """

    remembered: list[datetime] = field(default_factory=list)
    rang: bool = False
    lost_at: datetime | None = None

    def lose(self, since: datetime | None, lost_at: datetime) -> None:
        """Have the ledger's database lose the rings since an instant, or all."""
        kept = [] if since is None else [at for at in self.remembered if at < since]
        if len(kept) < len(self.remembered):
            self.remembered, self.lost_at = kept, lost_at


class Histories(RuleBasedStateMachine):
    """What may happen to the tasks that are to call one customer."""

    def __init__(self, sim: Simulator, database: LedgerDatabase, tally: Tally) -> None:
        super().__init__()
        self.sim = sim
        self.database = database
        self.tally = tally
        self.first_of_all = database.backup()

    @initialize(
        in_sql=st.sampled_from((True, True, True, False) if HAS_LEDGER else (True,)),
        keyed=st.booleans(),
        capped=st.booleans(),
        has_deadline=st.sampled_from((False, False, True)),
        wipes=st.booleans(),
    )
    def begin(self, in_sql: bool, keyed: bool, capped: bool, has_deadline: bool, wipes: bool) -> None:
        """Draw the memory, what the author of the DAG has set, and whether Airflow 3.4 wipes a cleared task's store."""
        self.tally.add("histories")
        self.in_sql = in_sql
        self.done_first = DONE_IN_SQL if in_sql else DONE_WITHOUT_LEDGER
        self.interruptions = INTERRUPTIONS_IN_SQL if in_sql else INTERRUPTIONS
        self.wipes = wipes
        self.has_key = keyed and in_sql
        self.cap = ONE_A_DAY if capped and in_sql else None
        self.passed = timedelta(0)
        self.call_before = self._now() + timedelta(hours=2) if has_deadline else None
        self.calls: dict[Key, IntendedCall] = {}
        self.reasons: list[str] = []
        self.rings_seen: Counter[str] = Counter()
        self.runs = 0
        self.sim.reset()
        self._back_up()
        self.tasks = [self._new_task("north", self._run_id("scheduled"))]

    def teardown(self) -> None:
        if hasattr(self, "tasks"):
            event(f"rings: {self.rings_seen.total()}")
            self.database.restore(self.first_of_all)
            assert self.sim.rings == self.rings_seen, "somebody else's phone rang"
            assert self.rings_seen or self.reasons or not any(task.try_number for task in self.tasks), (
                "silence without a reason"
            )

    @rule(
        which=st.integers(0, 3),
        passes=PASSES,
        first=st.runner().flatmap(lambda machine: st.sampled_from(machine.done_first)),
        kind=st.runner().flatmap(lambda machine: st.sampled_from(machine.interruptions)),
        step=STEPS,
        when=MOMENTS,
        pauses=st.booleans(),
        fault=st.one_of(st.none(), st.none(), st.sampled_from(FAULTS)),
        times=st.integers(1, 5),
        store_fails_from=st.one_of(st.none(), st.none(), st.none(), STEPS),
    )
    def a_task_is_run(
        self,
        which: int,
        passes: timedelta,
        first: str,
        kind: str,
        step: int,
        when: str,
        pauses: bool,
        fault: str | None,
        times: int,
        store_fails_from: int | None,
    ) -> None:
        """Time passes, somebody does something, then Airflow runs a task, and something comes between."""
        self._pass(passes)
        task = self._do(first, self.tasks[which % len(self.tasks)])
        if task.server.task_state in ("success", "failed", "skipped"):
            # Airflow runs a finished task only after a clear.
            task.clear()
        if fault:
            self.sim.fault(fault, times=times)
        others = {
            # Two of a batch are what tests/airflow/test_batch_twice.py is about.
            "second copy": lambda: self._run_beside(
                self._sibling(task) if task.is_batch else task, interruption, pauses=pauses
            ),
            "another task": lambda: self._run_beside(self._sibling(task), interruption, pauses=pauses),
            "database down": self.database.go_down,
            "database restarted": self.database.restart,
            "database slow": self.database.slow_down,
        }
        interruption = (Orderly if task.is_batch else Interruption)(
            kind,
            step,
            when,
            task.server,
            store_fails_from=store_fails_from,
            names=[],
            others=others,
            awaits_answer=kind != "nothing",
        )
        self._run(task, interruption)
        self.sim.clear_faults()
        task.server.store_down = False
        self._require_no_loss()

    # What somebody does

    def _do(self, what: str, task: Task) -> Task:
        """Do something to a task, or to the ledger; return the task that is run next."""
        match what:
            case "clear":
                task.clear()
            case "clear and wipe":
                task.clear()
                if self.done_first is DONE_IN_SQL:
                    task.server._store = {}
                elif self.wipes and not self.in_sql:
                    task.server._store = {}
                    self._calls_of(task)[0].lose(None, self._now())
            case "set up a ledger" if not self._calls_of(task)[0].lost_at:
                # What the task's store knows is taken over; what it knows no more, docs/ledger.md says not to clear.
                self.in_sql, self.done_first = True, DONE_IN_ANY_CASE
            case "mark failed" | "mark success":
                task.server.task_state = what.removeprefix("mark ")
            case "rename the task":
                return self._add(self._sibling(task, "renamed"))
            case "call another customer of the run":
                return self._add(replace(self._sibling(task, "other"), phones=(OTHER_PHONE,)))
            case "call both customers in a batch":
                return self._add(replace(self._sibling(task, "both"), phones=(PHONE, OTHER_PHONE)))
            case "run a second deployment":
                south = replace(self._sibling(task, task.task_id), namespace="south", phones=task.phones)
                return self._add(south)
            case "delete the run and make it anew":
                self._delete_run(task)
                return self._add(self._new_task(task.namespace, task.server.run_id, task.phones))
            case "dags test":
                self._delete_run(task)
                return self._add(self._new_task(task.namespace, self._run_id("test"), task.phones))
            case "backfill":
                due = self._now() - timedelta(hours=12)
                return self._add(
                    replace(self._new_task(task.namespace, self._run_id("backfill"), task.phones), due=due)
                )
            case "back up":
                self._back_up()
            case "restore the backup":
                self.database.restore(self.backup)
                self.database.age(self.passed - self.passed_at_backup)
                self.database.ledger.restored()
                for each in self.calls.values():
                    each.lose(self.backed_up_at, self._now())
            case "purge":
                purged = [
                    each
                    for key, each in self.calls.items()
                    if self._state(key) is not CallState.INTENT
                    and all(at < self._now() - LEAST_AGE_OF_PURGED for at in each.remembered)
                ]
                self.database.ledger.purge(LEAST_AGE_OF_PURGED)
                for each in purged:
                    each.lose(None, self._now() - MAX_AGE)
            case "settle what is in doubt":
                self._settle()
        return task

    def _settle(self) -> None:
        """Have a person record what wolkvox's reports show, which is the truth."""
        for key, each in self.calls.items():
            for entry in self._known(key):
                if entry.state is CallState.INTENT:
                    state = CallState.ACCEPTED if each.remembered else CallState.NOT_SENT
                    conn_id = self.sim.calls[-1].conn_id if each.remembered else ""
                    self.database.ledger.settle_by_person(entry.intent_key, state, "a person", "looked", conn_id)

    def _back_up(self) -> None:
        self.backup, self.backed_up_at, self.passed_at_backup = self.database.backup(), self._now(), self.passed

    def _pass(self, by: timedelta) -> None:
        if by:
            self.database.age(by)
            self.passed += by

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.passed

    def _run_id(self, kind: str) -> str:
        self.runs += 1
        return f"{kind}__{self.runs}"

    def _new_task(self, namespace: str, run_id: str, phones: tuple[str, ...] = (PHONE,)) -> Task:
        return Task(namespace, "task", phones, self._now(), Server(run_id=run_id, task_state="scheduled"))

    def _sibling(self, task: Task, task_id: str = "another") -> Task:
        """Return another task of the same run, for one customer of the first one's."""
        new = self._new_task(task.namespace, task.server.run_id, task.phones[:1])
        return replace(new, task_id=task_id, due=task.due)

    def _add(self, task: Task) -> Task:
        self.tasks.append(task)
        return task

    def _delete_run(self, task: Task) -> None:
        same = (task.namespace, task.server.run_id)
        self.tasks = [each for each in self.tasks if (each.namespace, each.server.run_id) != same]

    # What Airflow does

    def _run(self, task: Task, interruption: Interruption) -> None:
        # A new try is a new process, and a new id of the task instance.
        task.server.ti_id = uuid4()
        if task.server.task_state != "up_for_reschedule":
            task.try_number += 1
        result = self._attempt(task, interruption)
        state = task.server.task_state
        event(f"{interruption.kind}: {state}")
        if result is None:
            # Nobody reported the end: the heartbeat stops, and the server retries or fails the task.
            self.reasons.append("killed")
            if state == "running":
                task.server.task_state = "up_for_retry" if task.try_number <= task.max_tries else "failed"
        elif result.error is not None:
            assert str(result.error)
            assert "is for another" not in str(result.error), "taken for another customer's call"
            self.reasons.append(str(result.error))
        elif state == "success" and task.is_batch:
            self.reasons += [f"{each['reason']}" for each in result.xcoms["return_value"] if each["reason"]]
            accepted = result.xcoms["summary"]["accepted"]
            assert accepted <= sum(each.rang for each in self._calls_of(task)), "success without a ring"
        elif state == "success":
            # Of two copies, the one that starts last may wipe what the other one has pushed.
            if interruption.kind != "second copy":
                assert task.server.xcoms["return_value"] == task.server.xcoms["conn_id"]
            assert self._calls_of(task)[0].rang, "success without a ring"
        else:
            self.reasons.append(f"{state}")
        if interruption.kind == "clear" and interruption.done:
            task.clear()

    def _run_beside(self, other: Task, running: Interruption, *, pauses: bool) -> None:
        """Let another process run a task while one runs, which may stand still for so long that its lease ends."""
        if threading.current_thread() is not threading.main_thread():
            # A batch looks ahead in another one, in which no task of Airflow's can run.
            return
        if not self.in_sql:
            # Without a ledger in SQL, docs/guarantees.md tells of the moments left out here.
            last = (running.names or ["nothing"])[-1]
            if "GetTaskStates" in running.names and (last, running.when) != ("GetTaskStates", "before"):
                return
        elif pauses:
            # Not while it writes to the ledger.
            with contextlib.suppress(OperationalError):
                self.database.age(MINUTES, ["leases"])
        watching = other.server.on_message
        other.try_number = max(other.try_number, 1)
        self._attempt(other, Interruption("nothing", 0, "before", other.server))
        other.server.on_message = watching

    def _attempt(self, task: Task, interruption: Interruption) -> Run | None:
        """Run one try, and judge what rang."""
        self.tally.add("tries")
        environment = {
            "AIRFLOW__WOLKVOX__LEDGER_CONN_ID": "wolkvox_ledger" if self.in_sql else "",
            "AIRFLOW__WOLKVOX__NAMESPACE": task.namespace,
        }
        version = "3.4.0" if self.wipes and self.done_first is not DONE_IN_SQL else airflow.__version__
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch.object(airflow, "__version__", version),
            mock.patch.object(at_most_once, "LEASE_WAIT", 0.0),
            self.database.watched(interruption.passes),
        ):
            ended = attempt(
                task.server,
                interruption,
                make=self._operator(task),
                try_number=task.try_number,
                retries=RETRIES,
                max_tries=task.max_tries,
                due=task.due - self.passed,
                quiet=True,
            )
        self._judge(task)
        return ended

    def _operator(self, task: Task) -> Callable[[Any], Any]:
        call_before = self.call_before and self.call_before - self.passed
        keys = {phone: f"the cut call of {phone}" for phone in task.phones}
        if not task.is_batch:
            [(phone, key)] = keys.items()
            given = {"call_before": call_before, "idempotency_key": key if self.has_key else None, "cap": self.cap}
            return lambda dag: call(dag, task_id=task.task_id, customer_phone=phone, **given)
        calls: list[dict[str, Any]] = [{"agent_id": "10001", "customer_phone": phone} for phone in keys]
        if self.has_key:
            calls = [{**each, "idempotency_key": keys[each["customer_phone"]]} for each in calls]
        return batch(task_id=task.task_id, calls=calls, call_before=call_before, cap=self.cap, fail_on=("unknown",))

    # What must hold

    def _judge(self, task: Task) -> None:
        """Require that each ring was the first one of its call, in time, and allowed by the cap."""
        for phone, ringing in zip(task.phones, self._calls_of(task), strict=True):
            rings = self.sim.rings[phone] - self.rings_seen[phone]
            if rings:
                self.rings_seen[phone] += rings
                self._judge_rings(task, phone, ringing, rings)

    def _judge_rings(self, task: Task, phone: str, ringing: IntendedCall, rings: int) -> None:
        self.tally.add("rings", rings)
        now = self._now()
        is_first = not ringing.remembered and (ringing.lost_at is None or task.due >= ringing.lost_at)
        if rings > 1 or not is_first:
            self.tally.found("double rings", f"{rings} more, {ringing}, the run was due at {task.due}")
        if now > task.due + MAX_AGE or (self.call_before and now > self.call_before):
            self.tally.found("late rings", f"{now}, the run was due at {task.due}")
        known = [at for key, each in self.calls.items() if key[0] == phone for at in each.remembered]
        if self.cap and any(at > now - self.cap.within for at in known):
            self.tally.found("over the cap", f"{now}, after {known}")
        ringing.remembered.append(now)
        ringing.rang = True

    def _require_no_loss(self) -> None:
        """Require that each ring is recorded as accepted or in doubt."""
        for key, each in self.calls.items():
            state = self._state(key)
            if each.remembered and not (state and state.may_have_rung):
                self.tally.found("silent losses", f"{each}, recorded as {state}")

    def _calls_of(self, task: Task) -> list[IntendedCall]:
        """Return a task's intended calls, which docs/ledger.md tells apart in this way."""
        where = () if self.has_key else (task.namespace, task.server.run_id)
        return [self.calls.setdefault((phone, *where), IntendedCall()) for phone in task.phones]

    def _state(self, key: Key) -> CallState | None:
        """Return the state that is recorded of an intended call."""
        known = self._known(key) if self.in_sql else []
        state = next((entry.state for entry in known if entry.state.may_have_rung), None)
        if state or self.done_first is DONE_IN_SQL:
            return state
        # Not taken over yet, or there is no ledger in SQL.
        [task] = self.tasks
        kept = task.server.store.get("wolkvox_call")
        return kept and CallState(kept["state"])

    def _known(self, key: Key) -> list[Entry]:
        """Return what the ledger in SQL knows of an intended call: one entry, if all is well."""
        phone, *where = key
        found = self.database.ledger.find(customer=PhoneNumber.parse(phone).key(""), limit=100)
        return [entry for entry in found if not where or [entry.origin.namespace, entry.origin.run_id] == where]


@pytest.fixture
def tally() -> Iterator[Tally]:
    """The counts, which are also written to where `make histories` reads them."""
    tally = Tally()
    yield tally
    if path := os.environ.get("WOLKVOX_HISTORIES_TALLY"):
        Path(path).write_text(json.dumps(tally.counts))


def test_no_history_rings_a_phone_twice_for_one_intended_call_or_loses_a_ring(tally, tmp_path, monkeypatch):
    url = os.environ.get("WOLKVOX_HISTORIES_LEDGER") or f"sqlite:///{tmp_path / 'ledger.db'}"
    with Simulator() as sim, contextlib.closing(LedgerDatabase(url)) as database:
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", connection(sim))
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_LEDGER", json.dumps(database.as_connection()))
        run_state_machine_as_test(
            lambda: Histories(sim, database, tally),
            settings=settings(
                max_examples=int(os.environ.get("WOLKVOX_HISTORIES", "50")),
                stateful_step_count=8,
                deadline=None,
                database=None,
                # Shrinking plays a history again hundreds of times; the one that was found says enough.
                phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
    assert tally.counts["rings"]
