"""What a sound request is answered, and the error table row by row."""

from __future__ import annotations

import re
import time

import pytest
import requests

from airflow_provider_wolkvox.simulator import Agent, ConnIds, Envelope, Simulator, Token, UndocumentedReplies

PHONE = "573001234567"


def test_an_aux_call_rings_the_phone_once_and_gives_a_conn_id(sim, caller):
    before = int(time.time())
    got = caller.aux_call()
    assert got.status == 200
    assert got.json["code"] == "200"
    assert sim.rings == {PHONE: 1}
    agent, last_four, epoch, sequence = got.json["data"]["conn_id"].split(".")
    assert (agent, last_four) == ("10001", "4567")
    assert before <= int(epoch) <= time.time()
    assert re.fullmatch(r"\d{5}", sequence)
    (call,) = sim.calls
    assert (call.phone, call.agent_id, call.conn_id) == (PHONE, "10001", got.json["data"]["conn_id"])
    assert sim.token not in call.token
    assert call.at.utcoffset() is not None


def test_bodies_are_pretty_printed_with_string_codes_and_keys_in_order(sim, caller):
    got = caller.aux_call()
    conn_id = sim.calls[0].conn_id
    assert got.body.decode() == (
        '{\n    "code": "200",\n    "error": null,\n    "msg": "Type has been successful",\n'
        f'    "data": {{\n        "conn_id": "{conn_id}"\n    }}\n}}'
    )
    assert got.headers["content-type"] == "application/json"
    assert got.headers["content-length"] == str(len(got.body))


def test_a_repeated_aux_call_rings_again_and_gives_another_conn_id(sim, caller):
    first, second = caller.aux_call().json, caller.aux_call().json
    assert sim.rings[PHONE] == 2
    assert first["data"]["conn_id"] != second["data"]["conn_id"]


def test_rings_are_counted_by_the_exact_number_received(sim, caller):
    caller.aux_call(phone="%2B57300")
    caller.aux_call(phone="57300")
    assert sim.rings == {"+57300": 1, "57300": 1}
    assert sim.rings["999"] == 0


def test_requests_works_over_one_kept_alive_connection(sim, caller):
    with requests.Session() as session:
        url = sim.base_url + caller.aux_call_target()
        for _ in range(3):
            assert session.post(url, headers=caller.headers(), timeout=60).json()["code"] == "200"
    assert sim.rings[PHONE] == 3
    assert sim.stats().greatest_simultaneous == 1


def test_token_info_shows_limits_as_text_and_counts_itself(sim, caller):
    (row,) = caller.token_info().json["data"]
    assert row == {
        "description": "demo",
        "token_limit": "10000",
        "token_use_today": "1",
        "all_token_today": "1",
        "available_consumption_options": "9999",
    }


# The error table


def refused(got, code, error, msg):
    assert got.status == code
    assert got.json == {"code": str(code), "error": error, "msg": msg}
    assert list(got.json) == ["code", "error", "msg"]


def test_an_unknown_api_is_told_that_it_does_not_exist(caller):
    got = caller.ask("POST", "/api/v2/agentbox.php?api=ring_twice", caller.headers())
    refused(got, 400, "BAD REQUEST", "THE API YOU WANT TO CONSULT DOES NOT EXIST")


def test_an_api_in_the_wrong_file_does_not_exist(caller):
    got = caller.ask("POST", caller.aux_call_target().replace("agentbox", "campaign"), caller.headers())
    refused(got, 400, "BAD REQUEST", "THE API YOU WANT TO CONSULT DOES NOT EXIST")


@pytest.mark.parametrize(
    "query", ["agent_id=10001", "customer_phone=573001234567", "agent_id=&customer_phone=573001234567", ""]
)
def test_a_missing_or_empty_parameter_is_required(sim, caller, query):
    got = caller.ask("POST", f"/api/v2/agentbox.php?api=aux_call&{query}", caller.headers())
    refused(got, 400, "BAD REQUEST", "SOME PARAMETERS ARE REQUIRED")
    assert not sim.rings


def test_parameters_in_the_body_are_not_seen(sim, caller):
    headers = {**caller.headers(), "Content-Type": "application/x-www-form-urlencoded"}
    body = "agent_id=10001&customer_phone=573001234567"
    got = caller.ask("POST", "/api/v2/agentbox.php?api=aux_call", headers, body)
    refused(got, 400, "BAD REQUEST", "SOME PARAMETERS ARE REQUIRED")
    assert not sim.rings


