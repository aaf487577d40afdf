"""One connection, one request at a time: reuse, threads, stopping, interruption, and the last word before sending."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from client_testing import AGENT, ONCE, PHONE, QUICK, TOKEN, failure_of, lost_after_sending, requests_seen
from raw_server import CONN_ID, Peer, RawServer, accepted, always, answer, envelope, once, unanswering_address

from airflow_provider_wolkvox.api import (
    NotSent,
    OutcomeUnknown,
    Refused,
    Resend,
    TokenBusy,
    WolkvoxError,
    transport,
)
from airflow_provider_wolkvox.simulator import Simulator

# Reuse


def test_two_calls_in_quick_succession_share_a_connection(connect, clock):
    with RawServer(always(accepted())) as server:
        client = connect(server)
        client.aux_call(AGENT, PHONE)
        client.aux_call(AGENT, PHONE)
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.usefixtures("trusted")
def test_two_calls_in_quick_succession_share_a_connection_over_tls(connect, tls, clock):
    with RawServer(always(accepted()), tls("127.0.0.1")) as server:
        client = connect(server)
        client.aux_call(AGENT, PHONE)
        client.aux_call(AGENT, PHONE)
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(("idle", "connections"), [(0.0, 1), (0.999, 1), (1.0, 2), (60.0, 2)])
def test_a_connection_idle_for_a_second_is_not_used_again(idle, connections, connect, clock):
    with RawServer(always(accepted())) as server:
        client = connect(server)
        client.aux_call(AGENT, PHONE)
        clock.now += idle
        client.aux_call(AGENT, PHONE)
        assert (server.connections, len(server.requests)) == (connections, 2)


@pytest.mark.parametrize("end", [lambda peer: None, Peer.reset], ids=["closed", "reset"])
def test_a_server_that_closed_the_idle_connection_does_not_lose_the_next_call(end, connect):
    closed = threading.Event()

    def serve(peer: Peer) -> None:
        peer.request()
        peer.send(accepted())
        if peer.number == 1:
            end(peer)
            peer.sock.close()
            closed.set()
        else:
            peer.hang()

    with RawServer(serve) as server:
        client = connect(server)
        client.aux_call(AGENT, PHONE)
        assert closed.wait(60)
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID
        assert (server.connections, len(server.requests)) == (2, 2)


def test_a_server_that_says_close_is_taken_at_its_word(connect):
    with RawServer(always(answer(envelope(), "200 OK", "Connection: close"))) as server:
        client = connect(server)
        client.aux_call(AGENT, PHONE)
        client.aux_call(AGENT, PHONE)
        assert server.connections == 2


def test_a_closed_client_connects_anew(connect):
    with RawServer(always(accepted())) as server:
        with connect(server) as client:
            client.aux_call(AGENT, PHONE)
        client.aux_call(AGENT, PHONE)
        assert server.connections == 2


@pytest.mark.parametrize("glued", [True, False], ids=["at once", "later"])
def test_an_answer_nobody_asked_for_is_not_taken_for_the_next_calls(glued, connect):
    first_was_read, more_is_sent = threading.Event(), threading.Event()

    def serve(peer: Peer) -> None:
        while head := peer.request():
            right, wrong = accepted(head.split(b"customer_phone=")[1][:12].decode()), accepted("nobody's")
            if glued:
                peer.send(right + wrong)
            else:
                peer.send(right)
                first_was_read.wait(60)
                peer.send(wrong)
            more_is_sent.set()

    with RawServer(serve) as server:
        client = connect(server)
        assert client.aux_call(AGENT, "573001111111").conn_id == "573001111111"
        first_was_read.set()
        assert more_is_sent.wait(60)
        assert client.aux_call(AGENT, "573002222222").conn_id == "573002222222"


# An interim answer is not the answer: RFC 9110, section 15.2

INTERIM = [b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"]


@pytest.mark.parametrize("interim", INTERIM, ids=["103", "102"])
def test_an_interim_answer_is_skipped(interim, connect):
    with RawServer(once(interim + accepted())) as server:
        assert connect(server).aux_call(AGENT, PHONE).conn_id == CONN_ID


@pytest.mark.parametrize("start", [*INTERIM, b"HTTP/1.1 204 No Content\r\n\r\n"], ids=["103", "102", "204"])
def test_the_late_answer_of_one_call_is_never_taken_for_the_nexts(start, connect):
    def serve(peer: Peer) -> None:
        peer.request()
        if peer.number == 1:
            peer.send(start)
            peer.request()  # the next call, if the client sends it over this connection
            peer.send(accepted("the first call's"))
            peer.hang()
        else:
            peer.send(accepted("second"))

    def attempt(seconds: float) -> WolkvoxError:
        with RawServer(serve) as server:
            client = connect(server, total_timeout=seconds, resend=ONCE)
            # A client that skips what is interim waits for the rest in vain, until its time is over.
            failure = failure_of(lambda: client.aux_call(AGENT, "573001111111"))
            if type(failure) is OutcomeUnknown and server.wait_for_requests(1):
                client._transport._total_timeout = 60.0
                assert client.aux_call(AGENT, "573002222222").conn_id == "second"
            return failure

    lost_after_sending(attempt)


# Threads and programs


def test_threads_that_share_a_client_use_the_token_one_at_a_time(sim, connect):
    sim.latency = 0.01
    client = connect(sim)
    together = threading.Barrier(10)

    def call(number: int) -> str:
        together.wait(60)
        return client.aux_call(AGENT, f"57300000000{number}").conn_id

    with ThreadPoolExecutor(10) as threads:
        conn_ids = list(threads.map(call, range(10)))
    assert sim.stats().greatest_simultaneous == 1
    assert requests_seen(sim) == 10
    # Each thread has its own call's id: agent, the phone's last four digits, time, sequence.
    assert {call.phone: call.conn_id for call in sim.calls} == {
        f"57300000000{number}": conn_id for number, conn_id in enumerate(conn_ids)
    }
    assert set(sim.rings.values()) == {1}


def test_programs_that_share_a_token_all_call_once_in_the_end():
    # Two would not collide: the server lets two of a token's requests in. Here it lets in one.
    with Simulator(tokens=[TOKEN], simultaneous_limit=1, latency=0.02) as sim:
        from airflow_provider_wolkvox.api import WolkvoxClient

        patient = Resend(tries=500, within=120, first_wait=0.01)
        clients = [
            WolkvoxClient("0042", TOKEN, base_url=sim.base_url, resend=patient, total_timeout=60) for _ in range(2)
        ]

        def call_all(part: int) -> None:
            for number in range(5):
                clients[part].aux_call(AGENT, f"57300{part}00000{number}")

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(call_all, range(2)))
        for client in clients:
            client.close()
        assert len(sim.rings) == 10
        assert set(sim.rings.values()) == {1}
        refused = sum(sim.stats().refusals.values())
        assert requests_seen(sim) == 10 + refused
        assert set(sim.stats().refusals) <= {"EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)"}


def test_a_token_that_two_others_hold_is_busy_until_one_lets_go(sim, connect):
    sim.fault("stall", times=2)
    holders = [connect(sim, total_timeout=600) for _ in range(2)]
    threads = ThreadPoolExecutor(2)
    held = [threads.submit(holder.aux_call, "10002", "573008888888") for holder in holders]
    try:
        assert sim.wait_for(lambda sim: sim.stats().requests == 2)
        with pytest.raises(TokenBusy):
            connect(sim, resend=ONCE).aux_call(AGENT, PHONE)
        assert sim.rings[PHONE] == 0
    finally:
        sim.stop()
        for one in held:
            assert isinstance(one.exception(60), OutcomeUnknown)
        threads.shutdown()


# The last word before sending


def call_with(client, before_sending):
    return client.aux_call(AGENT, PHONE, before_sending=before_sending).conn_id


def test_before_sending_is_called_when_connected_and_before_any_byte(connect):
    with RawServer(always(accepted())) as server:
        seen = []

        def look() -> None:
            assert server.wait_for_connections(1)
            seen.append((server.connections, server.received))

        assert call_with(connect(server), look) == CONN_ID
        assert seen == [(1, b"")]
        assert len(server.requests) == 1


def test_before_sending_is_called_once_per_try(sim, connect):
    sim.fault("busy", times=2)
    seen = []
    call_with(connect(sim), lambda: seen.append(requests_seen(sim)))
    assert seen == [0, 1, 2]
    assert sim.rings == {PHONE: 1}


def test_before_sending_is_not_called_without_a_connection(connect):
    seen = []
    with unanswering_address() as (host, port):
        client = connect(f"http://{host}:{port}", connect_timeout=0.1, resend=ONCE)
        with pytest.raises(NotSent):
            call_with(client, lambda: seen.append(1))
    assert seen == []


class OfNoKnownKind(BaseException):
    """Like AirflowTaskTimeout: not an Exception."""


VETOES = [
    ValueError("no"),
    OSError(5, "no"),
    BrokenPipeError(32, "swallowed by urllib3 while sending"),
    ConnectionResetError(104, "swallowed by urllib3 while sending"),
    TimeoutError("no"),
    requests.ConnectionError("no"),
    requests.Timeout("no"),
    NotSent("another", "no"),
    TokenBusy("another", "403", "FORBIDDEN", "no"),
    StopIteration("no"),
    KeyboardInterrupt("no"),
    SystemExit(3),
    OfNoKnownKind("no"),
]


@pytest.mark.parametrize("veto", VETOES, ids=lambda veto: type(veto).__name__)
def test_what_before_sending_raises_comes_out_unchanged_with_nothing_sent(veto, connect):
    def refuse() -> None:
        raise veto

    with RawServer(always(accepted())) as server:
        client = connect(server, resend=ONCE)
        with pytest.raises(type(veto)) as caught:
            call_with(client, refuse)
        assert caught.value is veto
        assert server.received == b""
        # And the client still works, over another connection.
        assert client.aux_call(AGENT, PHONE).conn_id == CONN_ID
        assert len(server.requests) == 1


def test_a_veto_of_aux_calls_caller_keeps_the_phone_from_ringing(sim, connect):
    def refuse() -> None:
        raise OfNoKnownKind

    with pytest.raises(OfNoKnownKind):
        connect(sim).aux_call(AGENT, PHONE, before_sending=refuse)
    assert sim.rings == {}


@pytest.mark.parametrize("kind", [NotSent("another", "no"), TokenBusy("another", "403", "", "no")], ids=repr)
def test_a_veto_ends_the_call_even_if_it_looks_like_something_to_send_again(kind, connect):
    asked = []

    def refuse() -> None:
        asked.append(1)
        raise kind

    with RawServer(always(accepted())) as server:
        with pytest.raises(type(kind)):
            call_with(connect(server), refuse)
        assert len(asked) == 1


def test_a_veto_on_a_kept_connection_sends_nothing_and_spoils_nothing(connect):
    def refuse() -> None:
        raise ValueError("no")

    with RawServer(always(accepted())) as server:
        client = connect(server)
        client.aux_call(AGENT, PHONE)
        with pytest.raises(ValueError, match="no"):
            call_with(client, refuse)
        client.aux_call(AGENT, PHONE)
        assert len(server.requests) == 2


def test_time_spent_before_sending_counts_and_too_much_of_it_is_not_sent(connect):
    with RawServer(always(accepted())) as server:
        client = connect(server, total_timeout=0.2, resend=ONCE)
        with pytest.raises(NotSent):
            call_with(client, lambda: server.stopping.wait(0.3))
        assert server.received == b""


def test_a_connection_closed_while_before_sending_works_is_not_sent(connect):
    go, gone = threading.Event(), threading.Event()

    def serve(peer: Peer) -> None:
        go.wait(60)
        peer.sock.close()
        gone.set()

    with RawServer(serve) as server:

        def slow() -> None:
            go.set()
            assert gone.wait(60)

        with pytest.raises(NotSent):
            call_with(connect(server, resend=ONCE), slow)
        assert server.received == b""


def test_before_resending_is_told_what_ended_each_try_that_another_follows(sim, connect):
    sim.fault("busy", times=None)
    told = []
    with pytest.raises(TokenBusy):
        connect(sim).aux_call(AGENT, PHONE, before_resending=told.append)
    assert [type(failure) for failure in told] == [TokenBusy] * (QUICK.tries - 1)


def test_what_before_resending_raises_ends_the_call(sim, connect):
    def refuse(failure) -> None:
        raise OfNoKnownKind

    sim.fault("busy", times=None)
    with pytest.raises(OfNoKnownKind):
        connect(sim).aux_call(AGENT, PHONE, before_resending=refuse)
    assert requests_seen(sim) == 1


@pytest.mark.parametrize("fault", ["drop_after_ringing", "quota", "server_error", "redirect"])
def test_before_resending_hears_nothing_of_what_is_never_sent_again(fault, sim, connect):
    sim.fault(fault, times=None)
    told = []
    with pytest.raises(WolkvoxError):
        connect(sim).aux_call(AGENT, PHONE, before_resending=told.append)
    assert told == []


# Stopping


def test_a_stopped_client_sends_nothing(sim, connect):
    client = connect(sim, resend=Resend(first_wait=600))
    client.stop()
    with pytest.raises(NotSent, match="stop"):
        client.aux_call(AGENT, PHONE)
    assert requests_seen(sim) == 0


def test_stopping_ends_the_wait_for_a_busy_token(sim, connect):
    sim.fault("busy", times=None)
    client = connect(sim, resend=Resend(tries=4, within=7200, first_wait=600))
    with ThreadPoolExecutor(1) as threads:
        calling = threads.submit(client.aux_call, AGENT, PHONE)
        assert sim.wait_for(lambda sim: sim.stats().refusals)
        client.stop()
        assert isinstance(calling.exception(60), (NotSent, TokenBusy))
    assert requests_seen(sim) == 1


def test_stopping_from_before_sending_sends_nothing(connect):
    with RawServer(always(accepted())) as server:
        client = connect(server)
        with pytest.raises(NotSent, match="stop"):
            call_with(client, client.stop)
        assert server.received == b""


def test_stopping_does_not_take_back_what_is_on_its_way(sim, connect):
    sim.fault("latency", seconds=0.2)
    client = connect(sim)
    with ThreadPoolExecutor(1) as threads:
        calling = threads.submit(client.aux_call, AGENT, PHONE)
        assert sim.wait_for(lambda sim: sim.rings[PHONE])
        client.stop()
        assert calling.result(60).conn_id == sim.calls[0].conn_id


def test_a_stopped_client_says_so_at_once_although_nobody_answers(connect):
    with unanswering_address() as (host, port):
        client = connect(f"http://{host}:{port}", connect_timeout=600, total_timeout=600, resend=ONCE)
        client.stop()
        with pytest.raises(NotSent, match="stop"):
            client.aux_call(AGENT, PHONE)


STOP_IN_A_HANDLER = """
    import signal, sys
    from airflow_provider_wolkvox.api import Resend, TokenBusy, NotSent, WolkvoxClient
    from airflow_provider_wolkvox.api.transport import Transport
    from airflow_provider_wolkvox.simulator import Simulator

    signal.signal(signal.SIGUSR1, lambda *_: client.stop())
    # Before the wait begins, in its first line, before it waits on the queue.
    moments = []

    def trace(frame, event, arg):
        if frame.f_code is not Transport.wait.__code__:
            return None
        moments.append(event)
        if len(moments) == int(sys.argv[1]):
            sys.settrace(None)
            signal.raise_signal(signal.SIGUSR1)
            print("stopped", flush=True)
        return trace

    with Simulator() as sim:
        sim.fault("busy", times=None)
        resend = Resend(tries=9, within=86400, first_wait=40000)
        client = WolkvoxClient("0042", sim.token, base_url=sim.base_url, resend=resend)
        sys.settrace(trace)
        try:
            client.aux_call("10001", "573001234567")
        except (NotSent, TokenBusy):
            print("ended")
