"""Servers that do on the wire exactly what a test says, for what no well-behaved server does.

A test gives a function that talks to one client (a `Peer`); the server runs it in a thread of its own
for every connection, keeps what arrived, and ends every wait when it is stopped.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

CONN_ID = "10001.4567.1782402643.44005"


def envelope(code: Any = "200", error: Any = None, msg: Any = "Type has been successful", **more: Any) -> bytes:
    """Return a body as wolkvox writes it."""
    return json.dumps({"code": code, "error": error, "msg": msg, **more}, indent=4).encode()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def rows(*found: object, **more: Any) -> bytes:
    """Return the answer of a report that holds rows."""
    return answer(envelope(msg="", data=list(found), **more))


def refused(code: str, error: str, msg: str, **more: Any) -> bytes:
    """Return the answer to what wolkvox does not do."""
    return answer(envelope(code, error, msg, **more), f"{code} {error}")


NO_ROWS = refused("404", "Not Found", "Validate dates entered")
BUSY = refused("403", "FORBIDDEN", "EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)")


def accepted(conn_id: str = CONN_ID) -> bytes:
    """Return the answer to a call that was accepted."""
    return answer(envelope(data={"conn_id": conn_id}))


class Peer:
    """The server's side of one connection."""

    def __init__(self, server: RawServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number

    def request(self) -> bytes:
        """Read one request, its body too, and return its head; empty if the client hung up instead."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._piece()
            if not piece:
                return b""
            data += piece
        end = data.index(b"\r\n\r\n") + 4
        head, body = data[:end], data[end:]
        length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
        while length and len(body) < int(length[1]):
            piece = self._piece()
            if not piece:
                return b""
            body += piece
        self.server.bodies.append(body)
        self.server.saw(head)
        return head

    def _piece(self) -> bytes:
        piece = self.sock.recv(65536)
        self.server.received += piece
        return piece

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, interval: float = 0.02) -> None:
        """Send a byte at a time until the client has had enough."""
        for place in range(len(data)):
            self.sock.sendall(data[place : place + 1])
            if self.server.stopping.wait(interval):
                return

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self) -> None:
        """Say nothing more until the client hangs up or the server is stopped."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass


Serve = Callable[[Peer], None]


@dataclass(frozen=True)
class Question:
    """What a request asked for, decoded."""

    method: str
    file: str
    api: str
    parameters: dict[str, str]

    @classmethod
    def of(cls, head: bytes) -> Question:
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        parts = urlsplit(target)
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        return cls(method, parts.path.removeprefix("/api/v2/"), parameters.pop("api"), parameters)


def always(reply: bytes) -> Serve:
    """Answer every request of a connection with the same bytes."""

    def serve(peer: Peer) -> None:
        while peer.request():
            peer.send(reply)

    return serve


def replying(reply: Callable[[Question], bytes]) -> Serve:
    """Answer each request with what a function makes of its question."""

    def serve(peer: Peer) -> None:
        while head := peer.request():
            peer.send(reply(Question.of(head)))

    return serve


def once(reply: bytes) -> Serve:
    """Answer one request, then close in order."""

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(reply)

    return serve


class RawServer:
    """Listens on the loopback and lets `serve` talk to each client.

    :param serve: runs in a thread of its own for each connection, which is closed when it returns
    :param tls: wraps each connection first, where given
    :ivar connections: how many connections were accepted
    :ivar requests: the heads of the requests that arrived whole, in order
    :ivar bodies: their bodies
    :ivar received: every byte that was read of requests, half ones too
    """

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self._serve = serve
        self._tls = tls
        self.host = host
        self.connections = 0
        self.requests: list[bytes] = []
        self.bodies: list[bytes] = []
        self.received = b""
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self.port = self._listener.getsockname()[1]

    @property
    def asked(self) -> list[Question]:
        """What the requests asked for, in order."""
        return [Question.of(head) for head in self.requests]

    @property
    def base_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def saw(self, head: bytes) -> None:
        with self._changed:
            self.requests.append(head)
            self._changed.notify_all()

    def wait_for_requests(self, number: int, timeout: float = 60.0) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= number, timeout)

    def wait_for_connections(self, number: int, timeout: float = 60.0) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.connections >= number, timeout)

    def __enter__(self) -> RawServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        # Closing alone does not wake a thread that waits in accept or recv; shutting down does.
        for sock in [self._listener, *self._socks]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        self._listener.close()
        for sock in self._socks:
            sock.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._socks.append(sock)
            with self._changed:
                self.connections += 1
                self._changed.notify_all()
            self._start(self._converse, sock, self.connections)

    def _converse(self, sock: socket.socket, number: int) -> None:
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._socks.append(sock)
            self._serve(Peer(self, sock, number))
        except (OSError, ValueError):
            pass  # the client has gone, or the server is being stopped
        finally:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def tunnel(peer: Peer) -> None:
    """Be an HTTP proxy that opens what CONNECT asks for."""
    host, port = peer.request().split()[1].decode().rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=60) as target:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ends = {end.fileno(): end for end in (peer.sock, target)}
        readable = select.poll()
        for number in ends:
            readable.register(number, select.POLLIN)
        while not peer.server.stopping.is_set():
            for number, _ in readable.poll(5000):
                source = ends[number]
                data = source.recv(65536)
                if not data:
                    return
                (target if source is peer.sock else peer.sock).sendall(data)


@contextlib.contextmanager
def unanswering_address():
    """Yield the address of a listener whose queue is full, so that connecting to it never ends."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(16):
            filler = open_sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
            # Not `select.select`, which takes no descriptor beyond the thousandth.
            writable = select.poll()
            writable.register(filler, select.POLLOUT)
            if not writable.poll(200):
                break
        else:
            raise RuntimeError("the listener's queue never filled up")
        yield address


@contextlib.contextmanager
def refusing_address():
    """Yield an address that nobody listens on, kept so by holding it bound."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()
