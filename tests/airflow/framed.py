"""A task's supervisor at the other end of a real socket: Airflow's own framing, which a replaced object would hide."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.comms import CommsDecoder, ToSupervisor, _RequestFrame, _ResponseFrame
from pydantic import TypeAdapter

# How long a request waits for another one, which would show that two were sent at once.
PATIENCE = 0.02


class FramedSupervisor:
    """Answers the messages of a task's process as `server` says.

    Two requests that come at once are answered in reverse order, so that whoever mixes up the answers is found out.

    :param server: what knows the answers
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._ours, theirs = socket.socketpair()
        self.comms = CommsDecoder(socket=theirs)
        self.greatest_pending = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        self.comms.socket.close()
        self._thread.join()
        self._ours.close()

    def _serve(self) -> None:
        while frames := [*self._read(None)]:
            while select.select([self._ours], [], [], PATIENCE)[0]:
                more = [*self._read(0)]
                if not more:
                    break
                frames += more
            self.greatest_pending = max(self.greatest_pending, len(frames))
            for frame in reversed(frames):
                self._ours.sendall(self._answer(frame).as_bytes())

    def _answer(self, frame: _RequestFrame) -> _ResponseFrame:
        message: Any = TypeAdapter(ToSupervisor).validate_python(frame.body)
        try:
            answer = self._server.send(message)
        except AirflowRuntimeError as failure:
            return _ResponseFrame(id=frame.id, body=None, error=failure.error.model_dump())
        return _ResponseFrame(id=frame.id, body=None if answer is None else answer.model_dump())

    def _read(self, timeout: float | None) -> Iterator[_RequestFrame]:
        if timeout is not None and not select.select([self._ours], [], [], timeout)[0]:
            return
        header = self._exactly(4)
        if header:
            body = self._exactly(int.from_bytes(header, "big"))
            yield msgspec.msgpack.decode(body, type=_RequestFrame)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self._ours.recv(count - len(found))
            if not part:
                return b""
            found += part
        return found


@contextmanager
def framed(server: Any) -> Iterator[FramedSupervisor]:
    """Give a task's process a supervisor behind a socket."""
    supervisor = FramedSupervisor(server)
    try:
        yield supervisor
    finally:
        supervisor.close()
