"""Simultaneous requests are counted exactly, and the third of a token is refused."""

from __future__ import annotations

import http.client
import os
import socket
import threading

import pytest

from airflow_provider_wolkvox.simulator import Simulator

BUSY = "EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)"


def test_the_third_simultaneous_request_of_a_token_is_refused(sim, caller):
    sim.fault("stall", times=2)
    stalled = [caller.send_aux_call("5730010"), caller.send_aux_call("5730011")]
    assert sim.wait_for(lambda sim: sim.rings.total() == 2)
    got = caller.aux_call("5730012")
    assert (got.status, got.json["msg"]) == (403, BUSY)
    assert sim.rings == {"5730010": 1, "5730011": 1}
    stats = sim.stats()
    assert (stats.requests, stats.greatest_simultaneous, stats.refusals) == (3, 3, {BUSY: 1})
    for sock in stalled:
        sock.close()


def test_another_token_is_served_while_one_is_busy(caller_of):
    with Simulator(tokens=["demo-one", "demo-two"]) as sim:
        caller = caller_of(sim)
        sim.fault("stall", times=2)
        stalled = [caller.send_aux_call(token="demo-one") for _ in range(2)]
        assert sim.wait_for(lambda sim: sim.stats("demo-one").greatest_simultaneous == 2)
        assert caller.aux_call(token="demo-two").status == 200
        assert sim.stats("demo-two").greatest_simultaneous == 1
        for sock in stalled:
            sock.close()


def test_three_threads_at_once_are_seen_as_three(sim, caller, together):
    sim.latency = 0.3
    statuses = [got.status for got in together(caller.aux_call, ["5730010", "5730011", "5730012"])]
    assert sorted(statuses) == [200, 200, 403]
    assert sim.stats().greatest_simultaneous == 3
    assert sim.rings.total() == 2


def test_requests_one_after_the_other_are_never_seen_as_simultaneous(sim, caller):
    """The client may send again before the server's thread runs: each time on another connection."""
    connections = [http.client.HTTPConnection("127.0.0.1", sim.port, timeout=60) for _ in range(4)]
    for number in range(2_000):
        connection = connections[number % 4]
        connection.request("POST", caller.aux_call_target(), headers=caller.headers())
        connection.getresponse().read()
    stats = sim.stats()
    assert (stats.requests, stats.greatest_simultaneous, stats.unanswered) == (2_000, 1, 0)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("kind", ["drop_after_ringing", "close_after_ringing", "cut_body"])
def test_a_request_that_died_is_not_simultaneous_with_the_next(sim, caller, kind):
    sim.fault(kind, times=None)
    for _ in range(200):
        sock = caller.send_aux_call()
        try:
            while sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        sock.close()
    stats = sim.stats()
    assert (stats.requests, stats.greatest_simultaneous, stats.unanswered) == (200, 1, 200)


def test_a_client_that_gave_up_waiting_is_not_simultaneous_with_its_next_request(sim, caller):
    sim.fault("stall", times=100)
    for number in range(1, 101):
        sock = caller.send_aux_call()
        assert sim.wait_for(lambda sim, number=number: sim.rings.total() == number)
        sock.close()
    assert caller.aux_call().status == 200
    stats = sim.stats()
    assert (stats.requests, stats.greatest_simultaneous, stats.unanswered) == (101, 1, 100)


def test_many_threads_lose_no_request_and_no_ring(caller_of):
    with Simulator(tokens=[f"demo-{number}" for number in range(8)]) as sim:
        caller = caller_of(sim)

        def call_often(token):
            for _ in range(100):
                assert caller.aux_call(token=token).status == 200

        threads = [threading.Thread(target=call_often, args=(token,)) for token in sim.tokens]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sim.rings.total() == len(sim.calls) == 800
        assert len({call.conn_id for call in sim.calls}) == 800
        for token in sim.tokens:
            stats = sim.stats(token)
            assert (stats.requests, stats.greatest_simultaneous, stats.unanswered) == (100, 1, 0)


def test_a_request_still_under_way_counts_for_the_new_stats_after_a_reset(sim, caller):
    sim.fault("stall")
    sock = caller.send_aux_call()
    assert sim.wait_for(lambda sim: sim.rings.total() == 1)
    sim.reset()
    caller.aux_call()
    sock.close()
    stats = sim.stats()
    assert (stats.requests, stats.greatest_simultaneous) == (1, 2)
    caller.aux_call()
    assert sim.stats().unanswered == 0


def test_a_body_on_its_way_counts_as_under_way(sim, caller):
    sock = caller.connect()
    target = caller.aux_call_target()
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nwolkvox-token: {sim.token}\r\nContent-Length: 2\r\n\r\n"
    sock.sendall(head.encode())
    assert sim.wait_for(lambda sim: sim.stats().requests == 1)
    assert not sim.rings
    caller.aux_call("5730019")
    assert sim.stats().greatest_simultaneous == 2
    sock.sendall(b"{}")
    assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
    assert sim.rings.total() == 2
    sock.close()


def test_a_connection_that_only_opens_is_no_request(sim, caller):
    sock = caller.connect()
    sock.close()
    with caller.connect() as unfinished:
        unfinished.sendall(b"POST /api/v2/agentb")
        unfinished.shutdown(socket.SHUT_WR)
        assert unfinished.recv(100) == b""
    assert sim.stats().requests == 0


def test_stopping_ends_a_stall_at_once(caller_of):
    sim = Simulator()
    with sim:
        sim.fault("stall", seconds=300)
        sock = caller_of(sim).send_aux_call()
        assert sim.wait_for(lambda sim: sim.rings.total() == 1)
    assert sock.recv(100) == b""
    assert sim.stats().unanswered == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "wolkvox-simulator"]
    sock.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_keep_dropped_connections_alive(sim, caller):
    """Airflow forks its task runner, often out of the very process that runs the simulator."""
    with caller.send_aux_call() as opened_before:
        assert opened_before.recv(4096).startswith(b"HTTP/1.1 200 OK")
        keep_reading, keep_writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(keep_writing)
            os.read(keep_reading, 1)
            os._exit(0)
        os.close(keep_reading)
        try:
            sim.fault("drop_after_ringing")
            opened_before.sendall(caller.aux_call_bytes())
            opened_before.settimeout(60)
            with pytest.raises(ConnectionResetError):
                opened_before.recv(100)
        finally:
            os.close(keep_writing)
            os.waitpid(child, 0)