@pytest.mark.parametrize("headers", [{}, {"wolkvox-token": ""}])
def test_a_missing_token_is_asked_for(sim, caller, headers):
    refused(
        caller.ask("POST", caller.aux_call_target(), headers),
        401,
        "UNAUTHORIZED",
        "PLEASE ENTER THE WOLKVOX-TOKEN",
    )
    assert sim.stats("none").refusals == {"PLEASE ENTER THE WOLKVOX-TOKEN": 1}


def test_a_wrong_token_is_to_be_validated(sim, caller):
    refused(caller.aux_call(token="demo-wrong"), 403, "FORBIDDEN", "PLEASE VALIDATE TOKEN")
    assert sim.stats("demo-wrong").refusals == {"PLEASE VALIDATE TOKEN": 1}
    assert sim.stats("unknown").requests == 1
    assert sim.stats().requests == 0


def test_apis_switched_off_refuse_until_they_are_switched_on_again(sim, caller):
    sim.maintenance = True
    refused(caller.aux_call(), 403, "FORBIDDEN", UndocumentedReplies().api_off.msg)
    assert not sim.rings
    sim.maintenance = False
    assert caller.aux_call().status == 200


def test_the_wrong_method_is_refused_without_a_ring(sim, caller):
    got = caller.ask("GET", caller.aux_call_target(), caller.headers())
    refused(got, 405, "METHOD NOT ALLOWED", UndocumentedReplies().wrong_method.msg)
    assert not sim.rings


def test_head_gets_no_ring_either(sim, caller):
    assert caller.ask("HEAD", caller.aux_call_target(), caller.headers()).status == 405
    assert not sim.rings


def test_a_missing_token_comes_before_an_unknown_api(caller):
    assert caller.ask("POST", "/api/v2/agentbox.php?api=nothing").status == 401


def test_other_paths_are_the_web_servers_own_404(sim, caller):
    got = caller.ask("POST", "/api/v2/nothing.php?api=aux_call", caller.headers())
    assert got.status == 404
    assert got.headers["content-type"].startswith("text/html")
    assert sim.stats().requests == 0


# The quota


def test_the_daily_quota_is_shared_by_all_tokens(caller_of):
    with Simulator(tokens=["demo-one", "demo-two"], daily_quota=3) as sim:
        caller = caller_of(sim)
        assert caller.token_info("demo-one").status == 200
        assert caller.token_info("demo-two").status == 200
        row = caller.token_info("demo-two").json["data"][0]
        assert (row["token_use_today"], row["all_token_today"]) == ("2", "3")
        refused(caller.token_info("demo-one"), 403, "FORBIDDEN", "TOKEN LIMIT EXCEEDED")
        assert sim.stats("demo-one").used_today == 1
        assert sim.stats("demo-one").refusals == {"TOKEN LIMIT EXCEEDED": 1}


def test_agent_calls_are_not_counted_and_work_with_the_quota_used_up(caller_of):
    with Simulator(daily_quota=0) as sim:
        caller = caller_of(sim)
        assert caller.aux_call().status == 200
        assert caller.token_info().status == 403
        assert sim.stats().used_today == 0


def test_a_tokens_own_limit_holds_and_is_shown(caller_of):
    with Simulator(tokens=[Token("demo-small", limit=1, description="reports"), "demo-large"]) as sim:
        caller = caller_of(sim)
        row = caller.token_info("demo-small").json["data"][0]
        assert (row["description"], row["token_limit"]) == ("reports", "1")
        assert row["available_consumption_options"] == "0"
        assert caller.token_info("demo-small").status == 403
        assert caller.token_info("demo-large").status == 200


def test_the_quota_begins_anew_at_midnight_gmt_minus_5(caller_of):
    day = 86_400
    midnight = 20_000 * day + 5 * 3_600
    now = [midnight - 1.0]
    with Simulator(daily_quota=1, clock=lambda: now[0]) as sim:
        caller = caller_of(sim)
        assert caller.token_info().status == 200
        assert caller.token_info().status == 403
        now[0] = float(midnight)
        assert caller.token_info().status == 200


# Agents and the replies nobody documents


