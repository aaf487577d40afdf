"""All agent APIs against the simulator: what its stations did is what the outcome table says, for every fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from client_testing import AGENT, PHONE, QUICK, TOKEN, failure_of, requests_seen
from test_client_outcomes import OUTCOMES, TABLE

from airflow_provider_wolkvox.api import AgentCall, OutcomeUnknown, Refused, TokenBusy
from airflow_provider_wolkvox.simulator import CallResult, Simulator

CAMPAIGN = "40001"
CUSTOMER = "c0"
COLLEAGUE = "10002"
# Whole seconds, as wolkvox's dates are.
AT = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
LATER = AT + timedelta(hours=1)
WHICH = (AGENT, CAMPAIGN, CUSTOMER, PHONE)
METHODS = {
    "dial": (AGENT, PHONE),
    "transfer": (AGENT, COLLEAGUE),
    "hang": (AGENT,),
    "hold": (AGENT,),
    "mute": (AGENT,),
    "dtmf": (AGENT, "12#"),
    "disposition": (AGENT, "101", "102"),
    "hang_type_ready": (AGENT, "101"),
    "change_status": (AGENT, "2"),
    "agent_display": (AGENT, "dial", "hide"),
    "recall": (*WHICH, AT),
    "edit_recall": (*WHICH, LATER),
    "delete_recall": WHICH,
}
APIS = {method: "type" if method == "disposition" else method for method in METHODS}
TOGGLES = {"hold", "mute"}
# One row for each fault; how each looks in all its variants is tested with aux_call.
ROWS = list({row.kind: row for row in TABLE}.values())


@pytest.fixture
def sim():
    """An operation whose agent 10001 talks with a customer, and whose campaign has one customer with a recall."""
    results = CallResult.of("ANSWER", ring_seconds=0, talk_seconds=3600)
    with Simulator(tokens=[TOKEN], agents=[AGENT, COLLEAGUE], call_results=results) as running:
        running.add_campaign(CAMPAIGN, records=[{"customer_id": CUSTOMER, "tel1": PHONE}])
        yield running


@pytest.fixture
def ready(sim, connect):
    """Bring the operation to where a method has something to act on."""

    def prepare(method: str) -> None:
        client = connect(sim)
        if method in ("edit_recall", "delete_recall"):
            client.recall(*METHODS["recall"])
        elif method != "dial":
            client.dial(AGENT, "573009999999")

    return prepare


def done(sim, method: str) -> int:
    """How often the station did it."""
    return sum(command.api == APIS[method] for command in sim.commands)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_does_at_the_station_what_it_says(method, sim, ready, connect):
    ready(method)
    client = connect(sim)
    given = getattr(client, method)(*METHODS[method])
    station = sim.station(AGENT)
    assert done(sim, method) == 1
    match method:
        case "dial":
            assert (sim.rings, given.conn_id) == ({PHONE: 1}, sim.calls[-1].conn_id)
        case "transfer":
            assert (sim.rings[COLLEAGUE], given.conn_id) == (1, sim.calls[-1].conn_id)
            assert not station.on_call
        case "hang":
            assert not station.on_call
        case "hold":
            assert station.on_hold
        case "mute":
            assert station.muted
        case "dtmf":
            assert given == "tones agentbox has been added "
        case "disposition":
            assert isinstance(given, AgentCall)
            assert given.conn_id == sim.calls[-1].conn_id
            assert station.on_call
        case "hang_type_ready":
            assert (station.on_call, station.status) == (False, "ready")
        case "change_status":
            assert station.status == "2"
        case "agent_display":
            assert station.hidden == {"dial"}
        case "recall":
            [recall] = sim.recalls
            assert (recall.campaign_id, recall.customer_id, recall.phone) == (CAMPAIGN, CUSTOMER, PHONE)
            assert (recall.style, recall.agent_id, recall.due) == ("auto", AGENT, AT)
        case "edit_recall":
            assert [recall.due for recall in sim.recalls] == [LATER]
        case "delete_recall":
            assert not sim.recalls


def test_an_edit_gives_a_recall_another_agent_and_style(sim, connect):
    client = connect(sim)
    client.recall(AGENT, *METHODS["recall"][1:], recall_style="manual")
    client.edit_recall(COLLEAGUE, *METHODS["edit_recall"][1:])
    assert [(recall.agent_id, recall.style, recall.due) for recall in sim.recalls] == [(COLLEAGUE, "auto", LATER)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_method_ends_as_the_outcome_table_says(row, method, sim, ready, connect):
    ready(method)
    before = requests_seen(sim)
    sim.fault(row.kind, times=None, **row.options)
    if row.raises is None:
        getattr(connect(sim), method)(*METHODS[method])
    else:
        failure = row.failure(
            lambda seconds: failure_of(lambda: getattr(connect(sim, total_timeout=seconds), method)(*METHODS[method]))
        )
        assert type(failure) is row.raises
        assert failure.outcome is OUTCOMES[row.raises]
        assert failure.api == APIS[method]
    requests = 1 if method in TOGGLES else row.requests
    assert sim.wait_for(lambda sim: requests_seen(sim) - before == requests and done(sim, method) == row.rings)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - TOGGLES))
def test_a_busy_token_is_tried_again_and_it_is_done_once(method, sim, ready, connect):
    ready(method)
    sim.fault("busy", times=QUICK.tries - 1)
    getattr(connect(sim), method)(*METHODS[method])
    assert done(sim, method) == 1


@pytest.mark.parametrize("method", sorted(TOGGLES))
def test_what_toggles_is_not_tried_again_with_a_busy_token(method, sim, ready, connect):
    ready(method)
    sim.fault("busy", times=1)
    with pytest.raises(TokenBusy):
        getattr(connect(sim), method)(*METHODS[method])
    station = sim.station(AGENT)
    assert (station.on_hold, station.muted) == (False, False)
    assert done(sim, method) == 0


@pytest.mark.parametrize("method", METHODS)
def test_an_agent_who_is_not_logged_in_is_a_plain_refusal(method, sim, connect):
    sim.change_agent(AGENT, logged_in=False)
    with pytest.raises(Refused) as caught:
        getattr(connect(sim), method)(*METHODS[method])
    assert type(caught.value) is Refused
    assert not sim.commands


# Looking for what a request may have done


@pytest.mark.parametrize("method", ["dial", "transfer"])
@pytest.mark.parametrize("prefix", ["", "9"])
def test_a_call_whose_answer_was_lost_is_found_by_the_api_that_made_it(method, prefix, sim, ready, connect):
    ready(method)
    sim.fault("drop_after_ringing", api=method)
    client = connect(sim, dial_prefix=prefix)
    number = "573007654321"
    sent_at = datetime.now(UTC)
    with pytest.raises(OutcomeUnknown):
        getattr(client, method)(AGENT, number)
    found = client.find_call(AGENT, number, sent_at, made_by=method)
    assert found.conn_id == sim.calls[-1].conn_id
    other = "aux_call" if method == "transfer" else "transfer"
    assert client.find_call(AGENT, number, sent_at, made_by=other) is None


def test_a_transfer_to_a_colleague_is_found_by_the_extension(sim, ready, connect):
    ready("transfer")
    sim.fault("drop_after_ringing", api="transfer")
    client, sent_at = connect(sim, dial_prefix="9"), datetime.now(UTC)
    with pytest.raises(OutcomeUnknown):
        client.transfer(AGENT, COLLEAGUE, to_agent=True)
    assert client.find_call(AGENT, COLLEAGUE, sent_at, made_by="transfer").conn_id == sim.calls[-1].conn_id


def test_a_lost_transfer_is_not_settled_with_the_call_that_was_to_be_transferred(sim, ready, connect):
    """The customer is transferred to a number that the same agent has just dialled: two calls with one number."""
    client = connect(sim)
    client.dial(AGENT, PHONE)
    sim.fault("drop_after_reading", api="transfer")
    sent_at = datetime.now(UTC)
    with pytest.raises(OutcomeUnknown):
        client.transfer(AGENT, PHONE)
    assert client.find_call(AGENT, PHONE, sent_at, made_by="transfer") is None


@pytest.mark.parametrize("wrong", ["hang", "", None])
def test_what_makes_no_call_cannot_be_looked_for(wrong, sim, connect):
    with pytest.raises(ValueError, match="made_by"):
        connect(sim).find_call(AGENT, PHONE, datetime.now(UTC), made_by=wrong)
    assert requests_seen(sim) == 0
