"""What other processes see and do over HTTP, and requests that are no HTTP at all."""

from __future__ import annotations

import json

import pytest

from airflow_provider_wolkvox.simulator import FaultKind, Simulator

PHONE = "573001234567"


def test_rings_and_calls_can_be_read_by_other_processes(sim, caller):
    caller.aux_call()
    told = caller.control("GET", "/rings").json
    assert told["rings"] == {PHONE: 1}
    (call,) = told["calls"]
    assert (call["phone"], call["agent_id"], call["conn_id"]) == (PHONE, "10001", sim.calls[0].conn_id)
    assert call["at"].endswith("+00:00")


def test_stats_can_be_read_per_token_with_the_tokens_masked(caller_of):
    with Simulator(tokens=["demo-a-1234", "demo-b-1234"]) as sim:
        caller = caller_of(sim)
        caller.aux_call(token="demo-b-1234")
        caller.aux_call(token="demo-stranger")
        got = caller.control("GET", "/stats")
        assert b"demo" not in got.body
        first, second = got.json["tokens"]["...1234"], got.json["tokens"]["...1234 (2)"]
        assert (first["requests"], second["requests"]) == (0, 1)
        assert second == {
            "requests": 1,
            "greatest_simultaneous": 1,
            "refusals": {},
            "unanswered": 0,
            "used_today": 0,
        }
        assert got.json["tokens"]["unknown"]["refusals"] == {"PLEASE VALIDATE TOKEN": 1}


def test_looking_is_not_counted_as_a_request(sim, caller):
    for path in ("", "/rings", "/stats", "/faults", "/agents"):
        assert caller.control("GET", path).status == 200
    assert sim.stats().requests == 0
    assert sim.stats("none").requests == 0


def test_reset_forgets_everything(sim, caller):
    caller.aux_call()
    sim.fault("busy")
    assert caller.control("POST", "/reset").json == {"reset": True}
    assert caller.control("GET", "/rings").json == {"rings": {}, "calls": []}
    assert not sim.faults


def test_a_fault_is_armed_and_cleared(sim, caller):
    got = caller.control("POST", "/faults", {"kind": "busy", "times": None, "phone": PHONE})
    assert got.status == 200
    assert got.json["armed"][0]["kind"] == "busy"
    assert PHONE.encode() not in got.body
    assert caller.aux_call().status == 403
    assert caller.control("POST", "/faults", {"clear": True}).json == {"armed": []}
    assert caller.aux_call().status == 200


def test_a_list_of_faults_is_armed_in_its_order(sim, caller):
    caller.control("POST", "/faults", [{"kind": "busy"}, {"kind": "no_token"}])
    assert [caller.aux_call().status for _ in range(3)] == [403, 401, 200]


@pytest.mark.parametrize("told", ["7", '"busy"', {"times": 1}, {"kind": "explode"}, {"kind": []}, [[]]])
def test_what_is_no_fault_gets_400_and_the_known_kinds(sim, caller, told):
    got = caller.control("POST", "/faults", told)
    assert got.status == 400
    for kind in FaultKind:
        assert kind.value in got.json["error"]
    assert not sim.faults


@pytest.mark.parametrize("told", ["{not json", "", '{"kind": "busy"'])
def test_what_is_no_json_gets_400_saying_so(sim, caller, told):
    got = caller.control("POST", "/faults", told)
    assert got.status == 400
    assert "no JSON" in got.json["error"]
    assert not sim.faults


def test_one_wrong_fault_in_a_list_arms_none(sim, caller):
    got = caller.control("POST", "/faults", [{"kind": "busy"}, {"kind": "stall", "seconds": "long"}])
    assert got.status == 400
    assert "seconds" in got.json["error"]
    assert not sim.faults


def test_agents_are_added_and_changed(sim, caller):
    got = caller.control("POST", "/agents", [{"agent_id": "77777"}, {"agent_id": "10001", "logged_in": False}])
    assert {"agent_id": "77777", "logged_in": True, "has_cut_call": True, "on_call": False} in got.json["agents"]
    assert caller.aux_call(agent="77777").status == 200
    assert caller.aux_call(agent="10001").status == 400


@pytest.mark.parametrize(
    "told", ["[", {}, {"agent_id": 5}, {"agent_id": "5", "logged_in": "yes"}, {"agent_id": "5", "x": True}, [[]]]
)
def test_what_is_no_agent_gets_400(sim, caller, told):
    before = sim.agents
    assert caller.control("POST", "/agents", told).status == 400
    assert sim.agents == before


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("POST", "/rings"), ("GET", "/reset")])
def test_what_is_not_there_gets_404_with_what_is(caller, method, path):
    got = caller.control(method, path)
    assert got.status == 404
    assert "GET /_sim/rings" in got.json["error"]


