"""What may happen to a task at any moment of its life, and the moments at which it may happen."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn
from unittest import mock
from uuid import uuid4

from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from capabilities import HAS_TASK_SDK
from task_runner import ProcessKilled, Server

from airflow_provider_wolkvox.api import client, transport

# The stages of an exchange with wolkvox, by the functions that begin and end them.
STAGES = ("connect", "hand over", "await answer", "read envelope")


@dataclass
class Interruption:
    """Something that happens once, before or after the n-th step of a try.

    A step is a message to Airflow's server or a stage of the exchange with wolkvox; a try with no
    interruption tells which steps there are. From step `store_fails_from` on, the task state store
    answers nothing. `others` are kinds of a test's own.
    With `awaits_answer` the request, which must have no body, is over only when its answer has arrived.
    """

    kind: str
    at_step: int
    when: str
    server: Server
    steps: int = 0
    done: bool = False
    process_ended: bool = False
    names: list[str] | None = None
    store_fails_from: int | None = None
    others: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    awaits_answer: bool = False

    def passes(self, name: str, when: str) -> None:
        """Note that a step begins or ends, and strike if it is the one."""
        if self.process_ended:
            # The process is gone: nothing that it still tries reaches anybody.
            raise ProcessKilled
        if when == "before":
            self.steps += 1
            if self.names is not None:
                self.names.append(name)
            if self.store_fails_from is not None:
                self.server.store_down = self.steps >= self.store_fails_from
        if not self.done and when == self.when and self.steps == self.at_step:
            self.done = True
            self._strike()

    def _strike(self) -> None:
        match self.kind:
            case "kill":
                self._end_process()
            case "execution timeout":
                raise AirflowTaskTimeout("Timeout")
            case "SIGTERM" if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                # The task runner of 3.0 leaves it at that; here the tests would end with it.
                self._end_process()
            case "SIGTERM":
                os.kill(os.getpid(), signal.SIGTERM)
            case "clear":
                # From here on the server knows the task instance by another id only.
                self.server.ti_id = uuid4()
                self.server.task_state = None
            case "mark failed":
                self.server.task_state = "failed"
            case "mark success":
                self.server.task_state = "success"
            case "nothing":
                pass
            case _:
                self.others[self.kind]()

    def _end_process(self) -> NoReturn:
        self.process_ended = True
        raise ProcessKilled

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Watch the messages and the stages of one try."""
        from task_runner import kind_of

        # Before 3.0 there are no messages, only the stages of the exchange.
        if HAS_TASK_SDK:
            self.server.on_message = lambda message, when: self.passes(kind_of(message), when)
        wrapped = [
            (transport._MarkingConnection, "connect", "connect"),
            (transport.HTTPConnection, "endheaders", "hand over"),
            (transport.HTTPConnection, "getresponse", "await answer"),
            (transport, "read_envelope", "read envelope"),
        ]
        patches = [
            mock.patch.object(owner, attribute, self._watched(getattr(owner, attribute), stage), create=True)
            for owner, attribute, stage in wrapped
        ]
        before = signal.getsignal(signal.SIGTERM)
        try:
            for patch in patches:
                patch.start()
            yield
        finally:
            for patch in patches:
                patch.stop()
            if HAS_TASK_SDK:
                self.server.on_message = lambda message, when: None
            signal.signal(signal.SIGTERM, before)

    def _watched(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.passes(stage, "before")
            result = function(*args, **kwargs)
            if stage == "hand over" and self.awaits_answer:
                # Else the phone might ring later than the process ends, or not: answer or end must be on their way.
                select.select([args[0].sock], [], [])
            self.passes(stage, "after")
            return result

        return watched


@contextmanager
def quick_waits() -> Iterator[None]:
    """Let the client's waits between tries pass at once; how long they are is tested elsewhere."""
    with mock.patch.object(client.Resend, "wait_after", return_value=0.0):
        yield
