"""One client's socket: every wait on it ends when the client hangs up or the simulator stops."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable

from airflow_provider_wolkvox.simulator.transport.http import MOST_HEAD_BYTES, BadRequest

# Linux tells of a peer's FIN apart from its data; elsewhere see `Connection.still_open`.
_HANG_UP = getattr(select, "POLLRDHUP", 0)
_ENDED = _HANG_UP | select.POLLHUP | select.POLLERR | select.POLLNVAL
_LINGER_RESET = struct.pack("ii", 1, 0)
_ORDERLY_CLOSE_SECONDS = 1.0
_POLL_TICK = 0.001
# poll() takes no more milliseconds than an int of C holds.
_LONGEST_POLL_SECONDS = 3600.0


class ClientGone(Exception):
    """The client hung up, in order or not."""


class TimedOut(ClientGone):
    """The client took too long to send a request, or to read the answer."""


class Stopping(Exception):
    """The simulator is being stopped."""


class StopSignal:
    """Wakes every wait of every connection at once, by a descriptor that becomes readable for good."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._sent = threading.Event()

    @property
    def sent(self) -> bool:
        """Whether it has been sent."""
        return self._sent.is_set()

    def fileno(self) -> int:
        """Return the descriptor to poll for reading."""
        return self._reader.fileno()

    def send(self) -> None:
        """End all waits, now and from now on."""
        self._sent.set()
        self._writer.send(b"!")

    def wait(self, seconds: float) -> None:
        """Wait `seconds`, or until it is sent."""
        self._sent.wait(seconds)

    def close(self) -> None:
        """Give the descriptors back, once nobody waits any more (or in a forked child)."""
        self._writer.close()
        self._reader.close()