"""


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_stopping_in_a_signal_handler_cannot_hang_wherever_the_signal_comes(moment):
    # If the stop went unheard, the client would wait for half a day.
    program = [sys.executable, "-c", textwrap.dedent(STOP_IN_A_HANDLER), str(moment)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout == "stopped\nended\n", ended.stderr


# Interrupted in the middle, as Airflow's task time-out does it


class Interrupted(BaseException):
    """Raised by a signal anywhere in the main thread."""


@pytest.fixture
def interruption():
    """Make a function that interrupts the main thread, wherever it is, when another thread calls it."""

    def interrupt(*_) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.main_thread().ident
    yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


PLACES = {
    "before the answer": lambda peer: None,
    "in the status line": lambda peer: peer.send(accepted("the first call's")[:5]),
    "in the head": lambda peer: peer.send(accepted("the first call's")[:30]),
    "in the body": lambda peer: peer.send(accepted("the first call's")[:-5]),
}


@pytest.mark.parametrize("part", PLACES.values(), ids=PLACES)
def test_after_an_interruption_the_next_call_gets_its_own_answer(part, connect, interruption):
    next_call = threading.Event()

    def serve(peer: Peer) -> None:
        peer.request()
        if peer.number > 1:
            peer.send(accepted("second"))
            next_call.set()
            peer.hang()
            return
        part(peer)
        interruption()
        next_call.wait(60)
        peer.send(accepted("the first call's"))

    with RawServer(serve) as server:
        client = connect(server)
        with pytest.raises(Interrupted):
            client.aux_call(AGENT, PHONE)
        assert client.aux_call(AGENT, PHONE).conn_id == "second"
        assert (server.connections, len(server.requests)) == (2, 2)


def test_an_interruption_while_connecting_leaves_the_client_usable(connect, interruption):
    def serve(peer: Peer) -> None:
        if peer.number == 1:
            interruption()  # in the TLS handshake, which gets no answer
        peer.hang()

    with RawServer(serve) as server:
        client = connect(f"https://127.0.0.1:{server.port}", connect_timeout=60, resend=ONCE)
        with pytest.raises(Interrupted):
            client.aux_call(AGENT, PHONE)
        client._transport._connect_timeout = 0.1
        with pytest.raises(NotSent):
            client.aux_call(AGENT, PHONE)
        assert server.connections <= 2


def test_an_interruption_between_two_tries_ends_the_call(sim, connect, interruption):
    sim.fault("busy", times=1)
    client = connect(sim, resend=Resend(within=7200, first_wait=600))
    waker = threading.Thread(target=lambda: sim.wait_for(lambda sim: sim.stats().refusals) and interruption())
    waker.start()
    with pytest.raises(Interrupted):
        client.aux_call(AGENT, PHONE)
    waker.join()
    assert requests_seen(sim) == 1
    client.aux_call(AGENT, PHONE)
    assert sim.rings == {PHONE: 1}


def test_a_thread_waits_for_another_ones_call_without_a_request_of_its_own(sim, connect):
    sim.fault("latency", seconds=0.2)
    client = connect(sim)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.aux_call, AGENT, PHONE)
        assert sim.wait_for(lambda sim: sim.rings[PHONE])
        second = threads.submit(client.aux_call, "10002", "573009999999")
        assert first.result(60).conn_id != second.result(5).conn_id
    assert sim.stats().greatest_simultaneous == 1


def test_stopping_ends_the_wait_for_another_threads_request(sim, connect):
    sim.fault("stall", times=1)
    client = connect(sim, total_timeout=600)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.aux_call, AGENT, PHONE)
        assert sim.wait_for(lambda sim: sim.rings[PHONE])
        second = threads.submit(client.aux_call, "10002", "573009999999")
        client.stop()
        try:
            assert isinstance(second.exception(60), NotSent)
            assert not first.done()
        finally:
            sim.stop()
            assert isinstance(first.exception(60), OutcomeUnknown)


def test_an_error_of_the_local_program_before_sending_is_not_sent(connect, monkeypatch):
    def broken(*_, **__):
        raise MemoryError("cannot start a thread")

    monkeypatch.setattr(transport, "_addresses", broken)
    with RawServer(always(accepted())) as server:
        with pytest.raises(NotSent):
            connect(server, resend=ONCE).aux_call(AGENT, PHONE)
        assert server.connections == 0


def test_a_refusal_keeps_the_connection_for_the_next_call(connect, clock):
    refusal = answer(envelope("400", "BAD REQUEST", "no"), "400 Bad Request")
    with RawServer(always(refusal)) as server:
        client = connect(server)
        for _ in range(2):
            with pytest.raises(Refused):
                client.aux_call(AGENT, PHONE)
        assert (server.connections, len(server.requests)) == (1, 2)
