"""What agents' stations can be made to do: all APIs of agentbox.php beside aux_call, and their effects."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from datetime import timedelta

import pytest
from simulator_testing import NOON

from airflow_provider_wolkvox.simulator import (
    ActivityCode,
    Agent,
    CallResult,
    Directory,
    Envelope,
    FaultKind,
    Simulator,
    UndocumentedReplies,
)

AGENT = "10001"
PHONE = "573001234567"
OTHER = "573007654321"
CAMPAIGN = "40001"
CODES = {"cod_act": "101", "cod_act_2": "102"}
RECALL = {"id_camp": CAMPAIGN, "id_customer": "c0", "recall_style": "auto"}
SCHEDULE = {**RECALL, "telefono": PHONE, "rellamada": "20260303090000"}
FOUND = {**RECALL, "telephone": PHONE}

# Every API but aux_call, with what it needs.
NEEDED = {
    "dial": {"customer_phone": PHONE},
    "hang": {},
    "hold": {},
    "mute": {},
    "dtmf": {"tones": "1"},
    "transfer": {"customer_phone": OTHER},
    "type": CODES,
    "hang_type_ready": {"cod_act": "101"},
    "change_status": {"status": "2"},
    "agent_display": {"display": "hide", "button": "dial"},
    "recall": SCHEDULE,
    "edit_recall": {**FOUND, "recall": "20260304090000"},
    "delete_recall": FOUND,
}
METHODS = {"edit_recall": "PUT", "delete_recall": "DELETE"}
IN_A_CALL = ("hang", "hold", "mute", "dtmf", "transfer", "hang_type_ready")


@pytest.fixture
def sim(clock) -> Iterator[Simulator]:
    """Customers answer after 5 seconds and talk for a minute; 10 seconds of work follow."""
    results = CallResult.of("ANSWER", ring_seconds=5, talk_seconds=60, acw_seconds=10)
    with Simulator(clock=clock, agents=[AGENT, "10002"], call_results=results) as running:
        running.add_campaign(CAMPAIGN, records=[{"customer_id": "c0", "tel1": PHONE}])
        yield running


@pytest.fixture
def talking(sim, caller, clock) -> str:
    """The conn_id of a call that the agent has dialled and that was answered ten seconds ago."""
    conn_id = caller.command("dial", customer_phone=PHONE).json["data"]["conn_id"]
    clock.now += 15
    return conn_id


def sent(caller, api, **changes):
    return caller.command(api, method=METHODS.get(api, "POST"), **{**NEEDED[api], **changes})


def done(got, msg, *data):
    """Assert an API's success as documented: code, no error, msg, and the data that come with it, if any."""
    assert (got.status, got.json["code"], got.json["error"], got.json["msg"]) == (200, "200", None, msg)
    assert [got.json[name] for name in got.json if name == "data"] == list(data)


def refused(got, reply):
    usual = getattr(UndocumentedReplies(), reply)
    assert got.json == {"code": str(usual.code), "error": usual.error, "msg": usual.msg}


def connected(caller):
    """Return the rows of cdr_1 of this day by their conn_id, without sums."""
    got = caller.report("cdr_1", "20260302000000", "20260302235959")
    return {row["conn_id"]: row for row in got.json.get("data", []) if row["agent_name"] != "TOTAL"}


def shown(caller, agent=AGENT):
    """Return an agent's state in real time, and for how many seconds."""
    got = caller.ask("GET", "/api/v2/real_time.php?api=agents", caller.headers())
    (row,) = (row for row in got.json["data"] if row["agent_id"] == agent)
    return row["agent_status"], row["time_state_now"]


# Ringing


def test_dial_rings_a_phone_without_a_predictive_call_before(sim, caller):
    sim.change_agent(AGENT, has_cut_call=False)
    got = caller.command("dial", customer_phone=PHONE, customer_id="c7", customer_name="ANA")
    (call,) = sim.calls
    done(got, "Dial has been successful", {"conn_id": call.conn_id})
    assert (call.api, call.phone, call.agent_id, sim.rings) == ("dial", PHONE, AGENT, {PHONE: 1})
    (row,) = connected(caller).values()
    assert (row["conn_id"], row["type_interaction"]) == (call.conn_id, "outbound_ma")
    assert (row["customer_id"], row["campaign_id"]) == ("c7", "-")


