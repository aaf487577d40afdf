"""A thread for each connection, no more of them than the limits allow, and the life of one request."""

from __future__ import annotations

import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_wolkvox.simulator.control.routes import CONTROL_PATH, Control
from airflow_provider_wolkvox.simulator.endpoints import registry
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import PHONES, ConnIds, Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.faults import Faults
from airflow_provider_wolkvox.simulator.state.operation import InFlight, Operation, masked
from airflow_provider_wolkvox.simulator.transport import http
from airflow_provider_wolkvox.simulator.transport.connection import ClientGone, Connection, Stopping, StopSignal
from airflow_provider_wolkvox.simulator.transport.http import Answer, BadRequest, Head
from airflow_provider_wolkvox.simulator.transport.limits import Limits
from airflow_provider_wolkvox.simulator.transport.listener import Listener
from airflow_provider_wolkvox.simulator.transport.script import Close, Drip, Reset, Script, Send, Wait, script_for

_API_PATH = "/api/v2/"
_THREAD_NAME = "wolkvox-simulator"
_JOIN_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.02
_MOST_TURNED_AWAY = 16


@dataclass(slots=True)
class Settings:
    """What may be changed while the server runs: how long it takes, and how conn_ids are told.

    :param latency: server time of every request, in seconds
    """

    latency: float = 0.0
    conn_ids: ConnIds = ConnIds.GIVEN


