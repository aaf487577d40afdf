"""Every fault, as a client sees it on the wire, and whether the phone has rung."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time

import pytest
import requests

from airflow_provider_wolkvox.simulator import Fault, FaultError, FaultKind, Simulator
from airflow_provider_wolkvox.simulator.state.faults import OPTIONS

PHONE = "573001234567"


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65_536):
        data += piece
    return data


def is_sound(got) -> bool:
    return got.status == 200 and got.json["code"] == "200" and got.json["error"] is None


# Connections that break


def test_drop_before_reading_resets_without_a_ring_and_without_a_request_seen(sim, caller):
    sim.fault("drop_before_reading")
    with caller.send_aux_call() as sock, pytest.raises(ConnectionResetError):
        sock.recv(100)
    assert not sim.rings
    assert sim.stats().requests == 0
    assert sim.drops_before_reading == 1
    assert is_sound(caller.aux_call())


def test_drop_before_reading_waits_until_the_head_has_arrived_in_whatever_pieces(sim, caller):
    sim.fault("drop_before_reading")
    whole = caller.aux_call_bytes()
    with caller.connect() as idle:
        idle.settimeout(0.05)
        for place in range(len(whole) - 1):
            idle.sendall(whole[place : place + 1])
        with pytest.raises(TimeoutError):
            idle.recv(1)
        idle.settimeout(60)
        idle.sendall(whole[-1:])
        with pytest.raises(ConnectionResetError):
            idle.recv(1)
    assert sim.stats().requests == 0


def test_drop_before_reading_does_not_wait_for_a_body(sim, caller):
    sim.fault("drop_before_reading")
    head = caller.aux_call_bytes().replace(b"Content-Length: 0", b"Content-Length: 1000")
    with caller.connect() as sock:
        sock.sendall(head)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_drop_before_reading_uses_no_processor_while_half_a_head_waits(sim, caller):
    sim.fault("drop_before_reading")
    with caller.connect() as sock:
        sock.sendall(b"POST /api/v2/agentbox.php")
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(0.2)
        assert time.process_time() - before < 0.05
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert len(sim.faults) == 1


@pytest.mark.parametrize("sent", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"x" * 100_000])
def test_drop_before_reading_leaves_what_is_no_http_to_be_refused(sim, caller, sent):
    sim.fault("drop_before_reading")
    with caller.connect() as sock:
        sock.sendall(sent)
        assert read_all(sock).startswith(b"HTTP/1.1 4")
    assert len(sim.faults) == 1


def test_drop_before_reading_hits_a_kept_alive_connections_next_request(sim, caller):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=60)
    connection.request("POST", caller.aux_call_target(), headers=caller.headers())
    connection.getresponse().read()
    sim.fault("drop_before_reading")
    connection.request("POST", caller.aux_call_target(), headers=caller.headers())
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    assert sim.rings[PHONE] == 1
    connection.close()


def test_drop_before_reading_spares_a_client_that_closes_an_idle_connection(sim, caller):
    sim.fault("drop_before_reading")
    with caller.connect() as idle:
        idle.shutdown(socket.SHUT_WR)
        assert idle.recv(1) == b""
    assert len(sim.faults) == 1


def test_drop_before_reading_lets_the_first_ones_pass_if_told_so(sim, caller):
    sim.fault("drop_before_reading", after=2)
    assert is_sound(caller.aux_call())
    assert is_sound(caller.aux_call())
    with pytest.raises(ConnectionResetError):
        caller.aux_call()
    assert is_sound(caller.aux_call())


def test_drop_before_reading_spares_new_connections_to_control(sim, caller):
    caller.control("POST", "/faults", {"kind": "drop_before_reading"})
    assert caller.control("GET", "/rings").status == 200
    with pytest.raises(ConnectionResetError):
        caller.aux_call()
    assert caller.control("GET", "/stats").json["dropped_before_reading"] == 1


def test_drop_before_reading_hits_a_connection_that_was_used_for_control(sim, caller):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=60)
    connection.request("POST", "/_sim/faults", body='{"kind": "drop_before_reading"}')
    connection.getresponse().read()
    connection.request("POST", caller.aux_call_target(), headers=caller.headers())
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()


def test_drop_before_reading_spares_control_on_a_kept_alive_connection(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=60)
    connection.request("POST", "/_sim/faults", body='{"kind": "drop_before_reading", "times": null}')
    connection.getresponse().read()
    connection.request("POST", "/_sim/faults", body='{"clear": true}')
    assert connection.getresponse().status == 200
    assert not sim.faults
    connection.close()


@pytest.mark.parametrize(
    "limited", [{"phone": "5730011"}, {"agent_id": "10002"}, {"api": "token_info"}, {"token": "demo-two"}]
)
def test_drop_before_reading_hits_only_what_fits_its_filters(caller_of, limited):
    with Simulator(tokens=["demo-one", "demo-two"]) as sim:
        caller = caller_of(sim)
        sim.fault("drop_before_reading", times=None, **limited)
        for name, send in {
            "phone": lambda: caller.aux_call("5730011"),
            "agent_id": lambda: caller.aux_call(agent="10002"),
            "api": caller.token_info,
            "token": lambda: caller.aux_call(token="demo-two"),
        }.items():
            if name in limited:
                with pytest.raises(ConnectionResetError):
                    send()
            else:
                assert is_sound(send())


@pytest.mark.parametrize(("kind", "rings"), [("drop_after_reading", 0), ("drop_after_ringing", 1)])
def test_drop_after_reading_or_ringing_is_a_real_reset(sim, caller, kind, rings):
    sim.fault(kind)
    with caller.send_aux_call() as sock, pytest.raises(ConnectionResetError):
        sock.recv(100)
    assert sim.rings[PHONE] == rings
    stats = sim.stats()
    assert (stats.requests, stats.unanswered) == (1, 1)


def test_close_after_ringing_is_an_empty_read(sim, caller):
    sim.fault("close_after_ringing")
    with caller.send_aux_call() as sock:
        assert sock.recv(100) == b""
    assert sim.rings[PHONE] == 1
    sim.fault("close_after_ringing")
    with pytest.raises(http.client.RemoteDisconnected):
        caller.aux_call()


# Servers that take their time


@pytest.mark.parametrize(("options", "rings"), [({}, 1), ({"ring": True}, 1), ({"ring": False}, 0)])
def test_a_stall_answers_nothing_and_keeps_the_token_busy(sim, caller, options, rings):
    sim.fault("stall", times=2, phone=PHONE, **options)
    first, second = caller.send_aux_call(), caller.send_aux_call()
    assert sim.wait_for(lambda sim: sim.stats().requests == 2)
    # To another number: it might overtake one of these, and stall in its place.
    assert caller.aux_call("3005550199").status == 403
    first.settimeout(0.05)
    with pytest.raises(TimeoutError):
        first.recv(1)
    assert sim.wait_for(lambda sim: sim.rings[PHONE] == rings * 2)
    first.close()
    second.close()
    assert is_sound(caller.aux_call())


def test_a_stall_ends_after_its_seconds_with_an_orderly_close(sim, caller):
    sim.fault("stall", seconds=0.1)
    start = time.perf_counter()
    with caller.send_aux_call() as sock:
        assert sock.recv(100) == b""
    assert time.perf_counter() - start >= 0.1
    assert sim.stats().unanswered == 1


@pytest.mark.parametrize(("ring", "rings"), [(True, 1), (False, 0)])
def test_stall_body_sends_the_head_and_part_of_the_body(sim, caller, ring, rings):
    sim.fault("stall_body", seconds=0.1, ring=ring)
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=60)
    connection.request("POST", caller.aux_call_target(), headers=caller.headers())
    response = connection.getresponse()
    assert response.status == 200
    promised = int(response.getheader("Content-Length"))
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert 0 < len(cut.value.partial) < promised
    assert sim.rings[PHONE] == rings
    assert sim.stats().unanswered == 1
    connection.close()


def test_stall_body_ends_when_the_client_hangs_up(sim, caller):
    sim.fault("stall_body")
    with caller.send_aux_call() as sock:
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    assert sim.wait_for(lambda sim: sim.stats().unanswered == 1)


@pytest.mark.parametrize(("part", "first_comes_whole"), [("body", True), ("head", False)])
def test_a_drip_gives_a_byte_at_a_time_and_in_the_end_a_sound_answer(sim, caller, part, first_comes_whole):
    sim.fault("drip", part=part, interval=0.002)
    with caller.send_aux_call() as sock:
        pieces = []
        while not b"".join(pieces).endswith(b"}\n}"):
            pieces.append(sock.recv(65_536))
    whole = b"".join(pieces)
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (len(pieces[0]) > 17) is first_comes_whole
    assert len(pieces) > 10
    assert sim.rings[PHONE] == 1
    assert sim.stats().unanswered == 0


def test_a_drip_takes_its_interval_for_each_byte(sim, caller):
    sim.fault("drip", interval=0.002)
    start = time.perf_counter()
    got = caller.aux_call()
    assert is_sound(got)
    assert time.perf_counter() - start >= 0.002 * (len(got.body) - 1)


def test_a_drip_ends_when_the_client_hangs_up(sim, caller):
    sim.fault("drip", interval=600, ring=False)
    with caller.send_aux_call() as sock:
        sock.recv(10)
    assert sim.wait_for(lambda sim: sim.stats().unanswered == 1)
    assert not sim.rings


def test_latency_delays_a_sound_answer_and_rings_before(sim, caller):
    sim.fault("latency", seconds=0.1)
    start = time.perf_counter()
    assert is_sound(caller.aux_call())
    assert time.perf_counter() - start >= 0.1
    sim.fault("latency", seconds=600)
    sock = caller.send_aux_call()
    assert sim.wait_for(lambda sim: sim.rings[PHONE] == 2)
    sock.close()
    assert sim.wait_for(lambda sim: sim.stats().unanswered == 1)


def test_latency_goes_with_another_fault(sim, caller):
    sim.fault("latency", seconds=0.1)
    sim.fault("busy")
    start = time.perf_counter()
    assert caller.aux_call().status == 403
    assert time.perf_counter() - start >= 0.1


# Answers that are no good


@pytest.mark.parametrize(("ring", "rings"), [(True, 1), (False, 0)])
def test_a_cut_body_is_an_incomplete_read(sim, caller, ring, rings):
    sim.fault("cut_body", ring=ring)
    with pytest.raises(http.client.IncompleteRead) as cut:
        caller.aux_call()
    assert cut.value.partial.startswith(b'{\n    "code": "200"')
    assert sim.rings[PHONE] == rings


@pytest.mark.parametrize(("ring", "rings"), [(True, 1), (False, 0)])
def test_garbage_is_no_http(sim, caller, ring, rings):
    sim.fault("garbage", ring=ring)
    with pytest.raises(http.client.BadStatusLine):
        caller.aux_call()
    assert sim.rings[PHONE] == rings


@pytest.mark.parametrize(("ring", "rings"), [(True, 1), (False, 0)])
def test_a_garbage_body_is_html_with_status_200(sim, caller, ring, rings):
    sim.fault("garbage_body", ring=ring)
    got = caller.aux_call()
    assert (got.status, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<html>" in got.body
    assert sim.rings[PHONE] == rings


@pytest.mark.parametrize(("ring", "rings"), [(True, 1), (False, 0)])
def test_bad_gzip_does_not_inflate(sim, caller, ring, rings):
    sim.fault("bad_gzip", ring=ring)
    url = sim.base_url + caller.aux_call_target()
    with pytest.raises(requests.exceptions.ContentDecodingError):
        requests.post(url, headers=caller.headers(), timeout=60)
    assert sim.rings[PHONE] == rings


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize(("ring", "rings"), [(True, 1), (False, 0)])
def test_a_server_error_is_html_or_an_envelope(sim, caller, status, ring, rings):
    sim.fault("server_error", status=status, ring=ring)
    got = caller.aux_call()
    assert got.status == status
    assert b"<html>" in got.body
    assert sim.rings[PHONE] == rings
    sim.fault("server_error", status=status, ring=ring, body="json")
    got = caller.aux_call()
    assert (got.status, got.json["code"]) == (status, str(status))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_points_back_to_itself_and_rings_nobody(sim, caller, status):
    sim.fault("redirect", status=status)
    got = caller.aux_call()
    assert (got.status, got.headers["location"]) == (status, caller.aux_call_target())
    assert not sim.rings


def test_a_redirect_can_point_elsewhere_and_ring(sim, caller):
    sim.fault("redirect", location="http://elsewhere.invalid/", ring=True)
    assert caller.aux_call().headers["location"] == "http://elsewhere.invalid/"
    assert sim.rings[PHONE] == 1


def test_a_client_that_follows_a_redirect_is_found_out(sim, caller):
    sim.fault("redirect", status=307)
    requests.post(sim.base_url + caller.aux_call_target(), headers=caller.headers(), timeout=60)
    assert sim.stats().requests == 2
    assert sim.rings[PHONE] == 1


def test_int_codes_are_numbers_in_an_answer_that_is_right_otherwise(sim, caller):
    sim.fault("int_codes")
    got = caller.aux_call()
    assert got.json["code"] == 200
    assert got.json["data"]["conn_id"] == sim.calls[0].conn_id


def test_text_null_is_the_word_null(sim, caller):
    sim.fault("text_null")
    assert caller.aux_call().json["error"] == "null"
    assert sim.rings[PHONE] == 1


@pytest.mark.parametrize(("kind", "data"), [("empty_conn_id", {"conn_id": ""}), ("no_conn_id", {})])
def test_a_conn_id_can_be_empty_or_missing_for_one_call(sim, caller, kind, data):
    sim.fault(kind)
    assert caller.aux_call().json["data"] == data
    assert caller.aux_call().json["data"]["conn_id"]
    assert sim.rings[PHONE] == 2


@pytest.mark.parametrize(
    ("kind", "status", "msg"),
    [
        ("busy", 403, "EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)"),
        ("quota", 403, "TOKEN LIMIT EXCEEDED"),
        ("bad_token", 403, "PLEASE VALIDATE TOKEN"),
        ("no_token", 401, "PLEASE ENTER THE WOLKVOX-TOKEN"),
        ("api_off", 403, "API DISABLED, THE SERVER IS UNDER MAINTENANCE"),
        ("no_such_api", 400, "THE API YOU WANT TO CONSULT DOES NOT EXIST"),
        ("parameters_missing", 400, "SOME PARAMETERS ARE REQUIRED"),
    ],
)
def test_each_error_of_the_table_comes_on_demand_and_rings_nobody(sim, caller, kind, status, msg):
    sim.fault(kind)
    got = caller.aux_call()
    assert (got.status, got.json["code"], got.json["msg"]) == (status, str(status), msg)
    assert "data" not in got.json
    assert not sim.rings
    assert sim.stats().refusals == {msg: 1}
    assert is_sound(caller.aux_call())


def test_a_reply_is_given_verbatim(sim, caller):
    sim.fault("reply", status=418, body="short and stout", content_type="text/plain")
    got = caller.aux_call()
    assert (got.status, got.body, got.headers["content-type"]) == (418, b"short and stout", "text/plain")
    assert not sim.rings
    sim.fault("reply", body={"code": "", "error": None, "msg": "ok"}, ring=True)
    got = caller.aux_call()
    assert (got.status, got.json) == (200, {"code": "", "error": None, "msg": "ok"})
    assert sim.rings[PHONE] == 1


# Which request a fault hits


def test_a_fault_hits_once_unless_told_otherwise(sim, caller):
    sim.fault("busy")
    assert [caller.aux_call().status for _ in range(3)] == [403, 200, 200]
    sim.fault("busy", times=2)
    assert [caller.aux_call().status for _ in range(3)] == [403, 403, 200]


def test_a_fault_without_end_lasts_until_it_is_cleared(sim, caller):
    sim.fault("busy", times=None)
    assert [caller.aux_call().status for _ in range(5)] == [403] * 5
    sim.clear_faults()
    assert caller.aux_call().status == 200


def test_after_lets_the_first_matching_requests_pass(sim, caller):
    sim.fault("busy", after=2, phone="5730011")
    caller.aux_call("5730019")
    assert [caller.aux_call("5730011").status for _ in range(4)] == [200, 200, 403, 200]


@pytest.mark.parametrize(
    "limited", [{"phone": "5730011"}, {"agent_id": "10002"}, {"api": "token_info"}, {"token": "demo-two"}]
)
def test_a_fault_hits_only_what_fits_its_filters(caller_of, limited):
    with Simulator(tokens=["demo-one", "demo-two"]) as sim:
        caller = caller_of(sim)
        sim.fault("busy", times=None, **limited)
        statuses = {
            "phone": caller.aux_call("5730011").status,
            "agent_id": caller.aux_call(agent="10002").status,
            "api": caller.token_info().status,
            "token": caller.aux_call(token="demo-two").status,
        }
        assert statuses == {name: 403 if name in limited else 200 for name in statuses}


def test_faults_queue_up_in_the_order_they_were_armed(sim, caller):
    sim.fault("busy")
    sim.fault("quota")
    sim.fault("no_token", after=2)
    assert [caller.aux_call().status for _ in range(4)] == [403, 403, 401, 200]


def test_a_fault_does_not_ring_where_the_call_would_have_been_refused(sim, caller):
    sim.fault("cut_body")
    with pytest.raises(http.client.IncompleteRead):
        caller.aux_call(agent="99999")
    assert not sim.rings


def test_control_requests_are_spared_by_faults(sim, caller):
    sim.fault("garbage", times=None)
    sim.fault("latency", seconds=60, times=None)
    assert caller.control("GET", "/rings").status == 200


# Faults that can't be


@pytest.mark.parametrize(
    ("kind", "options", "explained"),
    [
        ("explode", {}, "the kinds are latency, drop_before_reading"),
        ("busy", {"seconds": 1}, "it has times, after, api, token, agent_id, phone"),
        ("stall", {"seconds": -1}, "from 0 to 86400"),
        ("stall", {"seconds": "long"}, "a number of seconds"),
        ("stall", {"seconds": float("nan")}, "a number of seconds"),
        ("stall", {"ring": 1}, "true or false"),
        ("drip", {"part": "tail"}, '"head" or "body"'),
        ("busy", {"times": 0}, "from 1 up"),
        ("busy", {"times": True}, "from 1 up"),
        ("busy", {"after": -1}, "from 0 up"),
        ("busy", {"phone": 573}, "a text or null"),
        ("server_error", {"status": 404}, "500 to 599"),
        ("server_error", {"body": "xml"}, '"html" or "json"'),
        ("redirect", {"status": 200}, "300 to 399"),
        ("redirect", {"location": "a\r\nSet-Cookie: b"}, "one line"),
        ("reply", {"status": 99}, "200 to 599"),
        ("reply", {"content_type": "a\nb"}, "one line"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_what_would(sim, kind, options, explained):
    with pytest.raises(FaultError, match=explained):
        sim.fault(kind, **options)
    assert not sim.faults


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_kind_can_be_armed_by_its_name_and_described_again(kind):
    described = Fault.of(kind.value).described()
    assert described["kind"] == kind.value
    assert set(OPTIONS.get(kind, {})) <= set(described)
    assert Fault.read(described) == Fault.of(kind)


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.DROP_BEFORE_READING])
def test_after_any_fault_the_next_call_is_sound(sim, caller, kind):
    quick = {name: 0.01 for name in ("seconds", "interval") if name in OPTIONS.get(kind, {})}
    sim.fault(kind, **quick | ({"interval": 0.0} if "interval" in quick else {}))
    with caller.send_aux_call() as sock:
        sock.settimeout(60)
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            sock.recv(65_536)
    assert is_sound(caller.aux_call("5730019"))
    assert sim.rings["5730019"] == 1
    assert sim.stats().greatest_simultaneous == 1