def test_every_ring_tells_which_api_made_it(sim, caller, clock):
    caller.aux_call()
    clock.now += 100
    caller.command("dial", customer_phone=PHONE)
    caller.command("transfer", customer_phone=PHONE)
    assert [call.api for call in sim.calls] == ["aux_call", "dial", "transfer"]
    assert sim.rings == {PHONE: 3}
    assert [call["api"] for call in caller.control("GET", "/rings").json["calls"]] == ["aux_call", "dial", "transfer"]


def test_a_dial_that_is_repeated_rings_twice(sim, caller):
    assert [caller.command("dial", customer_phone=PHONE).status for _ in range(2)] == [200, 200]
    assert sim.rings == {PHONE: 2}


@pytest.mark.parametrize("api", ["aux_call", "dial"])
def test_an_agent_may_be_held_to_one_call_at_a_time(sim, caller, clock, api):
    sim.one_call_at_a_time = True
    assert caller.command(api, customer_phone=PHONE).status == 200
    refused(caller.command(api, customer_phone=OTHER), "agent_on_call")
    clock.now += 65
    assert caller.command(api, customer_phone=OTHER).status == 200
    assert sim.rings == {PHONE: 1, OTHER: 1}


def test_an_agent_that_is_said_to_be_on_a_call_can_not_dial(sim, caller):
    sim.change_agent(AGENT, on_call=True)
    refused(caller.command("dial", customer_phone=PHONE), "agent_on_call")
    assert not sim.rings


def test_a_transfer_rings_the_other_phone_and_frees_the_agent(sim, caller, clock, talking):
    got = caller.command("transfer", customer_phone=OTHER)
    new = sim.calls[-1].conn_id
    done(got, f"Call has been transfer to {OTHER} number", {"conn_id": new})
    assert sim.rings == {PHONE: 1, OTHER: 1}
    assert not sim.station(AGENT).on_call
    assert shown(caller) == ("ACW", "0")
    found = connected(caller)
    assert (found[new]["type_interaction"], found[new]["agent_id"]) == ("transfer", AGENT)
    assert (found[talking]["time_seg"], found[talking]["hang_up"]) == ("10", "agent")
    clock.now += 10
    assert shown(caller) == ("Ready", "0")


# During a call


def test_hang_ends_the_call_and_reports_say_so(sim, caller, clock, talking):
    assert shown(caller) == ("Talk", "10")
    done(caller.command("hang"), "Hang has been successful")
    assert not sim.station(AGENT).on_call
    row = connected(caller)[talking]
    assert (row["time_seg"], row["hang_up"]) == ("10", "agent")
    assert shown(caller) == ("ACW", "0")
    refused(caller.command("hang"), "no_active_call")


def test_a_call_that_still_rings_is_cancelled_by_hanging_up(sim, caller, clock):
    conn_id = caller.command("dial", customer_phone=PHONE).json["data"]["conn_id"]
    clock.now += 3
    assert caller.command("hang").status == 200
    assert connected(caller) == {}
    data = caller.report("cdr_5", "20260302000000", "20260302235959").json["data"]
    assert [(row["conn_id"], row["result"], row["ring_time"]) for row in data[:-1]] == [(conn_id, "Cancel", "3")]


def test_a_call_that_is_over_by_itself_can_not_be_hung_up(caller, clock, talking):
    clock.now += 50
    refused(caller.command("hang"), "no_active_call")
    assert connected(caller)[talking]["time_seg"] == "60"


def test_hanging_up_a_predictive_call_makes_it_the_cut_call_of_an_aux_call(clock, caller_of):
    """Fifteen seconds after its start the customer talks with the agent, and would for an hour."""
    long = CallResult.of("ANSWER", ring_seconds=5, talk_seconds=3600)
    with Simulator(clock=clock, agents=[Agent(AGENT, has_cut_call=False)]) as sim:
        caller = caller_of(sim)
        sim.add_campaign(CAMPAIGN, records=[{"customer_id": "c0", "tel1": PHONE}], call_results=long, started=True)
        clock.now += 15
        refused(caller.aux_call(), "agent_on_call")
        call = sim.station(AGENT).call
        assert (call.phone, call.campaign_id) == (PHONE, CAMPAIGN)
        assert caller.command("hang").status == 200
        (dial,) = sim.campaign(CAMPAIGN).dials
        assert (dial.conn_id, dial.what.hang_up, dial.over <= sim.campaign(CAMPAIGN).at) == (
            call.conn_id,
            "agent",
            True,
        )
        assert dial.what.talk_seconds < 15
        assert caller.aux_call().status == 200
        assert sim.rings == {PHONE: 1}


