"""One request -> one reply, or a failure that says what left this machine.

An exception's class proves nothing here: a stalled TLS handshake (nothing sent) and a lost answer
(sent) both raise `ReadTimeout`, and a connection reset before or after the server read the request
raises the very same error [measured with requests 2.34, urllib3 2.8]. So the connection itself
keeps a mark: it connects (name, TCP, TLS), then notes "sending", then hands over the first byte.

Two more things hang on that connection class:

- The deadline. `timeout=` bounds one wait for bytes, not the exchange, so an answer that drips a
  byte at a time would never end. Every read here gets only what is left of the exchange's time.
- Secrecy. The token, the phone number and every other parameter are added while the request is
  written to the wire. `requests` and `urllib3` only ever see the address, the API's name and a body
  of a write, which they neither log nor put into a message, so none of their exceptions and log
  lines, at any level, can repeat the rest.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import io
import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode

import requests
import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager
from urllib3.util.connection import create_connection

from airflow_provider_wolkvox import __version__
from airflow_provider_wolkvox.api import arguments
from airflow_provider_wolkvox.api.envelope import USUAL, Envelope, Reading, read_envelope, text_of
from airflow_provider_wolkvox.api.errors import NotSent, OutcomeUnknown, WolkvoxError

USER_AGENT = f"airflow-provider-wolkvox/{__version__}"

# A server that is just closing an idle connection looks like a call that was lost: the request
# goes out, a reset comes back. Under a second of idleness that does not happen in practice.
GREATEST_IDLE = 1.0

STOPPED = "it was told to stop"


@dataclass
class _Exchange:
    """One request on its way: its deadline, what only the wire may see, and how far it came."""

    query: str = field(repr=False)
    token: str = field(repr=False)
    connect_by: float
    deadline: float
    before_sending: Callable[[], None]
    connected: bool = False
    vetoed_by: BaseException | None = None
    sending: bool = False

    def left(self) -> float:
        """Return the seconds left of the present stage: connecting has less than the whole."""
        until = self.deadline if self.connected else min(self.connect_by, self.deadline)
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        return left


class _Stopped(Exception):
    """`Transport.stop` came before the first byte."""


class _TooLong(Exception):
    """The reply is longer than the API's limit."""

    def __init__(self, longest: int) -> None:
        super().__init__(longest)
        self.longest = longest


class _MarkingConnection(HTTPConnection):
    """Connects first, then notes "sending", then hands over the first byte."""

    # A program that switches http.client's debug output on would print the request with the token.
    debuglevel = 0

    wire: Transport

    def _new_conn(self) -> socket.socket:
        exchange = self.wire.exchange
        self._bound_reading()
        failure: OSError = OSError(errno.EHOSTUNREACH, "no address")
        addresses = _addresses(self._dns_host, self.port or self.default_port, exchange)
        for behind, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                sock = create_connection(
                    address,
                    # A share each, so that one address that hangs leaves time for the next.
                    timeout=exchange.left() / behind,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
                # What remains bounds the TLS handshake.
                sock.settimeout(exchange.left())
            except OSError as error:
                failure = error
            else:
                return sock
        raise failure

    @property
    def is_connected(self) -> bool:
        # The pool asks before it reuses a connection, and connects anew on False.
        return super().is_connected and time.monotonic() - self.wire.idle_since < GREATEST_IDLE

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._bound_reading()
        if self.sock is None:
            self.connect()
        super().request(*args, **kwargs)

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, url + self.wire.exchange.query, *args, **kwargs)

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        exchange = self.wire.exchange
        self.putheader("wolkvox-token", exchange.token)
        exchange.connected = True
        try:
            exchange.before_sending()
        except BaseException as veto:
            # Kept, since the libraries above would wrap some classes into their own.
            exchange.vetoed_by = veto
            raise
        if self.wire.stopped:
            raise _Stopped
        _require_open(self.sock)
        self.sock.settimeout(exchange.left())
        exchange.sending = True
        super().endheaders(*args, **kwargs)

    def send(self, data: Any) -> None:
        # A body is a second write after the head; it has what the head left of the time.
        if self.sock is not None:
            self.sock.settimeout(self.wire.exchange.left())
        super().send(data)

    def _bound_reading(self) -> None:
        # A proxy's answer to CONNECT is read through this as well.
        self.response_class = functools.partial(_BoundedResponse, self.wire.exchange)  # type: ignore[assignment]


