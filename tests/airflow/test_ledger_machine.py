"""Hypothesis looks for a history of faults, kills, clears, marks and retries that rings a phone twice.

Here it takes few examples, so that the suite stays quick; `make ledger-machine` takes many.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import uuid4

from capabilities import needs_ledger
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from interruptions import Interruption
from task_runner import Server
from test_ledger_interruptions import PHONE, attempt, call, connection

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
RETRIES = 2
# More steps than a try ever has; a step that a try does not reach interrupts nothing.
STEPS = st.integers(1, 16)
MOMENTS = st.sampled_from(("before", "after"))


class OneIntendedCall(RuleBasedStateMachine):
    """One task instance's life. Airflow's part is played by its rules; the simulator counts the rings."""

    @initialize()
    def begin(self) -> None:
        self.sim = Simulator().__enter__()
        self.server = Server(task_state="scheduled")
        self.try_number = 0
        self.max_tries = RETRIES
        self.due = datetime.now(UTC)
        self.call_before = None
        self.reasons: list[str] = []
        self.environment = mock.patch.dict(os.environ, {"AIRFLOW_CONN_WOLKVOX_DEFAULT": connection(self.sim)})
        self.environment.start()

    def teardown(self) -> None:
        if hasattr(self, "sim"):
            self.environment.stop()
            rings = self.sim.rings[PHONE]
            event(f"rings: {rings}")
            self.sim.__exit__(None, None, None)
            assert rings == 1 or self.reasons or self.try_number == 0, "silence without a reason"

    @rule(
        first=st.sampled_from(("nothing", "nothing", "clear", "mark failed", "mark success", "pass call_before")),
        kind=st.sampled_from(
            ("nothing", "kill", "execution timeout", "SIGTERM", "clear", "mark failed", "mark success", "second copy")
        ),
        step=STEPS,
        when=MOMENTS,
        fault=st.one_of(st.none(), st.none(), st.sampled_from(FAULTS)),
        times=st.integers(1, 5),
        store_fails_from=st.one_of(st.none(), st.none(), STEPS),
    )
    def the_task_is_run(
        self,
        first: str,
        kind: str,
        step: int,
        when: str,
        fault: str | None,
        times: int,
        store_fails_from: int | None,
    ) -> None:
        """Somebody does something first, then Airflow runs the task, and something comes between."""
        match first:
            case "mark failed" | "mark success":
                self.server.task_state = first.removeprefix("mark ")
            case "pass call_before":
                self.call_before = datetime.now(UTC) - timedelta(seconds=1)
        if first == "clear" or self.server.task_state in ("success", "failed"):
            # Airflow runs a finished task only after a clear.
            self._clear()
        if fault:
            self.sim.fault(fault, times=times)
        interruption = Interruption(kind, step, when, self.server, store_fails_from=store_fails_from, names=[])
        if kind == "second copy":
            interruption._strike = lambda: self._run_a_copy(interruption)
        self._run(interruption)
        self.sim.clear_faults()
        self.server.store_down = False

    def _run_a_copy(self, running: Interruption) -> None:
        """Let another process run the same task instance; docs/guarantees.md tells of the moments left out here."""
        last = (running.names or ["nothing"])[-1]
        if "GetTaskStates" in running.names and (last, running.when) != ("GetTaskStates", "before"):
            return
        watching = self.server.on_message
        self._attempt(Interruption("nothing", 0, "before", self.server))
        self.server.on_message = watching

    def _clear(self) -> None:
        self.server.ti_id = uuid4()
        self.server.task_state = "scheduled"
        self.max_tries = self.try_number + RETRIES

    @invariant()
    def the_phone_rang_at_most_once(self) -> None:
        if hasattr(self, "sim"):
            assert self.sim.rings[PHONE] <= 1

    def _run(self, interruption: Interruption) -> None:
        # A new try is a new process, and a new id of the task instance.
        self.server.ti_id = uuid4()
        self.try_number += 1
        result = self._attempt(interruption)
        event(f"{interruption.kind}: {self.server.task_state}")
        if result is None:
            # Nobody reported the end: the heartbeat stops, and the server retries or fails the task.
            self.reasons.append("killed")
            if self.server.task_state == "running":
                self.server.task_state = "up_for_retry" if self.try_number <= self.max_tries else "failed"
        elif result.error is not None:
            assert str(result.error)
            self.reasons.append(str(result.error))
        elif self.server.task_state == "success":
            # Of two copies, the one that starts last may wipe what the other one has pushed.
            if interruption.kind != "second copy":
                assert self.server.xcoms["return_value"] == self.server.xcoms["conn_id"]
            assert self.sim.rings[PHONE] == 1, "success without a ring"
        if interruption.kind == "clear" and interruption.done:
            self._clear()

    def _attempt(self, interruption: Interruption):
        return attempt(
            self.server,
            interruption,
            make=lambda dag: call(dag, call_before=self.call_before),
            try_number=self.try_number,
            retries=RETRIES,
            max_tries=self.max_tries,
            due=self.due,
            quiet=True,
        )


OneIntendedCall.TestCase.settings = settings(
    max_examples=int(os.environ.get("WOLKVOX_MACHINE_EXAMPLES", "100")),
    stateful_step_count=6,
    deadline=None,
    # Shrinking reruns the whole life of a task hundreds of times; the history found says enough.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
TestOneIntendedCallRingsAtMostOnce = needs_ledger(OneIntendedCall.TestCase)