def test_a_call_that_was_only_said_to_be_can_be_hung_up_too(sim, caller):
    sim.change_agent(AGENT, on_call=True)
    assert caller.command("hold").status == 200
    assert sim.station(AGENT).on_hold
    assert caller.command("hang").status == 200
    assert sim.agents[0] == Agent(AGENT)
    sim.change_agent(AGENT, on_call=True)
    assert not sim.station(AGENT).on_hold


@pytest.mark.parametrize(
    ("api", "name", "msg"),
    [
        ("hold", "on_hold", "Hold agentbox has been excecuted"),
        ("mute", "muted", "Microphone agentbox has been excecuted"),
    ],
)
def test_hold_and_mute_toggle_and_end_with_the_call(sim, caller, clock, talking, api, name, msg):
    seen = []
    for _ in range(3):
        done(caller.command(api), msg)
        station = sim.station(AGENT)
        seen.append((getattr(station, name), station.on_hold and station.muted))
    assert seen == [(True, False), (False, False), (True, False)]
    caller.command("hang")
    assert not getattr(sim.station(AGENT), name)
    caller.command("dial", customer_phone=PHONE)
    assert not getattr(sim.station(AGENT), name)


def test_tones_can_be_read_among_the_commands(sim, caller, talking):
    done(caller.command("dtmf", tones="1*#"), "default", "tones agentbox has been added ")
    caller.command("dtmf", tones="23")
    refused(caller.command("dtmf", tones="1 2"), "tones_wrong")
    tones = [command for command in sim.commands if command.api == "dtmf"]
    assert [command.values for command in tones] == [{"tones": "1*#"}, {"tones": "23"}]
    assert {(command.agent_id, command.conn_id) for command in tones} == {(AGENT, talking)}
    assert all(sim.token not in repr(command) and "tones" not in repr(command) for command in tones)


@pytest.mark.parametrize("api", IN_A_CALL)
def test_what_needs_a_call_is_refused_without_one_in_the_configured_words(sim, caller, api):
    refused(sent(caller, api), "no_active_call")
    sim.set_reply("no_active_call", Envelope(409, "CONFLICT", "no call"))
    assert sent(caller, api).json == {"code": "409", "error": "CONFLICT", "msg": "no call"}
    assert not sim.rings
    assert not sim.commands


# Dispositions


def test_type_records_the_dispositions_of_the_call_under_way(sim, caller, clock, talking):
    got = caller.command("type", **CODES, comments="pays on Friday")
    done(got, "Type has been successful", {"conn_id": talking})
    row = connected(caller)[talking]
    assert (row["cod_act"], row["description_cod_act"]) == ("101", "PROMISE")
    assert (row["cod_act_2"], row["description_cod_act_2"], row["comment"]) == ("102", "CALL BACK", "pays on Friday")
    assert sim.station(AGENT).call.conn_id == talking
    (found,) = caller.report("act_3", "20260302000000", "20260302235959", cod_act="cod_act1").json["data"]
    assert found["conn_id"] == talking


def test_type_records_the_dispositions_of_the_last_call_once_it_is_over(caller, clock, talking):
    clock.now += 600
    done(caller.command("type", **CODES), "Type has been successful", {"conn_id": talking})
    assert connected(caller)[talking]["cod_act"] == "101"


def test_type_needs_a_call_and_both_codes(sim, caller):
    refused(caller.command("type", **CODES), "no_call_to_type")
    sim.add_past_call(PHONE, AGENT)
    for missing in CODES:
        got = caller.command("type", **{**CODES, missing: ""})
        assert got.json == {"code": "400", "error": "BAD REQUEST", "msg": "SOME PARAMETERS ARE REQUIRED"}
    assert caller.command("type", **CODES).status == 200