class _MarkingTLSConnection(_MarkingConnection, HTTPSConnection):
    """The same over TLS."""


class _BoundedResponse(http.client.HTTPResponse):
    """Reads status line, headers and body within what is left of the exchange's time."""

    def __init__(self, exchange: _Exchange, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, exchange))

    def _read_status(self) -> tuple[str, int, str]:
        # An interim answer announces the final one (RFC 9110, 15.2); http.client passes over 100 only.
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 102 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _BoundedReader(io.RawIOBase):
    """A socket's raw stream whose every read waits only as long as the exchange still may."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: _Exchange) -> None:
        self._raw = raw
        self._sock = sock
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes every pool, a proxy's too, hand out marking connections of one transport."""

    def __init__(self, transport: Transport) -> None:
        # Weakly, here and in the connections' classes: a circle would keep the sockets of a client that nobody closed.
        self._transport = weakref.proxy(transport)
        # No retry of the library's own: it would send a POST again after any fault.
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._mark(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if proxy.lower().startswith("socks"):
            # Its connections are of another class, without the mark.
            raise requests.exceptions.InvalidProxyURL("SOCKS proxies are not supported")
        manager = super().proxy_manager_for(proxy, **kwargs)
        self._mark(manager)
        return manager

    def _mark(self, manager: PoolManager) -> None:
        wire = {"wire": self._transport}
        http_connection = type("_Connection", (_MarkingConnection,), wire)
        tls_connection = type("_TLSConnection", (_MarkingTLSConnection,), wire)
        manager.pool_classes_by_scheme = {
            "http": type("_Pool", (HTTPConnectionPool,), {"ConnectionCls": http_connection}),
            "https": type("_TLSPool", (HTTPSConnectionPool,), {"ConnectionCls": tls_connection}),
        }


class Transport:
    """Carries requests for one token to one address, one at a time.

    :param address: `https://wv0042.wolkvox.com`, or a simulator's or gateway's address
    :param token: sent as the header `wolkvox-token`
    :param connect_timeout: seconds for name resolution, TCP and TLS together
    :param total_timeout: seconds for the whole exchange, from the name's resolution to the last byte

    TLS is always verified. Proxies and a CA bundle from the environment are honoured, as a company's
    network may need them; `.netrc`, cookies and redirects are not.
    """

    exchange: _Exchange
    idle_since: float = 0.0

    def __init__(self, address: str, token: str, *, connect_timeout: float, total_timeout: float) -> None:
        self._address = address
        self._token = token
        self._connect_timeout = connect_timeout
        self._total_timeout = total_timeout
        self.stopped = False
        self._wake = queue.SimpleQueue[None]()
        # wolkvox: "one token must not be consumed simultaneously" [doc].
        self._one_at_a_time = threading.Lock()
        self._session = requests.Session()
        # A truthy `auth` keeps requests from looking into .netrc; there is nothing to add here.
        self._session.auth = _without_auth
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"})
        adapter = _Adapter(self)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        weakref.finalize(self, self._session.close)

    def send(
        self,
        method: str,
        file: str,
        api: str,
        parameters: Mapping[str, str],
        before_sending: Callable[[], None] = lambda: None,
        secrets: Sequence[str] = (),
        *,
        body: bytes | None = None,
        reading: Reading = USUAL,
    ) -> Envelope:
        """Send one request, once, and return the envelope of its success.

        :param method: `GET`, `POST`, `PUT` or `DELETE`
        :param file: the PHP file, such as `agentbox.php`
        :param api: the API's name, such as `aux_call`
        :param parameters: the other parameters; URL-encoded here, kept out of every message
        :param before_sending: called once the connection stands, right before the first byte; what it
            raises comes out of here unchanged, with nothing sent; default nothing
        :param secrets: texts that no message may repeat, besides the token; default none
        :param body: JSON to send along; default None, an empty body; kept out of every message
        :param reading: what else than a success is an answer of this API; default nothing
        :raises NotSent: nothing was handed to a connection
        :raises Refused: the API said no
        :raises OutcomeUnknown: the request was handed over and no readable answer came
        """
        with self._alone(api):
            status, answer = self._round_trip(
                method,
                f"{self._address}/api/v2/{file}?api={api}",
                api,
                parameters,
                before_sending,
                body,
                reading.longest,
            )
            try:
                return read_envelope(api, status, answer, lambda text: self.presentable(text, *secrets), reading)
            except OutcomeUnknown:
                # What answered may answer once more, late; the next call must not take that for its own.
                self.close()
                raise

    def presentable(self, text: str, *secrets: str) -> str:
        """Return a server's `text` without the token, `secrets` or whole numbers, fit for a log."""
        return arguments.presentable(text, self._token, *secrets)

    @contextlib.contextmanager
    def _alone(self, api: str) -> Iterator[None]:
        # In short waits, so that a stopped thread does not sit out another one's request.
        while not self._one_at_a_time.acquire(timeout=0.2):
            if self.stopped:
                raise NotSent(api, STOPPED)
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def stop(self) -> None:
        """Let no further request be handed over; one that is on its way is not called back.

        Safe to call from a signal handler or another thread: nothing here takes a lock that the
        interrupted code may hold, as an `Event` would.
        """
        self.stopped = True
        self._wake.put(None)

    def wait(self, seconds: float) -> None:
        """Wait, but not once `stop` was called.

        :param seconds: how long at most
        """
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=seconds)
            # For whoever else waits.
            self._wake.put(None)

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def _round_trip(
        self,
        method: str,
        url: str,
        api: str,
        parameters: Mapping[str, str],
        before_sending: Callable[[], None],
        body: bytes | None,
        longest: int,
    ) -> tuple[int, str]:
        if self.stopped:
            raise NotSent(api, STOPPED)
        now = time.monotonic()
        self.exchange = exchange = _Exchange(
            query=f"&{urlencode(parameters)}" if parameters else "",
            token=self._token,
            connect_by=now + self._connect_timeout,
            deadline=now + self._total_timeout,
            before_sending=before_sending,
        )
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            request = self._session.prepare_request(requests.Request(method, url, headers, data=body))
            settings: dict[str, Any] = dict(self._session.merge_environment_settings(request.url, {}, True, None, None))
            # Past the session's own `send`, which knows redirects, straight to the adapter, which does not.
            # The connection bounds every wait by itself; `timeout` only replaces "for ever".
            adapter = self._session.get_adapter(url)
            with adapter.send(request, timeout=self._total_timeout, **settings) as response:
                answer = text_of(_pieces(response, longest))
            self.idle_since = time.monotonic()
        except Exception as error:
            veto, exchange.vetoed_by = exchange.vetoed_by, None
            if veto is not None:
                if isinstance(veto, WolkvoxError):
                    veto.is_veto = True
                try:
                    raise veto from None
                finally:
                    # Its traceback knows this frame, so that in it they would keep each other and the transport.
                    del veto
            why = self._reason(error)
        else:
            return response.status_code, answer
        # Raised out here, so that no chained exception travels along with it.
        if not exchange.sending:
            raise NotSent(api, why)
        unknown = OutcomeUnknown(api, why)
        unknown.ran_out_of_time = time.monotonic() >= exchange.deadline
        raise unknown

    def _reason(self, error: BaseException) -> str:
        """Say in a few words what went wrong. This is for people: nothing is decided by it."""
        chain = list(_chain(error))
        for link in chain:
            match link:
                case _Stopped():
                    return STOPPED
                case _TooLong():
                    return f"the answer is longer than {link.longest >> 10:,} KB"
                case ssl.SSLCertVerificationError():
                    return f"the server's certificate was refused ({link.verify_message})"
                case ssl.SSLError() if not isinstance(link, ssl.SSLEOFError):
                    # Its number is OpenSSL's, which the system's list of errors has other words for.
                    return f"no TLS connection came about ({str(link.reason or 'unknown').lower().replace('_', ' ')})"
                case socket.gaierror():
                    return "the server's name could not be resolved"
                case TimeoutError() if self.exchange.connected:
                    return f"no whole answer within {self._total_timeout:g} s"
                case TimeoutError():
                    return f"no connection within {min(self._connect_timeout, self._total_timeout):g} s"
                case http.client.RemoteDisconnected():
                    return "the connection was closed without an answer"
                case http.client.IncompleteRead():
                    return "the answer broke off"
                case http.client.HTTPException():
                    return "the answer was not HTTP"
                case zlib.error():
                    return "the answer could not be decompressed"
                case requests.exceptions.InvalidProxyURL():
                    return "the proxy from the environment cannot be used (SOCKS is not supported)"
        for link in reversed(chain):
            if isinstance(link, OSError) and link.errno:
                return os.strerror(link.errno).lower()
        if not self.exchange.connected and "certificate bundle" in str(error):
            return "the CA bundle that the environment names does not exist"
        if any(isinstance(link, requests.exceptions.ProxyError) for link in chain):
            return "the proxy did not open a connection"
        return f"{type(chain[-1]).__name__} in the connection"


