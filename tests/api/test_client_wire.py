"""The mark on the wire: what left this machine decides between not sent and unknown, over real sockets."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import threading
import tracemalloc
import warnings

import pytest
from client_testing import AGENT, ONCE, PHONE, QUICK, TOKEN, failure_of, lost_after_sending
from raw_server import (
    CONN_ID,
    Peer,
    RawServer,
    accepted,
    always,
    answer,
    envelope,
    once,
    refusing_address,
    tunnel,
    unanswering_address,
)

import airflow_provider_wolkvox
from airflow_provider_wolkvox.api import NotSent, OutcomeUnknown, Refused, WolkvoxClient, WolkvoxError, transport


def is_not_sent(client) -> NotSent:
    failure = failure_of(lambda: client.aux_call(AGENT, PHONE))
    assert type(failure) is NotSent, str(failure)
    return failure


# Nothing was sent


def test_a_name_that_does_not_resolve_is_not_sent(connect):
    with pytest.raises(NotSent, match="name"):
        connect("https://no-such-server.invalid", resend=ONCE).aux_call(AGENT, PHONE)


@pytest.mark.usefixtures("trusted")
def test_a_server_that_knows_only_an_old_tls_is_told_by_that(connect, tls):
    context = tls("127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with RawServer(always(accepted()), tls=context) as server:
        failure = is_not_sent(connect(server, resend=ONCE))
    assert "no TLS connection came about (" in str(failure)
    assert "operation not permitted" not in str(failure)


def test_a_refused_connection_is_not_sent(connect):
    with refusing_address() as (host, port), pytest.raises(NotSent, match="refused"):
        connect(f"http://{host}:{port}").aux_call(AGENT, PHONE)


def test_a_connection_that_never_comes_about_is_not_sent(connect):
    with unanswering_address() as (host, port):
        client = connect(f"http://{host}:{port}", connect_timeout=0.3, resend=ONCE)
        assert "0.3 s" in str(is_not_sent(client))


def test_a_server_that_accepts_but_never_shakes_hands_over_tls_gets_no_request(connect):
    with RawServer(Peer.hang) as server:
        client = connect(f"https://127.0.0.1:{server.port}", connect_timeout=0.3, resend=ONCE)
        is_not_sent(client)
        assert server.connections <= 1


def test_a_handshake_that_drips_ends_with_the_time_to_connect(connect):
    # A record header that promises 16 kB, then a byte at a time: each wait alone is short enough, all take 5 minutes.
    with RawServer(lambda peer: peer.drip(b"\x16\x03\x03\x40\x00" + b"\0" * 16384)) as server:
        client = connect(f"https://127.0.0.1:{server.port}", connect_timeout=0.3, resend=ONCE)
        assert "no connection within 0.3 s" in str(is_not_sent(client))


@pytest.mark.parametrize("end", [Peer.reset, lambda peer: None], ids=["reset", "closed"])
def test_a_connection_lost_before_the_handshake_is_not_sent_and_tried_again(end, connect):
    with RawServer(end) as server:
        with pytest.raises(NotSent):
            connect(f"https://127.0.0.1:{server.port}").aux_call(AGENT, PHONE)
        assert server.connections == QUICK.tries


def test_a_certificate_of_an_unknown_authority_gets_no_request(connect, tls):
    with RawServer(always(accepted()), tls("127.0.0.1")) as server:
        with pytest.raises(NotSent, match="certificate"):
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        assert server.received == b""


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_gets_no_request(connect, tls):
    with RawServer(always(accepted()), tls("wv0042.wolkvox.com")) as server:
        with pytest.raises(NotSent, match="certificate"):
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        assert server.received == b""


def test_a_plain_server_that_is_spoken_to_with_tls_gets_no_request(connect):
    def refuse_what_is_no_http(peer: Peer) -> None:
        peer.server.received += peer.sock.recv(65536)
        peer.send(answer(b"<html>", "400 Bad Request"))

    with RawServer(refuse_what_is_no_http) as server:
        with pytest.raises(NotSent):
            connect(f"https://127.0.0.1:{server.port}").aux_call(AGENT, PHONE)
        assert server.connections == QUICK.tries
        assert b"wolkvox" not in server.received


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_an_authority_from_the_environment_is_trusted(connect, clock, tls):
    with RawServer(always(accepted()), tls("localhost")) as server:
        client = connect(f"https://localhost:{server.port}")
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID
        assert (server.connections, len(server.requests)) == (1, 2)


def test_a_bundle_that_is_not_there_is_not_sent(connect, tls, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    with RawServer(always(accepted()), tls("127.0.0.1")) as server:
        with pytest.raises(NotSent):
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        assert server.connections == 0


def test_a_bundle_that_is_not_there_is_named_as_the_reason(connect, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(NotSent, match=r"[Bb]undle"):
        connect("https://127.0.0.1:9", resend=ONCE).aux_call(AGENT, PHONE)


def test_a_name_that_no_resolver_takes_is_not_sent_and_kills_no_thread(monkeypatch):
    died = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    with pytest.raises(NotSent, match="resolved"):
        # Too long for a part of a name, so that nobody outside is asked for it.
        WolkvoxClient("0" * 70, TOKEN, resend=ONCE).aux_call(AGENT, PHONE)
    assert not died


@pytest.fixture
def resolver(monkeypatch):
    """Put `answers[name]`, a list of addresses or a function that returns one, in the resolver's place.

    Nothing real can be had here: a resolver belongs to the whole machine.
    """
    answers = {}
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **more):
        if host not in answers:
            return real(host, port, *args, **more)
        found = answers[host]
        found = found() if callable(found) else found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


@pytest.fixture
def never():
    """An event to hang on, set at the end so that no thread outlives the test."""
    event = threading.Event()
    yield event
    event.set()


def test_a_resolver_that_hangs_is_not_sent_within_the_time_to_connect(resolver, never, connect):
    resolver["hangs.example"] = lambda: never.wait() and []
    is_not_sent(connect("https://hangs.example", connect_timeout=0.3, resend=ONCE))


def test_a_name_without_an_address_is_not_sent(resolver, connect):
    resolver["empty.example"] = []
    with pytest.raises(NotSent):
        connect("https://empty.example", resend=ONCE).aux_call(AGENT, PHONE)


def test_the_second_address_of_a_name_is_tried_if_the_first_refuses(resolver, connect):
    with RawServer(always(accepted())) as server:
        resolver["two.example"] = ["127.0.0.2", "127.0.0.1"]
        assert connect(f"http://two.example:{server.port}", resend=ONCE).aux_call(AGENT, PHONE).conn_id == CONN_ID


def test_two_addresses_that_hang_do_not_double_the_time_to_connect(resolver, clock, connect, monkeypatch):
    waits = []

    def hang(address, timeout, **_):
        waits.append(timeout)
        clock.now += timeout
        raise TimeoutError

    monkeypatch.setattr(transport, "create_connection", hang)
    resolver["two.example"] = ["127.0.0.1", "127.0.0.2"]
    is_not_sent(connect("http://two.example:9", connect_timeout=8, resend=ONCE))
    assert waits == [4, 4]


def test_the_second_address_of_a_name_is_tried_if_the_first_hangs(resolver, connect):
    # One port for both: the good server has the full one's number at another address.
    with unanswering_address() as (host, port), RawServer(always(accepted()), host="127.0.0.2", port=port):
        resolver["two.example"] = [host, "127.0.0.2"]
        client = connect(f"http://two.example:{port}", connect_timeout=3.0, resend=ONCE)
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID


def test_name_connection_and_handshake_share_one_time(resolver, clock, connect):
    def slow() -> list[str]:
        clock.now += 3599.5
        return ["127.0.0.1"]

    resolver["slow.example"] = slow
    with RawServer(Peer.hang) as server:
        # The handshake has what the name left, half a second; with an hour of its own this test would not end.
        address = f"https://slow.example:{server.port}"
        is_not_sent(connect(address, connect_timeout=3600, total_timeout=7200, resend=ONCE))
        assert server.wait_for_connections(1)


def test_the_whole_time_bounds_connecting_too(connect):
    with unanswering_address() as (host, port):
        is_not_sent(connect(f"http://{host}:{port}", connect_timeout=3600, total_timeout=0.3, resend=ONCE))


def test_an_ipv6_address_is_spoken_to(connect):
    try:
        server = RawServer(always(accepted()), host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        assert connect(server).aux_call(AGENT, PHONE).conn_id == CONN_ID
        assert f"Host: [::1]:{server.port}".encode() in server.requests[0]


# It may have been sent

LOST = {
    "reset": lambda peer: (peer.request(), peer.reset()),
    "closed": lambda peer: peer.request(),
    "silent": lambda peer: (peer.request(), peer.hang()),
    "half a status line": lambda peer: (peer.request(), peer.send(b"HTTP/1.1 2")),
    "half a head": lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "reset in the body": lambda peer: (peer.request(), peer.send(accepted()[:-9]), peer.reset()),
    "body longer than promised time": lambda peer: (peer.request(), peer.send(accepted()[:-9]), peer.hang()),
    "an alert instead of an answer": lambda peer: (peer.request(), peer.send(b"\x15\x03\x03\x00\x02\x02\x28")),
}


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("serve", LOST.values(), ids=LOST)
@pytest.mark.usefixtures("trusted")
def test_an_answer_lost_after_the_request_is_unknown_and_the_request_not_repeated(serve, over_tls, connect, tls):
    def attempt(seconds: float) -> WolkvoxError:
        with RawServer(serve, tls("127.0.0.1") if over_tls else None) as server:
            failure = failure_of(lambda: connect(server, total_timeout=seconds, resend=ONCE).aux_call(AGENT, PHONE))
            if type(failure) is OutcomeUnknown:
                assert server.wait_for_requests(1)
                assert (server.connections, len(server.requests)) == (1, 1)
            return failure

    lost_after_sending(attempt)


def test_a_connection_reset_as_soon_as_it_stands_is_never_called_not_sent_if_it_was_sent(connect):
    with RawServer(Peer.reset) as server:
        # Whether the reset is noticed before the first byte is a race; the plain socket can't tell.
        with pytest.raises((NotSent, OutcomeUnknown)) as caught:
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        if caught.type is NotSent:
            assert server.received == b""


def test_an_answer_that_comes_before_the_request_is_taken_for_one_and_nothing_is_repeated(connect):
    refusal = answer(envelope("403", "FORBIDDEN", "PLEASE VALIDATE TOKEN"), "403 Forbidden")
    with RawServer(lambda peer: (peer.send(refusal), peer.hang())) as server:
        with pytest.raises(Refused):
            connect(server).aux_call(AGENT, PHONE)
        assert server.connections == 1


# One deadline

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "silence": lambda peer: peer.hang(),
    "dripped status line": lambda peer: peer.drip(b"HTTP/1.1 200 " + b"O" * 1000),
    "dripped headers": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\n"), peer.drip(b"X: " + b"y" * 1000)),
    "dripped header lines": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\n"), peer.drip(b"X: y\r\n" * 90)),
    "dripped body": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"), peer.drip(b" " * 999)),
    "dripped body without length": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\n\r\n"), peer.drip(b" " * 999)),
    "dripped chunks": lambda peer: (peer.send(CHUNKED), peer.drip(b"1\r\n \r\n" * 200)),
    "dripped chunk size": lambda peer: (peer.send(CHUNKED), peer.drip(b"0" * 1000)),
    "dripped trailers": lambda peer: (peer.send(CHUNKED + b"0\r\n"), peer.drip(b"X: y\r\n" * 200)),
    "stalled body": lambda peer: (peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"), peer.hang()),
    "100 Continue without end": lambda peer: peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 99, interval=0.005),
    "a large body, slowly": lambda peer: (
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"),
        [peer.drip(b" " * 1, 0.02) or peer.send(b" " * 1_400) for _ in range(40)],
    ),
}


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("serve", SLOW.values(), ids=SLOW)
@pytest.mark.usefixtures("trusted")
def test_an_answer_that_does_not_end_ends_with_the_whole_time(serve, over_tls, connect, tls):
    def attempt(seconds: float) -> WolkvoxError:
        # Whatever drips to its end is followed by silence: only the client ends the exchange.
        with RawServer(
            lambda peer: (peer.request(), serve(peer), peer.hang()), tls("127.0.0.1") if over_tls else None
        ) as server:
            failure = failure_of(lambda: connect(server, total_timeout=seconds, resend=ONCE).aux_call(AGENT, PHONE))
            if type(failure) is OutcomeUnknown:
                assert server.wait_for_requests(1)
                assert len(server.requests) == 1
                assert f"within {seconds:g} s" in str(failure)
            return failure

    lost_after_sending(attempt)


def test_a_slow_answer_that_ends_in_time_is_accepted(connect):
    def later(peer: Peer) -> None:
        peer.request()
        peer.drip(accepted()[:3], 0.6)
        peer.send(accepted()[3:])

    with RawServer(later) as server:
        client = connect(server, connect_timeout=1.5, total_timeout=120, resend=ONCE)
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_reply_beyond_the_limit_of_an_agents_call_is_unknown(coding, connect):
    body = envelope(data=["x" * (1 << 20)])
    if coding == "gzip":
        body = gzip.compress(body)
        assert len(body) < 1 << 16
    with RawServer(always(answer(body, "200 OK", f"Content-Encoding: {coding}"))) as server:
        client = connect(server)
        with pytest.raises(OutcomeUnknown, match="longer than 64 KB"):
            client.aux_call(AGENT, PHONE)
        with pytest.raises(OutcomeUnknown):
            client.aux_call(AGENT, PHONE)
        # What was left unread of the first reply is on no connection that is used again.
        assert server.connections == 2


def peak_memory(read) -> int:
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MB = 1 << 20
BOMBS = {
    "lists": b'{"code": "200", "error": null, "data": [' + b"[]," * (20 * MB) + b"[]]}",
    "numbers": b'{"code": "200", "error": null, "data": [' + b"1," * (20 * MB) + b"1]}",
    "depth": b'{"code": "200", "error": null, "data": ' + b"[" * (20 * MB),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_no_answer_takes_much_more_memory_than_its_api_s_answers_may(bomb, coding, connect):
    body = BOMBS[bomb] if coding == "identity" else gzip.compress(BOMBS[bomb], 1)
    with RawServer(always(answer(body, "200 OK", f"Content-Encoding: {coding}"))) as server:
        client = connect(server, total_timeout=3600)

        def call() -> None:
            with pytest.raises(OutcomeUnknown, match="longer than 64 KB"):
                client.aux_call(AGENT, PHONE)

        def report() -> None:
            with pytest.raises(OutcomeUnknown, match="more values than any answer"):
                client.real_time_agents()

        assert peak_memory(call) < 4 * MB
        # Its text, once while it is read and once more when it is joined.
        assert peak_memory(report) < 3 * len(BOMBS[bomb])


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip, deflate", "br", "zstd", "compress"])
def test_an_encoding_that_was_not_asked_for_is_not_decoded(coding, connect):
    body = gzip.compress(gzip.compress(envelope(data={"conn_id": CONN_ID})))
    bomb = RawServer(always(answer(body, "200 OK", f"Content-Encoding: {coding}")))
    with bomb as server, pytest.raises(OutcomeUnknown, match="could not be decompressed"):
        connect(server).aux_call(AGENT, PHONE)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_answer_is_read(coding, connect):
    import zlib

    packed = {"gzip": gzip.compress, "deflate": zlib.compress}[coding](envelope(data={"conn_id": CONN_ID}))
    with RawServer(always(answer(packed, "200 OK", f"Content-Encoding: {coding}"))) as server:
        assert connect(server).aux_call(AGENT, PHONE).conn_id == CONN_ID


# Redirects, .netrc, cookies, and the words on the wire


@pytest.mark.parametrize("status", [301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_redirect_is_followed(status, method, connect):
    with RawServer(always(accepted())) as target:
        moved = answer(b"moved", f"{status} Moved", f"Location: {target.base_url}/api/v2/agentbox.php?api=aux_call")
        with RawServer(always(moved)) as server:
            client = connect(server)
            with pytest.raises(OutcomeUnknown, match=str(status)):
                client.aux_call(AGENT, PHONE) if method == "POST" else client.token_info()
            assert len(server.requests) == 1
        assert target.connections == 0


@pytest.mark.parametrize("location", ["http://[", "http://a..b/", "//", "", "http://\xff/", "x" * 9000, "mailto:me"])
def test_a_redirect_to_nowhere_is_unknown_like_any_other(location, connect):
    moved = answer(b"moved", "302 Found", f"Location: {location}")
    with RawServer(always(moved)) as server:
        with pytest.raises(OutcomeUnknown):
            connect(server).aux_call(AGENT, PHONE)
        assert len(server.requests) == 1


def test_a_redirect_with_an_accepting_body_is_not_accepted(connect):
    moved = answer(envelope(data={"conn_id": CONN_ID}), "302 Found", "Location: /elsewhere")
    with RawServer(always(moved)) as server:
        with pytest.raises(OutcomeUnknown):
            connect(server).aux_call(AGENT, PHONE)
        assert len(server.requests) == 1


def headers(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n\r\n")[0].split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), "a header was sent twice"
    return {name.lower(): value for name, value in pairs}


def test_a_call_is_one_post_with_an_empty_body_and_exactly_these_headers(connect):
    with RawServer(always(accepted())) as server:
        connect(server, dial_prefix="9").aux_call(AGENT, "+57 300")
        head = server.requests[0]
    first = f"POST /api/v2/agentbox.php?api=aux_call&agent_id={AGENT}&customer_phone=957300 HTTP/1.1"
    assert head.split(b"\r\n")[0].decode() == first
    assert head.endswith(b"\r\n\r\n")
    assert headers(head) == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"airflow-provider-wolkvox/{airflow_provider_wolkvox.__version__}",
        "accept-encoding": headers(head)["accept-encoding"],
        "accept": "*/*",
        "connection": "keep-alive",
        "content-length": "0",
        "wolkvox-token": TOKEN,
    }


def test_a_question_is_one_get_without_a_body(connect):
    with RawServer(always(answer(envelope(data=[{}])))) as server:
        connect(server).token_info()
        head = server.requests[0]
    assert head.split(b"\r\n")[0] == b"GET /api/v2/information.php?api=token_info HTTP/1.1"
    assert headers(head)["wolkvox-token"] == TOKEN
    assert "content-length" not in headers(head)


def test_a_path_of_base_url_stands_before_the_apis(connect):
    with RawServer(always(accepted())) as server:
        connect(f"{server.base_url}/wolkvox/").aux_call(AGENT, PHONE)
        assert server.requests[0].startswith(b"POST /wolkvox/api/v2/agentbox.php?api=aux_call&")


def test_values_are_url_encoded(connect):
    with RawServer(always(accepted())) as server:
        values = {"name": "Peña & Söhne", "note": "a=b?c#d/e+f%20\r\nX: y"}
        connect(server)._transport.send("POST", "agentbox.php", "dial", values)
        first = server.requests[0].split(b"\r\n")[0].decode()
    assert first == (
        "POST /api/v2/agentbox.php?api=dial&name=Pe%C3%B1a+%26+S%C3%B6hne"
        "&note=a%3Db%3Fc%23d%2Fe%2Bf%2520%0D%0AX%3A+y HTTP/1.1"
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_netrc_is_not_read(address, connect, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {address} login me password from-netrc\ndefault login me password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(netrc.read_text())
    with RawServer(always(accepted())) as server:
        connect(f"http://{address}:{server.port}").aux_call(AGENT, PHONE)
        assert "authorization" not in headers(server.requests[0])


@pytest.mark.parametrize("over_a_new_connection", [False, True])
def test_cookies_are_not_kept(over_a_new_connection, connect):
    with RawServer(always(answer(envelope(), "200 OK", "Set-Cookie: PHPSESSID=1; Path=/"))) as server:
        client = connect(server)
        client.aux_call(AGENT, PHONE)
        if over_a_new_connection:
            client.close()
        client.aux_call(AGENT, PHONE)
        assert [("cookie" in headers(head)) for head in server.requests] == [False, False]


# Proxies


@pytest.fixture
def proxied(monkeypatch):
    def through(proxy) -> None:
        address = proxy if isinstance(proxy, str) else proxy.base_url
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("https_proxy", address)

    return through


@pytest.mark.usefixtures("trusted")
def test_a_proxy_from_the_environment_is_used(connect, tls, proxied):
    with RawServer(always(accepted()), tls("localhost")) as server, RawServer(tunnel) as proxy:
        proxied(proxy)
        client = connect(f"https://localhost:{server.port}")
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID
        assert proxy.requests[0].startswith(f"CONNECT localhost:{server.port} ".encode())
        assert (proxy.connections, server.connections, len(server.requests)) == (1, 1, 2)
        # What the proxy may read is the address alone.
        for secret in (TOKEN, PHONE, "aux_call"):
            assert secret.encode() not in b"".join(proxy.requests)


@pytest.mark.usefixtures("trusted")
def test_an_answer_lost_behind_a_proxy_is_unknown_and_the_request_not_repeated(connect, tls, proxied):
    with RawServer(LOST["closed"], tls("localhost")) as server, RawServer(tunnel) as proxy:
        proxied(proxy)
        with pytest.raises(OutcomeUnknown):
            connect(f"https://localhost:{server.port}").aux_call(AGENT, PHONE)
        assert (len(server.requests), proxy.connections) == (1, 1)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_behind_a_proxy_gets_no_request(connect, tls, proxied):
    with RawServer(always(accepted()), tls("other.example")) as server, RawServer(tunnel) as proxy:
        proxied(proxy)
        with pytest.raises(NotSent, match="certificate"):
            connect(f"https://localhost:{server.port}", resend=ONCE).aux_call(AGENT, PHONE)
        assert server.received == b""


PROXY_FAULTS = {
    "forbids": once(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
    "wants a password": once(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
    "answers like wolkvox": once(accepted().replace(b"200 OK", b"403 OK")),
    "cannot reach the server": once(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
    "resets": lambda peer: (peer.request(), peer.reset()),
    "closes": lambda peer: peer.request(),
    "speaks another language": once(b"SSH-2.0-x\r\n"),
    "is silent": lambda peer: (peer.request(), peer.hang()),
    "drips its status": lambda peer: (peer.request(), peer.drip(b"HTTP/1.1 200 " + b"O" * 1000)),
    "drips its headers": lambda peer: (peer.request(), peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99, 0.005)),
    "opens and falls silent": lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\n\r\n"), peer.hang()),
    "opens and resets": lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\n\r\n"), peer.reset()),
}


@pytest.mark.parametrize("serve", PROXY_FAULTS.values(), ids=PROXY_FAULTS)
def test_a_proxy_that_opens_no_tunnel_is_not_sent(serve, connect, tls, proxied):
    with RawServer(always(accepted()), tls("localhost")) as server, RawServer(serve) as proxy:
        proxied(proxy)
        client = connect(f"https://localhost:{server.port}", connect_timeout=0.4, resend=ONCE)
        is_not_sent(client)
        assert server.connections == 0
        assert TOKEN.encode() not in proxy.received
        assert PHONE.encode() not in proxy.received


def test_a_proxy_that_nobody_runs_is_not_sent(connect, proxied):
    with refusing_address() as (host, port), RawServer(always(accepted())) as server:
        proxied(f"http://{host}:{port}")
        with pytest.raises(NotSent):
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        assert server.connections == 0


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "SOCKS5"])
def test_a_socks_proxy_is_not_sent_and_named_as_the_reason(scheme, connect, proxied):
    with RawServer(always(accepted())) as proxy, RawServer(always(accepted())) as server:
        proxied(f"{scheme}://127.0.0.1:{proxy.port}")
        with pytest.raises(NotSent, match="SOCKS"):
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        assert (proxy.connections, server.connections) == (0, 0)


def test_a_proxys_password_is_in_no_message(connect, proxied):
    with RawServer(PROXY_FAULTS["forbids"]) as proxy:
        proxied(f"http://me:proxy-password@127.0.0.1:{proxy.port}")
        with pytest.raises(NotSent) as caught:
            connect("https://localhost:9", resend=ONCE).aux_call(AGENT, PHONE)
        assert "proxy-password" not in str(caught.value)


def test_no_proxy_is_honoured(sim, connect, proxied, monkeypatch):
    with RawServer(always(b"")) as proxy:
        proxied(proxy)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        connect(sim).aux_call(AGENT, PHONE)
        assert proxy.connections == 0


def test_a_plain_address_goes_through_the_proxy_whole_and_its_failure_is_unknown(connect, proxied):
    with RawServer(once(answer(b"<html>", "502 Bad Gateway"))) as proxy:
        proxied(proxy)
        with pytest.raises(OutcomeUnknown):
            connect("http://gateway.example").aux_call(AGENT, PHONE)
        first = proxy.requests[0].split(b"\r\n")[0].decode()
        assert first == (
            f"POST http://gateway.example/api/v2/agentbox.php?api=aux_call&agent_id={AGENT}"
            f"&customer_phone={PHONE} HTTP/1.1"
        )
        assert len(proxy.requests) == 1


def test_a_tls_context_of_another_kind_changes_nothing(monkeypatch, connect, tls):
    # PYTHONHTTPSVERIFY and friends: the verification does not hang on http.client's default context.
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    with RawServer(always(accepted()), tls("127.0.0.1")) as server:
        with pytest.raises(NotSent, match="certificate"):
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        assert server.received == b""


def test_the_servers_of_these_tests_count_what_they_are_sent():
    with RawServer(always(accepted())) as server, socket.create_connection(("127.0.0.1", server.port)) as sock:
        for number in itertools.islice(itertools.count(1), 2):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(65536)
            assert server.wait_for_requests(number)
        assert server.connections == 1