def test_a_code_is_of_one_group_or_of_both(sim, caller, talking):
    sim.directory = Directory(activity_codes=(ActivityCode("1", "ONE", group=1), ActivityCode("2", "TWO", group=2)))
    for cod_act, cod_act_2 in (("2", "2"), ("1", "1"), ("1", "9")):
        refused(caller.command("type", cod_act=cod_act, cod_act_2=cod_act_2), "disposition_unknown")
        refused(caller.command("hang_type_ready", cod_act=cod_act, cod_act_2=cod_act_2), "disposition_unknown")
    assert sim.station(AGENT).on_call
    assert caller.command("type", cod_act="1", cod_act_2="2").status == 200


def test_hang_type_ready_ends_the_call_types_it_and_makes_the_agent_ready(sim, caller, talking):
    done(caller.command("hang_type_ready", cod_act="201", comments="wrong"), "Type has been successful")
    row = connected(caller)[talking]
    assert (row["time_seg"], row["hang_up"], row["cod_act"], row["cod_act_2"]) == ("10", "agent", "201", "-")
    assert shown(caller) == ("Ready", "0")
    assert not sim.station(AGENT).on_call


def test_a_call_of_which_nothing_is_known_leaves_the_last_one_untyped(sim, caller, clock, talking):
    clock.now += 600
    sim.change_agent(AGENT, on_call=True)
    done(caller.command("type", **CODES), "Type has been successful", {"conn_id": ""})
    assert caller.command("hang_type_ready", cod_act="101").status == 200
    assert connected(caller)[talking]["cod_act"] == "-"
    assert [command.conn_id for command in sim.commands[1:]] == ["", ""]


# States


def test_a_state_of_the_operations_own_is_shown_until_ready(sim, caller, clock):
    done(caller.command("change_status", status="2"), "Agent status has been modified to LUNCH")
    clock.now += 7
    assert (sim.station(AGENT).status, shown(caller)) == ("2", ("LUNCH", "7"))
    done(caller.command("change_status", status="ready"), "Agent status has been modified to Ready")
    assert (sim.station(AGENT).status, shown(caller)) == ("ready", ("Ready", "0"))


def test_states_are_what_the_directory_says(sim, caller):
    refused(caller.command("change_status", status="77"), "status_unknown")
    sim.directory = Directory(agent_states={"77": "COACHING"})
    assert caller.command("change_status", status="77").status == 200
    assert shown(caller) == ("COACHING", "0")


def test_logging_out_hangs_up_and_the_agent_can_do_nothing_more(sim, caller, talking):
    caller.command("hold")
    done(caller.command("change_status", status="logout"), "Agent status has been modified to Logout")
    station = sim.station(AGENT)
    assert (station.status, station.on_call, station.on_hold) == ("logout", False, False)
    assert connected(caller)[talking]["hang_up"] == "agent"
    assert shown(caller)[0] == "Logout"
    for api in NEEDED:
        refused(sent(caller, api), "agent_logged_out")
    refused(caller.aux_call(), "agent_logged_out")


def test_an_agent_logs_in_again_ready(sim, caller):
    caller.command("change_status", status="1")
    caller.command("change_status", status="logout")
    sim.change_agent(AGENT, logged_in=True)
    assert shown(caller) == ("Ready", "0")


def test_ready_ends_the_work_after_a_call(caller, clock, talking):
    caller.command("hang")
    clock.now += 4
    assert shown(caller) == ("ACW", "4")
    caller.command("change_status", status="ready")
    assert shown(caller) == ("Ready", "0")
    clock.now += 20
    assert shown(caller) == ("Ready", "20")


def test_a_campaign_gives_no_calls_to_an_agent_at_lunch(clock, caller_of):
    with Simulator(clock=clock, agents=[AGENT]) as sim:
        caller = caller_of(sim)
        caller.command("change_status", status="2")
        customers = [{"customer_id": f"c{place}", "tel1": f"57300{place:07}"} for place in range(3)]
        sim.add_campaign(CAMPAIGN, records=customers, started=True)
        clock.now += 600
        assert sim.campaign(CAMPAIGN).dials == ()
        caller.command("change_status", status="ready")
        clock.now += 600
        assert len(sim.campaign(CAMPAIGN).dials) == 3


