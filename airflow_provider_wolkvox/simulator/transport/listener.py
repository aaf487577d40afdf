"""Listening sockets, on ports that no other process is given while this one lives.

A port that is closed is free for everyone, and the next simulator of another process may listen on it while a late
request to the old one is still on its way: it would count a request that was meant for another. So this process keeps
the ports that the system chose for it, each bound by a socket that does not listen, and listens on them in turn. What
is sent to one that nobody listens on is refused.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections import deque

_BACKLOG = 512
_MOST_RESERVED = 64

# Elsewhere a second socket is not bound to a port by SO_REUSEADDR alone.
_CAN_RESERVE = sys.platform == "linux"


class ReservedPorts:
    """The ports of this process that nobody listens on now, by address: the one unused for longest comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[str, deque[socket.socket]] = {}
        self._number = 0
        self._inherited: list[socket.socket] = []

    def take(self, family: int, host: str) -> socket.socket | None:
        """Return a socket bound to a port of `host`, or `None` where ports cannot be reserved.

        Until as many ports are reserved as are kept at most, each is a new one.

        :raises OSError: if there is no such address
        """
        if not _CAN_RESERVE:
            return None
        with self._lock:
            free = self._free.setdefault(host, deque())
            if self._number >= _MOST_RESERVED and free:
                return free.popleft()
            self._number += 1
        try:
            return _bound(family, host, 0)
        except OSError:
            self._forget_one()
            raise

    def take_again(self, host: str, port: int) -> socket.socket | None:
        """Return the socket that reserves this very port, or `None` if this process has not reserved it."""
        with self._lock:
            for kept in self._free.get(host, ()):
                if kept.getsockname()[1] == port:
                    self._free[host].remove(kept)
                    return kept
        return None

    def give_back(self, host: str, kept: socket.socket) -> None:
        """Keep a port for the next simulator of this process; beyond the most that are kept, close it."""
        with self._lock:
            if self._number <= _MOST_RESERVED:
                self._free.setdefault(host, deque()).append(kept)
                return
            self._number -= 1
        kept.close()

    def after_fork(self) -> None:
        """Let a forked child choose ports of its own, while its copies keep those of its parent reserved."""
        self._lock = threading.Lock()
        self._inherited += [kept for free in self._free.values() for kept in free]
        self._free.clear()
        self._number = 0

    def _forget_one(self) -> None:
        with self._lock:
            self._number -= 1


def _bound(family: int, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # With it, a second socket of ours may listen on the same port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


_RESERVED = ReservedPorts()
os.register_at_fork(after_in_child=_RESERVED.after_fork)


class Listener:
    """A non-blocking socket that listens on an address until it is closed.

    :raises OSError: if the address can't be had
    """

    def __init__(self, host: str, port: int) -> None:
        # Numeric addresses and names alike; the first that the name means.
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._host = str(address[0])
        self._kept = _RESERVED.take_again(self._host, port) if port else _RESERVED.take(family, self._host)
        wanted = self._kept.getsockname()[1] if self._kept is not None else port
        try:
            self._sock = socket.create_server((self._host, wanted), family=family, backlog=_BACKLOG)
        except OSError:
            self._give_back()
            raise
        self._sock.setblocking(False)
        self.port: int = self._sock.getsockname()[1]

    def fileno(self) -> int:
        """Return the descriptor to poll for reading."""
        return self._sock.fileno()

    def accept(self) -> socket.socket:
        """Return the next connection.

        :raises OSError: if there is none, or descriptors have run out
        """
        return self._sock.accept()[0]

    def close(self) -> None:
        """Listen no more, and keep the port for this process if the system chose it."""
        self._sock.close()
        self._give_back()

    def abandon(self) -> None:
        """Close the descriptor alone: for a forked child, whose copy must not listen."""
        self._sock.close()

    def _give_back(self) -> None:
        if self._kept is not None:
            _RESERVED.give_back(self._host, self._kept)
            self._kept = None