class Connection:
    """A client's connection. Its methods raise `ClientGone` or `Stopping` where they say nothing else.

    `waiting_since` is since when it has waited for a request or the rest of one, by `time.monotonic()`; `None` while
    it serves one.

    :param idle_seconds: seconds that it waits for a request, for all of it, or for the client to read on
    """

    def __init__(self, sock: socket.socket, stop: StopSignal, idle_seconds: float) -> None:
        self._sock = sock
        self._stop = stop
        self._idle_seconds = idle_seconds
        self._nothing_unread = False
        self.waiting_since: float | None = None
        self._inbox = bytearray()
        self._poll = select.poll()
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(self._stop.fileno(), select.POLLIN)
        self._poll.register(self._sock, select.POLLIN)

    # Reading

    def request_arrives(self) -> bool:
        """Wait until bytes of a request are here, read or unread; return `False` if the client is done."""
        self.waiting_since = time.monotonic()
        if self._inbox:
            return True
        try:
            self._wait(select.POLLIN, self._deadline())
            arrives = self._unread_bytes() > 0
        except (ClientGone, OSError):
            arrives = False
        self._nothing_unread = not arrives
        return arrives

    def peek_head(self) -> bytes | None:
        """Return the next request's head, waiting until it is whole, and leave every byte of it unread.

        `None` if it can't be had so: part of it is read already, it is too long, or the client ends before.
        """
        if self._inbox:
            return None
        seen, deadline = 0, self._deadline()
        try:
            while True:
                data = self._sock.recv(MOST_HEAD_BYTES, socket.MSG_PEEK)
                head, end, _ = data.partition(b"\r\n\r\n")
                if end:
                    return head
                if len(data) >= MOST_HEAD_BYTES or len(data) <= seen:
                    return None  # too long, or woken by the client's end
                seen = len(data)
                # Unread bytes are ready for good; what to wait for is one more than these.
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)
                self._wait(select.POLLIN, deadline)
        except (ClientGone, OSError):
            return None
        finally:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def request_is_whole(self) -> None:
        """Wait for no more of this request."""
        self.waiting_since = None

    def _unread_bytes(self) -> int:
        """Return how many bytes have arrived and are unread, without touching them."""
        answer = fcntl.ioctl(self._sock, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("i", answer)[0])

    def read_head(self) -> bytes:
        """Return a request's head, without the empty line that ends it.

        :raises BadRequest: if it is too long, or takes too long to come
        """
        searched, deadline = 0, self._deadline()
        while (end := self._inbox.find(b"\r\n\r\n", searched)) < 0:
            if len(self._inbox) > MOST_HEAD_BYTES:
                raise BadRequest(431, "the head is too long")
            searched = max(0, len(self._inbox) - 3)
            try:
                self._receive(deadline)
            except TimedOut:
                raise BadRequest(408, "the request did not come to an end") from None
        head = bytes(self._inbox[:end])
        del self._inbox[: end + 4]
        return head

    def read_body(self, length: int) -> bytes:
        """Return the next bytes.

        :param length: how many bytes
        """
        deadline = self._deadline()
        while len(self._inbox) < length:
            self._receive(deadline)
        body = bytes(self._inbox[:length])
        del self._inbox[:length]
        return body

    def _receive(self, deadline: float) -> None:
        # Asked first, since a client that sends byte by byte may never let it wait.
        if time.perf_counter() >= deadline:
            raise TimedOut
        try:
            data = self._sock.recv(64 * 1024)
        except BlockingIOError:
            self._wait(select.POLLIN, deadline)
            return
        except OSError as error:
            raise ClientGone from error
        if not data:
            raise ClientGone
        self._inbox += data

    # Writing

    def write(self, data: bytes) -> None:
        """Write all of it."""
        self.write_and(data, lambda last_piece: last_piece())

    def write_and(self, data: bytes, around_piece: Callable[[Callable[[], bool]], bool]) -> None:
        """Write all of it, each try made inside `around_piece`, which learns whether it was the last one."""
        rest = memoryview(data)

        def piece() -> bool:
            nonlocal rest
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                return False
            except OSError as error:
                raise ClientGone from error
            return not rest

        while not around_piece(piece):
            self._wait(select.POLLOUT, self._deadline())

    def write_at_once(self, data: bytes) -> None:
        """Write what goes out without waiting, and end our side."""
        with contextlib.suppress(OSError):
            self._sock.send(data)
        self.send_fin()

    # Waiting

    def still_open(self) -> bool:
        """Return whether the client has neither reset nor ended its side; safe from any thread."""
        number = self._sock.fileno()
        if number < 0:
            return False
        look = select.poll()
        look.register(number, _HANG_UP or select.POLLIN)
        events = dict(look.poll(0)).get(number, 0)
        if events & _ENDED:
            return False
        return not (events & select.POLLIN and self._unread_bytes() == 0)

    def pause(self, seconds: float) -> None:
        """Wait `seconds`, unless the client hangs up or the simulator stops before."""
        self._wait(_HANG_UP, time.perf_counter() + seconds)

    def pause_until(self, moment: float) -> None:
        """Wait until a moment; ends early like `pause`.

        :param moment: the moment in seconds of `time.perf_counter()`
        """
        self._wait(_HANG_UP, moment)

    def _deadline(self) -> float:
        return time.perf_counter() + self._idle_seconds

    def _wait(self, events: int, until: float) -> None:
        """Wait for events of the client's socket, or until a moment: then with reading or writing it is `TimedOut`."""
        watched = events or _HANG_UP
        self._poll.modify(self._sock, watched)
        while True:
            left = until - time.perf_counter()
            if left <= 0:
                if self._stop.sent:
                    raise Stopping
                if events & (select.POLLIN | select.POLLOUT):
                    raise TimedOut
                return
            if left < _POLL_TICK and not events:
                # poll() counts whole milliseconds and would come late; a hang-up this short is seen after.
                self._stop.wait(left)
                continue
            found = dict(self._poll.poll(max(1, int(min(left, _LONGEST_POLL_SECONDS) * 1000))))
            if self._stop.fileno() in found:
                raise Stopping
            seen = found.get(self._sock.fileno(), 0)
            if seen & events & (select.POLLIN | select.POLLOUT):
                return
            if seen & _ENDED:
                raise ClientGone

    # Ending

    def reset(self) -> bool:
        """End the connection with a RST, which tells the client that something broke; return `True`."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self._sock.close()
        return True

    def send_fin(self) -> bool:
        """End our side in order, so that the client reads the end of the stream; return `True`."""
        with contextlib.suppress(OSError):  # it may have ended already
            self._sock.shutdown(socket.SHUT_WR)
        return True

    def close(self) -> None:
        """Close for good, after a FIN.

        Whatever the client is still sending is read for a second at most: closing over unread bytes would
        turn the FIN into a RST.
        """
        if self._sock.fileno() < 0:
            return  # it was reset
        self.send_fin()
        if self._nothing_unread:
            self._sock.close()
            return
        moment = time.perf_counter() + _ORDERLY_CLOSE_SECONDS
        try:
            while time.perf_counter() < moment:
                self._wait(select.POLLIN, moment)
                if not self._sock.recv(64 * 1024):
                    break
        except (BlockingIOError, ClientGone, Stopping, OSError):
            pass
        self._sock.close()

    def stop_reading(self) -> None:
        """Let it end as if its client had ended it; safe from any thread.

        As with any server, a request that is sent at this very instant may stay without an answer.
        """
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def abandon(self) -> None:
        """Close the descriptor alone: for a forked child, whose copy must not keep the connection alive."""
        self._sock.close()