def test_buttons_are_hidden_and_shown(sim, caller):
    got = caller.command("agent_display", display="hide", button="hungup")
    done(got, "default", "Agentbox has been hide")
    caller.command("agent_display", display="hide", button="dial")
    assert sim.station(AGENT).hidden == {"hungup", "dial"}
    caller.command("agent_display", display="show", button="hungup")
    assert sim.station(AGENT).hidden == {"dial"}
    for wrong in ({"display": "blink", "button": "dial"}, {"display": "show", "button": "hangup"}):
        refused(caller.command("agent_display", **wrong), "display_wrong")


# Recalls


def test_a_recall_is_scheduled_edited_and_deleted(sim, caller):
    done(sent(caller, "recall", name_recall="ANA"), "Recall has been successful")
    (recall,) = sim.recalls
    assert (recall.campaign_id, recall.customer_id, recall.phone) == (CAMPAIGN, "c0", PHONE)
    assert (recall.style, recall.name, recall.agent_id) == ("auto", "ANA", AGENT)
    assert recall.due == NOON + timedelta(hours=21)
    assert sent(caller, "edit_recall", recall="20260303100000").status == 200
    assert [recall.due for recall in sim.recalls] == [NOON + timedelta(hours=22)]
    assert sent(caller, "delete_recall").status == 200
    assert sim.recalls == ()


def test_an_edit_may_give_another_agent_style_and_name(sim, caller):
    sent(caller, "recall", name_recall="ANA")
    assert sent(caller, "edit_recall", agent="10002", recall_style="manual").status == 200
    (recall,) = sim.recalls
    assert (recall.agent_id, recall.style, recall.name) == ("10002", "manual", "ANA")
    assert sent(caller, "edit_recall", name_recall="BOB").status == 200
    assert sim.recalls[0].name == "BOB"


@pytest.mark.parametrize("name", ["new_date", "rellamada", "date"])
def test_the_new_date_goes_by_no_other_name(sim, caller, name):
    sent(caller, "recall")
    before = sim.recalls
    got = caller.command("edit_recall", method="PUT", **FOUND, **{name: "20260303100000"})
    assert got.json["msg"] == "SOME PARAMETERS ARE REQUIRED"
    assert sim.recalls == before


def test_a_recall_scheduled_twice_is_there_twice(sim, caller):
    for _ in range(2):
        sent(caller, "recall")
    assert len(sim.recalls) == 2


@pytest.mark.parametrize("api", ["edit_recall", "delete_recall"])
@pytest.mark.parametrize("other", [{"id_customer": "c1"}, {"telephone": OTHER}])
def test_a_recall_that_is_not_there_is_neither_edited_nor_deleted(sim, caller, api, other):
    sent(caller, "recall")
    before = sim.recalls
    refused(sent(caller, api, **other), "recall_unknown")
    assert sim.recalls == before


@pytest.mark.parametrize("other", [{"recall_style": "manual"}, {"name_recall": "BOB"}])
def test_a_recall_of_another_style_or_name_is_not_deleted(sim, caller, other):
    sent(caller, "recall")
    refused(sent(caller, "delete_recall", **other), "recall_unknown")
    assert len(sim.recalls) == 1


@pytest.mark.parametrize(
    ("wrong", "reply"),
    [({"recall_style": "later"}, "recall_style_wrong"), ({"rellamada": "tomorrow"}, "recall_date_wrong")],
)
def test_a_recall_that_can_not_be_is_refused(sim, caller, wrong, reply):
    refused(sent(caller, "recall", **wrong), reply)
    assert sim.recalls == ()


def test_a_recall_is_for_a_campaign_that_exists(sim, caller):
    for api in ("recall", "edit_recall", "delete_recall"):
        got = sent(caller, api, id_camp="99999")
        assert (got.status, got.json["msg"]) == (404, "Campaign_id 99999 does not exist in your operation.")


# All of them


@pytest.fixture
def ready_for_all(sim, caller, talking):
    """A call under way and a recall: every API is carried out now."""
    sent(caller, "recall")
    return len(sim.commands)