@pytest.mark.parametrize(
    ("agent", "reply"),
    [
        (None, "agent_unknown"),
        (Agent("20001", logged_in=False), "agent_logged_out"),
        (Agent("20001", on_call=True), "agent_on_call"),
        (Agent("20001", has_cut_call=False), "no_cut_call"),
    ],
)
def test_an_agent_that_may_not_call_is_refused_with_the_configured_reply(caller_of, agent, reply):
    with Simulator(agents=[agent] if agent else []) as sim:
        caller = caller_of(sim)
        usual = getattr(UndocumentedReplies(), reply)
        refused(caller.aux_call(agent="20001"), usual.code, usual.error, usual.msg)
        sim.set_reply(reply, Envelope(409, "CONFLICT", "as the real server says"))
        refused(caller.aux_call(agent="20001"), 409, "CONFLICT", "as the real server says")
        assert not sim.rings
        assert sim.stats().refusals == {usual.msg: 1, "as the real server says": 1}


def test_replies_can_be_given_at_the_start(caller_of):
    with Simulator(agents=[], replies={"agent_unknown": Envelope(404, "Not Found", "who?")}) as sim:
        refused(caller_of(sim).aux_call(), 404, "Not Found", "who?")


def test_an_unknown_reply_name_is_refused_by_naming_the_known():
    with pytest.raises(ValueError, match="agent_logged_out"):
        Simulator(replies={"agent_asleep": Envelope(400, "BAD REQUEST", "zzz")})


def test_agents_can_be_added_and_changed_while_it_runs(sim, caller):
    assert caller.aux_call(agent="77777").status == 404
    sim.add_agent("77777", has_cut_call=False)
    assert caller.aux_call(agent="77777").status == 400
    sim.change_agent("77777", has_cut_call=True)
    assert caller.aux_call(agent="77777").status == 200
    sim.remove_agent("77777")
    assert caller.aux_call(agent="77777").status == 404


@pytest.mark.parametrize(("manner", "data"), [(ConnIds.EMPTY, {"conn_id": ""}), ("missing", {}), (ConnIds.MISSING, {})])
def test_conn_ids_can_be_empty_or_missing_while_the_phone_rings(caller_of, manner, data):
    with Simulator(conn_ids=manner) as sim:
        got = caller_of(sim).aux_call()
        assert (got.status, got.json["code"], got.json["data"]) == (200, "200", data)
        assert sim.rings[PHONE] == 1


# The simulator itself


def test_a_token_made_at_random_says_that_it_is_a_demo():
    assert re.fullmatch(r"demo-[0-9a-f]{16}", Simulator().token)
    assert Simulator().token != Simulator().token


def test_reset_forgets_what_happened_and_keeps_the_agents(sim, caller):
    sim.add_agent("77777")
    sim.fault("busy", times=None)
    caller.aux_call()
    caller.token_info()
    sim.reset()
    assert not sim.rings
    assert not sim.calls
    assert not sim.faults
    stats = sim.stats()
    assert (stats.requests, stats.refusals, stats.used_today) == (0, {}, 0)
    assert caller.aux_call(agent="77777").status == 200


def test_it_can_be_stopped_and_started_again_on_the_same_port(caller_of):
    sim = Simulator()
    with sim:
        caller_of(sim).aux_call()
        port = sim.port
    with pytest.raises(ConnectionRefusedError):
        caller_of(sim).aux_call()
    with sim:
        assert sim.port == port
        caller_of(sim).aux_call()
        with pytest.raises(RuntimeError):
            sim.start()
    assert sim.rings[PHONE] == 2


@pytest.mark.parametrize(
    ("wrong", "explained"),
    [
        ({"tokens": []}, "at least one token"),
        ({"tokens": [""]}, "may be empty"),
        ({"tokens": ["a", "a"]}, "given twice"),
        ({"latency": -1}, "latency must be a number of seconds from 0 to 86400"),
        ({"conn_ids": "lost"}, "'lost' is not a valid ConnIds"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, explained):
    with pytest.raises(ValueError, match=explained):
        Simulator(**wrong)


def test_no_answer_comes_before_its_latency(sim, caller):
    sim.latency = 0.05
    for _ in range(5):
        start = time.perf_counter()
        caller.aux_call()
        assert time.perf_counter() - start >= 0.05


def test_no_repr_shows_a_token():
    token = Token("demo-secret")
    assert "secret" not in repr(token)