def _addresses(host: str, port: int, exchange: _Exchange) -> list[tuple[str, int]]:
    """Resolve a name within the exchange's time; `getaddrinfo` itself knows no time limit."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    else:
        return [(host, port)]
    answer: list[list[tuple[str, int]] | OSError] = []

    def resolve() -> None:
        try:
            answer.append([(str(info[4][0]), port) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            # A label that is empty or too long for a name is a UnicodeError.
            answer.append(error if isinstance(error, OSError) else socket.gaierror("not a name"))

    # A daemon: a resolver that hangs must not keep the task's process from ending.
    thread = threading.Thread(target=resolve, name="wolkvox-name-resolution", daemon=True)
    thread.start()
    thread.join(exchange.left())
    if not answer:
        raise TimeoutError(errno.ETIMEDOUT, "name resolution timed out")
    if isinstance(answer[0], OSError):
        raise answer[0]
    return answer[0]


def _require_open(sock: Any) -> None:
    """Refuse a connection that the server closed meanwhile: what is written to it would be lost, or seem so."""
    if isinstance(sock, socket.socket):
        sock.settimeout(0)
        # Peeks below TLS: there an open connection may have bytes waiting, such as session tickets.
        with contextlib.suppress(BlockingIOError):
            if not socket.socket.recv(sock, 1, socket.MSG_PEEK):
                raise ConnectionResetError(errno.ECONNRESET, "closed by the server")


def _pieces(response: requests.Response, longest: int) -> Iterator[bytes]:
    """Yield an answer's body, decompressed, and no more of it than an answer may have.

    Not by the libraries, which inflate whatever is there, several times over if the answer says so [urllib3 2.5].
    """
    pieces = response.raw.stream(64 * 1024, decode_content=False)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        if encoding not in _WINDOWS:
            raise zlib.error("an encoding that was not asked for")
        pieces = _inflated(pieces, _WINDOWS[encoding])
    left = longest
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise _TooLong(longest)
        yield piece


# What `zlib` takes for a gzip or zlib header.
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def _inflated(pieces: Iterable[bytes], window: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(window)
    for piece in pieces:
        while piece:
            yield inflater.decompress(piece, 64 * 1024)
            piece = inflater.unconsumed_tail
    yield inflater.flush()
    if not inflater.eof:
        raise zlib.error("broken off")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and, outermost first, what caused it; the libraries hide causes in three places."""
    seen: set[int] = set()
    todo: list[Any] = [error]
    while todo:
        link = todo.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        todo += [getattr(link, "reason", None), *link.args, link.__cause__, link.__context__]


def _without_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