@pytest.mark.parametrize("api", NEEDED)
def test_every_needed_parameter_is_required(sim, caller, ready_for_all, api):
    for missing in {"agent_id", *NEEDED[api]}:
        got = sent(caller, api, **({"agent": ""} if missing == "agent_id" else {missing: ""}))
        assert got.json == {"code": "400", "error": "BAD REQUEST", "msg": "SOME PARAMETERS ARE REQUIRED"}, missing
    assert len(sim.commands) == ready_for_all


def test_an_edited_recall_needs_its_date(caller, ready_for_all):
    got = caller.command("edit_recall", method="PUT", **FOUND)
    assert got.json["msg"] == "SOME PARAMETERS ARE REQUIRED"


@pytest.mark.parametrize("api", NEEDED)
def test_parameters_in_the_body_are_not_seen(sim, caller, ready_for_all, api):
    target = f"/api/v2/agentbox.php?api={api}"
    got = caller.ask(METHODS.get(api, "POST"), target, caller.headers(), f"agent_id={AGENT}")
    assert got.json["msg"] == "SOME PARAMETERS ARE REQUIRED"


@pytest.mark.parametrize("api", NEEDED)
def test_every_api_has_its_one_method(sim, caller, ready_for_all, api):
    for method in {"GET", "POST", "PUT", "DELETE"} - {METHODS.get(api, "POST")}:
        refused(caller.command(api, method=method, **NEEDED[api]), "wrong_method")
    assert len(sim.commands) == ready_for_all


@pytest.mark.parametrize("api", NEEDED)
def test_an_unknown_agent_is_refused(sim, caller, ready_for_all, api):
    refused(sent(caller, api, agent="20001"), "agent_unknown")
    assert len(sim.commands) == ready_for_all


@pytest.mark.parametrize("api", NEEDED)
def test_no_agent_call_is_counted_by_the_quota(caller_of, clock, api):
    with Simulator(clock=clock, daily_quota=0) as sim:
        caller = caller_of(sim)
        assert caller.token_info().json["msg"] == "TOKEN LIMIT EXCEEDED"
        sim.add_past_call(PHONE, AGENT, seconds_ago=10, talk_seconds=60, campaign_id=CAMPAIGN)
        if api in METHODS:
            sent(caller, "recall")
        if api == "dial":
            clock.now += 100
        assert sent(caller, api).status == 200
        assert sim.commands[-1].api == api
        assert sim.stats().used_today == 0


def state(sim):
    """All that an agent call can change, but for the log of commands."""
    calls = [(call.conn_id, call.what) for call in sim.history if call.type_interaction != "out_pre"]
    return sim.rings, calls, sim.stations, sim.recalls, sim.agents


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.LATENCY])
@pytest.mark.parametrize("api", NEEDED)
def test_faults_hit_every_api_and_what_is_not_done_leaves_no_trace(sim, caller, ready_for_all, api, kind):
    """A request is carried out if the log of commands says so, and only then has anything changed."""
    short = {"seconds": 0.0} if kind.value.startswith("stall") else {"interval": 0.0} if kind.value == "drip" else {}
    sim.fault(kind, api=api, agent_id=AGENT, **short)
    before = state(sim)
    # What the client sees of each fault is another file's matter.
    with contextlib.suppress(OSError, http.client.HTTPException):
        sent(caller, api)
    assert not sim.faults
    carried_out = len(sim.commands) - ready_for_all
    assert carried_out in (0, 1)
    # Tones are nowhere but in the log.
    assert (state(sim) != before) == (carried_out == 1 and api != "dtmf")
    if kind.value.startswith("drop_before") or kind.value == "drop_after_reading":
        assert carried_out == 0
    if kind in (FaultKind.DROP_AFTER_RINGING, FaultKind.CLOSE_AFTER_RINGING):
        assert carried_out == 1


@pytest.mark.parametrize("kind", ["stall", "cut_body", "garbage_body", "server_error"])
@pytest.mark.parametrize("api", NEEDED)
def test_a_fault_may_keep_anything_from_being_done(sim, caller, ready_for_all, api, kind):
    sim.fault(kind, ring=False, **({"seconds": 0.0} if kind == "stall" else {}))
    before = state(sim)
    with contextlib.suppress(OSError, http.client.HTTPException):
        sent(caller, api)
    assert (state(sim), len(sim.commands)) == (before, ready_for_all)