# Below HTTP


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 100_000, 431),
    ],
)
def test_what_is_no_http_is_refused_and_closed(sim, caller, sent, status):
    with caller.connect() as sock:
        sock.sendall(sent)
        data = b""
        while piece := sock.recv(65_536):
            data += piece
    assert data.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close\r\n" in data


def test_a_request_may_come_in_pieces_and_two_in_one(sim, caller):
    whole = caller.aux_call_bytes()
    with caller.connect() as sock:
        for place in range(len(whole)):
            sock.sendall(whole[place : place + 1])
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        sock.sendall(whole + whole)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 2:
            data += sock.recv(65_536)
    assert sim.rings[PHONE] == 3


@pytest.mark.parametrize(
    ("version", "wish", "kept"),
    [("1.1", "", True), ("1.1", "Connection: close\r\n", False), ("1.0", "", False)],
)
def test_a_connection_is_kept_if_the_client_wants_it(sim, caller, version, wish, kept):
    with caller.connect() as sock:
        sock.sendall(f"GET /_sim/rings HTTP/{version}\r\n{wish}\r\n".encode())
        data = sock.recv(65_536)
        assert (b"Connection: keep-alive\r\n" in data) is kept
        if not kept:
            assert sock.recv(1) == b""


def test_a_client_that_waits_for_100_continue_gets_it(sim, caller):
    body = json.dumps({"kind": "busy"}).encode()
    with caller.connect() as sock:
        head = f"POST /_sim/faults HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_an_encoded_query_is_decoded(sim, caller):
    caller.ask(
        "POST",
        "/api/v2/agentbox.php?api=aux_call&agent_id=%31%30001&customer_phone=57+300%26",
        caller.headers(),
    )
    assert sim.rings == {"57 300&": 1}


def test_whom_not_to_call_is_set_and_read_over_http(sim, caller):
    told = {
        "do_not_call": [{"phone_number": "573001"}, {"phone_number": "573002", "type": "inbound"}],
        "law2300": [{"phone_number": "573001", "last_day": "2026-03-01 10:00:00", "nit": "900"}],
    }
    got = caller.control("POST", "/directory", told).json
    assert got == caller.control("GET", "/directory").json
    assert [each["type"] for each in got["do_not_call"]] == ["outbound", "inbound"]
    assert got["law2300"][0]["last_channel"] == "voice"
    # What is not given stays.
    assert caller.control("POST", "/directory", {"do_not_call": []}).json == {**got, "do_not_call": []}
    wrong = caller.control("POST", "/directory", {"do_not_call": [{"phone_number": "5", "type": "both"}]})
    assert wrong.status == 400
    assert "do_not_call: type must be" in wrong.json["error"]


CUSTOMER = {"customer_id": "c0", "tel1": PHONE}


def test_a_campaign_is_added_started_and_judged_over_http(sim, caller):
    told = {
        "campaign_id": "40001",
        "name": "DUES",
        "records": [CUSTOMER],
        "agents": ["10002"],
        "call_results": {PHONE: {"ring_seconds": 0, "talk_seconds": 0, "acw_seconds": 0}},
        "started": True,
    }
    assert caller.control("POST", "/campaigns", told).status == 200
    assert sim.campaigns == ("40001",)
    assert sim.wait_for(lambda sim: sim.campaign("40001").finished, timeout=30)
    (campaign,) = caller.control("GET", "/campaigns").json["campaigns"]
    assert (campaign["name"], campaign["status"], campaign["finished"]) == ("DUES", "started", True)
    assert (campaign["added"], campaign["starts"], campaign["counters"]["answer"]) == ({"c0": 1}, 0, 1)
    (dial,) = campaign["dials"]
    assert (dial["phone"], dial["agent_id"], dial["result"]) == (PHONE, "10002", "ANSWER")
    assert caller.control("GET", "/history").json["history"] == [dial]


@pytest.mark.parametrize(
    "told",
    [
        7,
        {},
        {"campaign_id": 7},
        {"campaign_id": "7", "colour": "red"},
        {"campaign_id": "7", "records": "all"},
        {"campaign_id": "7", "records": [{"customer_id": "1"}]},
        {"campaign_id": "7", "kind": []},
        {"campaign_id": "7", "agents": [["10001"]]},
        {"campaign_id": "7", "seed": "x"},
        {"campaign_id": "7", "name": 1},
        {"campaign_id": "7", "started": "yes"},
        {"campaign_id": "7", "refuse_duplicates": "yes"},
        {"campaign_id": "7", "call_results": [1]},
        {"campaign_id": "7", "call_results": "ASLEEP"},
    ],
)
def test_what_is_no_campaign_gets_400(sim, caller, told):
    assert caller.control("POST", "/campaigns", told).status == 400
    assert sim.campaigns == ()