class Server:
    """Serves one operation on one address until `stop`. `log` gets a line per request, tokens hidden.

    :raises OSError: if the address can't be had
    :raises RuntimeError: if no thread can be started
    """

    def __init__(
        self,
        operation: Operation,
        faults: Faults,
        settings: Settings,
        *,
        host: str,
        port: int,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._operation = operation
        self._faults = faults
        self._settings = settings
        self._limits = limits
        self._control = Control(operation, faults)
        self._log = log
        self._stop = StopSignal()
        self._connections: set[Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._room = threading.Semaphore(limits.connections)
        self._turned_away: deque[Connection] = deque()
        self._pid = os.getpid()
        try:
            self._listener = Listener(host, port)
        except OSError:
            self._stop.close()
            raise
        self._acceptor = threading.Thread(target=self._accept, name=_THREAD_NAME, daemon=True)
        try:
            self._acceptor.start()
        except RuntimeError:
            self._listener.close()
            self._stop.close()
            raise
        _SERVERS.add(self)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._listener.port

    def stop(self) -> None:
        """End every wait, close every connection, and return when all threads have ended.

        A thread that does not end, since it runs a function that was given to the simulator, is left behind after a
        few seconds.
        """
        if os.getpid() != self._pid or self._stop.sent:
            return
        self._stop.send()
        latest = time.monotonic() + _JOIN_SECONDS
        # First of all, since it starts the others.
        self._acceptor.join(_JOIN_SECONDS)
        threads = set(self._threads) - {threading.current_thread()}
        for thread in threads:
            thread.join(max(0.0, latest - time.monotonic()))
        self._listener.close()
        for connection in self._turned_away:
            connection.abandon()
        if not any(thread.is_alive() for thread in threads):
            self._stop.close()

    def abandon(self) -> None:
        """Close the descriptors that a forked child has inherited."""
        for connection in [*self._connections, *self._turned_away]:
            connection.abandon()
        self._listener.abandon()
        self._stop.close()

    # Connections

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._stop.fileno(), select.POLLIN)
        poll.register(self._listener, select.POLLIN)
        while True:
            poll.poll()
            # Whoever comes while there is no room waits in the listener's queue.
            if not self._has_room():
                return
            try:
                with _FORKING:
                    connection = Connection(self._listener.accept(), self._stop, self._limits.idle_seconds)
                    self._connections.add(connection)
            except OSError:
                # The client has gone again, or descriptors ran out: then let others give theirs back.
                self._room.release()
                self._close_longest_waiting()
                self._stop.wait(_LOOK_AGAIN_SECONDS)
                continue
            self._converse_in_thread(connection)

    def _has_room(self) -> bool:
        """Wait until one more connection may be open; return `False` if the simulator stops before."""
        while not self._stop.sent:
            if self._room.acquire(blocking=False):
                return True
            self._close_longest_waiting()
            if self._room.acquire(timeout=_LOOK_AGAIN_SECONDS):
                return True
        return False

    def _close_longest_waiting(self) -> None:
        """Close the connection that has waited longest for a request or the rest of one: nothing of it is done yet."""
        waiting = [(since, each) for each in list(self._connections) if (since := each.waiting_since) is not None]
        if waiting:
            min(waiting, key=lambda pair: pair[0])[1].stop_reading()

    def _converse_in_thread(self, connection: Connection) -> None:
        thread = threading.Thread(target=self._converse, args=(connection,), name=_THREAD_NAME, daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)
            self._connections.discard(connection)
            self._room.release()
            self._turn_away(connection)

    def _turn_away(self, connection: Connection) -> None:
        """Answer 503, without a thread to do it in."""
        answer = http.html(503, "The simulator cannot start another thread")
        connection.write_at_once(_whole(answer, keep_alive=False))
        # Open for a while: closing over an unread request would take the answer from the client again.
        self._turned_away.append(connection)
        if len(self._turned_away) > _MOST_TURNED_AWAY:
            self._turned_away.popleft().abandon()

    def _converse(self, connection: Connection) -> None:
        try:
            while self._exchange(connection):
                pass
        except (ClientGone, Stopping):
            pass
        finally:
            try:
                connection.close()
            finally:
                self._connections.discard(connection)
                self._threads.discard(threading.current_thread())
                self._room.release()

    def _exchange(self, connection: Connection) -> bool:
        """Serve one request; return whether the connection may carry another."""
        if not connection.request_arrives():
            return False
        if self._faults.wants_unread and self._is_dropped_unread(connection.peek_head()):
            self._operation.dropped_unread()
            connection.reset()
            return False
        try:
            raw = connection.read_head()
            arrived = time.perf_counter()
            head = Head.read(raw)
            length = head.body_length(self._limits.body_bytes)
        except BadRequest as refusal:
            connection.write(_whole(http.html(refusal.status, str(refusal)), keep_alive=False))
            return False
        if head.headers.get("expect", "").lower() == "100-continue":
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if head.path.startswith(_API_PATH) and head.path.removeprefix(_API_PATH) in registry.FILES:
            return self._serve(connection, head, length, arrived)
        body = connection.read_body(length)
        connection.request_is_whole()
        if _is_control(head):
            answer = self._control.answer(head.method, head.path, body)
        else:
            answer = http.html(404, "Not Found")
        # The body that follows a HEAD's answer is cut off by closing.
        keep_alive = head.keep_alive and head.method != "HEAD"
        connection.write(_whole(answer, keep_alive=keep_alive))
        return keep_alive

    def _is_dropped_unread(self, raw: bytes | None) -> bool:
        try:
            head = None if raw is None else Head.read(raw)
        except BadRequest:
            return False
        return head is not None and not _is_control(head) and self._faults.take_unread(_asked(head))

    # One request to wolkvox

    def _serve(self, connection: Connection, head: Head, length: int, arrived: float) -> bool:
        token = head.headers.get("wolkvox-token")
        entry = self._operation.arrive(token, connection.still_open)
        script: Script | None = None
        try:
            body = connection.read_body(length)
            connection.request_is_whole()
            request = _asked(head, body)
            taken = self._faults.take(request)

            rows = 0

            def serve(mode: ResponseMode) -> Envelope:
                nonlocal rows
                envelope = registry.answer(self._operation, entry, request, mode)
                rows = envelope.rows
                return envelope

            def refuse(envelope: Envelope) -> Envelope:
                self._operation.refused(entry, envelope.msg)
                return envelope

            # The body that follows a HEAD's answer here is cut off by closing.
            keep_alive = head.keep_alive and head.method != "HEAD"
            # The phone rings before the latency: a client that gives up waiting has rung it all the same.
            script = script_for(
                taken.fault,
                serve=serve,
                refuse=refuse,
                undocumented=self._operation.replies,
                conn_ids=self._settings.conn_ids,
                target=head.target,
                keep_alive=keep_alive,
            )
            slow = rows * self._operation.report_policy.seconds_per_row
            latency = self._settings.latency + taken.latency + slow
            if latency:
                connection.pause_until(arrived + latency)
            self._play(script, connection, entry)
            return keep_alive and isinstance(script.end, Send)
        finally:
            self._operation.leave(entry, answered=False)
            if self._log:
                status = script.status if script and script.status else "no answer"
                took = (time.perf_counter() - arrived) * 1000
                self._log(f"{head.method} {head.path} {_shown(head.parameters)} -> {status} in {took:.1f} ms")

    def _play(self, script: Script, connection: Connection, entry: InFlight) -> None:
        for step in script.steps:
            match step:
                case Send(data):
                    connection.write(data)
                case Drip(data, interval):
                    for place in range(len(data)):
                        connection.write(data[place : place + 1])
                        connection.pause(interval)
                case Wait(seconds):
                    connection.pause(seconds)

        def over(action: Callable[[], bool]) -> bool:
            return self._operation.leave_with(entry, action, answered=script.answered)

        match script.end:
            case Send(data):
                connection.write_and(data, over)
            case Close():
                over(connection.send_fin)
            case Reset():
                over(connection.reset)


def _is_control(head: Head) -> bool:
    return head.path == CONTROL_PATH or head.path.startswith(CONTROL_PATH + "/")


def _asked(head: Head, body: bytes = b"") -> Request:
    parameters = head.parameters
    return Request(
        method=head.method,
        file=head.path.removeprefix(_API_PATH),
        api=parameters.pop("api", ""),
        parameters=parameters,
        token=head.headers.get("wolkvox-token"),
        body=body,
        content_type=head.headers.get("content-type", ""),
    )


def _whole(answer: Answer, *, keep_alive: bool) -> bytes:
    return answer.head(keep_alive=keep_alive) + answer.body


def _shown(parameters: Mapping[str, str]) -> str:
    # Quoted again, since a line break in a value would make two lines of one.
    return " ".join(f"{quote(name)}={quote(_fit_for_log(name, value))}" for name, value in parameters.items())


# Tones may be a card's number, the others are about customers.
_HIDDEN = frozenset({"tones", "comments", "customer_name", "name_recall"})


def _fit_for_log(name: str, value: str) -> str:
    if name in _HIDDEN:
        return "***"
    return masked(value) if name in PHONES else value


# A child forked while a simulator runs (Airflow's task runner forks) would keep copies of its sockets open,
# and no FIN or RST goes out before the last copy is closed.
_SERVERS: weakref.WeakSet[Server] = weakref.WeakSet()
# Held while a connection is accepted but not yet noted, so that no fork falls in between.
_FORKING = threading.Lock()


def _abandon_in_child() -> None:
    _FORKING.release()
    for server in list(_SERVERS):
        server.abandon()


os.register_at_fork(before=_FORKING.acquire, after_in_parent=_FORKING.release, after_in_child=_abandon_in_child)