@pytest.mark.parametrize(
    ("api", "phone"),
    [("dial", PHONE), ("transfer", OTHER), ("recall", PHONE), ("edit_recall", PHONE), ("delete_recall", PHONE)],
)
def test_a_fault_is_limited_to_a_phone_by_whichever_name_it_goes(sim, caller, ready_for_all, api, phone):
    sim.fault("busy", phone="573000000000")
    sim.fault("busy", phone=phone, api=api)
    assert sent(caller, api).status == 403
    assert sent(caller, api).status == 200


def test_a_fault_is_limited_to_the_campaign_of_a_recall(sim, caller):
    sim.fault("busy", campaign_id=CAMPAIGN, times=None)
    assert sent(caller, "recall", id_camp="99999").status == 404
    assert sent(caller, "recall").status == 403


@pytest.mark.parametrize(("kind", "data"), [("empty_conn_id", {"conn_id": ""}), ("no_conn_id", {})])
@pytest.mark.parametrize("api", ["dial", "transfer", "type"])
def test_a_conn_id_may_be_empty_or_missing(sim, caller, talking, api, kind, data):
    sim.fault(kind, api=api)
    assert sent(caller, api).json["data"] == data


# Seen from outside


def test_stations_commands_and_recalls_can_be_read_by_other_processes(sim, caller, talking):
    for api in ("hold", "recall", "dtmf"):
        sent(caller, api)
    first, second = caller.control("GET", "/stations").json["stations"]
    call = first.pop("call")
    assert first == {
        "agent_id": AGENT,
        "status": "ready",
        "on_call": True,
        "on_hold": True,
        "muted": False,
        "hidden": [],
    }
    assert (call["phone"], call["conn_id"], second["on_call"], second["call"]) == (PHONE, talking, False, None)
    got = caller.control("GET", "/commands")
    assert sim.token.encode() not in got.body
    told = [(command["api"], command["agent_id"], command["values"]) for command in got.json["commands"]]
    assert told[1:] == [("hold", AGENT, {}), ("recall", AGENT, SCHEDULE), ("dtmf", AGENT, {"tones": "1"})]
    (recall,) = caller.control("GET", "/recalls").json["recalls"]
    assert (recall["customer_id"], recall["due"]) == ("c0", "2026-03-03T09:00:00-05:00")


def test_a_reset_forgets_stations_commands_and_recalls(sim, caller, talking):
    for api in ("hold", "recall", "agent_display"):
        sent(caller, api)
    caller.command("change_status", status="2")
    sim.reset()
    assert (sim.commands, sim.recalls) == ((), ())
    station = sim.station(AGENT)
    assert (station.status, station.on_call, station.on_hold, station.hidden) == ("ready", False, False, frozenset())


def test_waiting_for_a_command_ends_as_it_is_carried_out(sim, caller, talking):
    sim.fault("stall", api="hold")
    with caller.connect() as sock:
        target = f"/api/v2/agentbox.php?api=hold&agent_id={AGENT}"
        sock.sendall(f"POST {target} HTTP/1.1\r\nwolkvox-token: {sim.token}\r\n\r\n".encode())
        assert sim.wait_for(lambda sim: sim.station(AGENT).on_hold)


def test_the_log_shows_no_phone_no_tones_and_no_words_about_a_customer(clock, caller_of):
    lines = []
    with Simulator(clock=clock, log=lines.append) as sim:
        caller = caller_of(sim)
        sim.add_past_call(PHONE, AGENT, seconds_ago=10, talk_seconds=60, campaign_id=CAMPAIGN)
        sent(caller, "dtmf", tones="4111111111111111")
        sent(caller, "type", comments="owes much")
        sent(caller, "recall", name_recall="ANA")
        for api in ("edit_recall", "delete_recall", "transfer"):
            sent(caller, api)
        sent(caller, "dial", customer_name="ANA")
    assert sim.wait_for(lambda _: len(lines) == 7)
    log = "\n".join(lines)
    for secret in (PHONE, OTHER, "4111", "owes", "ANA", sim.token):
        assert secret not in log
    assert log.count("agent_id=10001") == 7
