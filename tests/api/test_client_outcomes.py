"""Every row of the outcome table, judged from the server's side: rings, and requests that arrived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from client_testing import AGENT, PHONE, QUICK, TOKEN, failure_of, lost_after_sending, requests_seen
from raw_server import RawServer, always, answer, envelope

from airflow_provider_wolkvox.api import (
    AgentCall,
    ApiUnavailable,
    NotSent,
    Outcome,
    OutcomeUnknown,
    Refused,
    Resend,
    TokenBusy,
    TokenInfo,
    TokenInvalid,
    TokenQuotaExceeded,
    WolkvoxError,
)
from airflow_provider_wolkvox.simulator import Agent, Envelope, FaultKind, Simulator, Token


@dataclass(frozen=True)
class Row:
    """A fault that hits every request, and what must come of one call.

    :param answers: whether the server ends the exchange; else the client's time does
    """

    kind: str
    raises: type[WolkvoxError] | None
    rings: int
    requests: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    answers: bool = True

    def failure(self, attempt: Callable[[float], WolkvoxError]) -> WolkvoxError:
        """Return how an exchange fails; where no whole answer comes, how it does once it was sent.

        :param attempt: sends one request within the given seconds, and returns how it failed
        """
        return attempt(60.0) if self.answers else lost_after_sending(attempt)

    def __str__(self) -> str:
        return "-".join([self.kind, *(str(value) for value in self.options.values())])


TABLE = [
    # Accepted
    Row("latency", None, rings=1, options={"seconds": 0.05}),
    Row("drip", None, rings=1, options={"interval": 0.0001, "part": "body"}),
    Row("drip", None, rings=1, options={"interval": 0.0001, "part": "head"}),
    Row("int_codes", None, rings=1),
    Row("text_null", None, rings=1),
    Row("empty_conn_id", None, rings=1),
    Row("no_conn_id", None, rings=1),
    # Refused
    Row("quota", TokenQuotaExceeded, rings=0),
    Row("bad_token", TokenInvalid, rings=0),
    Row("no_token", TokenInvalid, rings=0),
    Row("api_off", ApiUnavailable, rings=0),
    Row("no_such_api", Refused, rings=0),
    Row("parameters_missing", Refused, rings=0),
    # Refused, and the only refusal that is sent again
    Row("busy", TokenBusy, rings=0, requests=QUICK.tries),
    # Unknown
    Row("drop_before_reading", OutcomeUnknown, rings=0),
    Row("drop_after_reading", OutcomeUnknown, rings=0),
    Row("drop_after_ringing", OutcomeUnknown, rings=1),
    Row("close_after_ringing", OutcomeUnknown, rings=1),
    Row("stall", OutcomeUnknown, rings=1, answers=False),
    Row("stall_body", OutcomeUnknown, rings=1, answers=False),
    Row("drip", OutcomeUnknown, rings=1, options={"interval": 5.0, "part": "body"}, answers=False),
    Row("drip", OutcomeUnknown, rings=1, options={"interval": 5.0, "part": "head"}, answers=False),
    Row("latency", OutcomeUnknown, rings=1, options={"seconds": 600.0}, answers=False),
    Row("cut_body", OutcomeUnknown, rings=1),
    Row("garbage", OutcomeUnknown, rings=1),
    Row("garbage_body", OutcomeUnknown, rings=1),
    Row("bad_gzip", OutcomeUnknown, rings=1),
    *(
        Row("server_error", OutcomeUnknown, rings=1, options={"status": status, "body": body})
        for status in (500, 502, 503, 504)
        for body in ("html", "json")
    ),
    *(
        Row("redirect", OutcomeUnknown, rings=rings, options={"status": status, "ring": bool(rings)})
        for status in (301, 302, 303, 307, 308)
        for rings in (0, 1)
    ),
    # A reply of one's own: an envelope that nobody has seen yet
    Row("reply", Refused, rings=0, options={"status": 402, "body": envelope("402", "PAYMENT", "?").decode()}),
]

OUTCOMES = {
    NotSent: Outcome.NOT_SENT,
    OutcomeUnknown: Outcome.UNKNOWN,
    **dict.fromkeys([Refused, TokenBusy, TokenQuotaExceeded, TokenInvalid, ApiUnavailable], Outcome.REFUSED),
}


def test_the_table_has_a_row_for_every_fault_of_the_simulator():
    assert {row.kind for row in TABLE} == {kind.value for kind in FaultKind}


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_call_ends_as_the_outcome_table_says(row, sim, connect):
    sim.fault(row.kind, times=None, **row.options)
    if row.raises is None:
        call = connect(sim).aux_call(AGENT, PHONE)
        assert call.agent_id == AGENT
    else:
        failure = row.failure(
            lambda seconds: failure_of(lambda: connect(sim, total_timeout=seconds).aux_call(AGENT, PHONE))
        )
        assert type(failure) is row.raises
        assert failure.outcome is OUTCOMES[row.raises]
        assert failure.api == "aux_call"
    assert sim.wait_for(lambda sim: requests_seen(sim) == row.requests and sim.rings[PHONE] == row.rings)


@pytest.mark.parametrize("row", [row for row in TABLE if row.raises], ids=str)
def test_the_client_makes_the_next_call_after_any_failure(row, sim, connect):
    sim.fault(row.kind, times=row.requests, **row.options)
    client = connect(sim)

    def attempt(seconds: float) -> WolkvoxError:
        client._transport._total_timeout = seconds
        return failure_of(lambda: client.aux_call(AGENT, PHONE))

    assert type(row.failure(attempt)) is row.raises
    client._transport._total_timeout = 60.0
    call = client.aux_call("10002", "573009999999")
    assert call.conn_id == sim.calls[-1].conn_id
    assert sim.rings["573009999999"] == 1
    assert requests_seen(sim) == row.requests + 1


def test_an_accepted_call_has_rung_once_and_carries_the_servers_conn_id(sim, connect):
    before = datetime.now(UTC)
    call = connect(sim).aux_call(AGENT, PHONE)
    assert isinstance(call, AgentCall)
    assert call.conn_id == sim.calls[0].conn_id
    assert before <= call.accepted_at <= datetime.now(UTC)
    assert call.accepted_at.utcoffset() == timedelta(0)
    assert sim.rings == {PHONE: 1}
    assert requests_seen(sim) == 1


def test_a_call_is_frozen(sim, connect):
    call = connect(sim).aux_call(AGENT, PHONE)
    with pytest.raises(AttributeError):
        call.conn_id = "another"


# Sending again


def test_a_busy_token_is_tried_again_until_it_is_free_and_the_phone_rings_once(sim, connect):
    sim.fault("busy", times=2)
    call = connect(sim).aux_call(AGENT, PHONE)
    assert call.conn_id == sim.calls[0].conn_id
    assert sim.rings == {PHONE: 1}
    assert requests_seen(sim) == 3


def test_an_unsent_request_is_tried_again_and_the_phone_rings_once(connect):
    with Simulator(tokens=[TOKEN]) as sim:
        pass  # it has its port now, and nobody listens there
    client = connect(sim)
    tries = []

    def come_up_at_the_third_try(*args, **more):
        tries.append(args)
        if len(tries) == 3:
            sim.start()
        return one_try(*args, **more)

    one_try, client._transport.send = client._transport.send, come_up_at_the_third_try
    try:
        client.aux_call(AGENT, PHONE)
        assert sim.rings == {PHONE: 1}
        assert requests_seen(sim) == 1
        assert len(tries) == 3
    finally:
        sim.stop()


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_tries_bound_how_often_a_busy_token_is_tried(tries, sim, connect):
    sim.fault("busy", times=None)
    with pytest.raises(TokenBusy):
        connect(sim, resend=Resend(tries=tries, within=60, first_wait=0.001)).aux_call(AGENT, PHONE)
    assert requests_seen(sim) == tries


def test_no_further_try_starts_after_the_time_for_them(sim, connect):
    sim.fault("busy", times=None)
    with pytest.raises(TokenBusy):
        connect(sim, resend=Resend(tries=1000, within=0.3, first_wait=0.01)).aux_call(AGENT, PHONE)
    # 0.01 + 0.02 + ... + 0.16 is more than 0.3 with the fifth wait: the waits double.
    assert requests_seen(sim) <= 5


def test_a_wait_that_would_end_after_the_time_is_not_begun(sim, connect):
    sim.fault("busy", times=None)
    # Would it wait, it would longer than a test may take.
    with pytest.raises(TokenBusy):
        connect(sim, resend=Resend(tries=9, within=3600, first_wait=3601)).aux_call(AGENT, PHONE)
    assert requests_seen(sim) == 1


def test_by_default_there_are_four_tries_within_two_minutes_the_waits_doubling_from_a_second():
    assert Resend() == Resend(tries=4, within=120, first_wait=1)
    assert [Resend().wait_after(attempt) for attempt in (1, 2, 3)] == [1, 2, 4]


@pytest.mark.parametrize("wrong", [{"tries": 0}, {"within": 0}, {"first_wait": 0}, {"within": float("nan")}])
def test_a_bound_that_bounds_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Resend(**wrong)


def test_what_follows_a_busy_token_is_not_sent_again_if_its_outcome_is_unknown(sim, connect):
    sim.fault("busy", times=1)
    sim.fault("drop_after_ringing", times=None, after=1)
    with pytest.raises(OutcomeUnknown):
        connect(sim).aux_call(AGENT, PHONE)
    assert sim.rings == {PHONE: 1}
    assert requests_seen(sim) == 2


# What wolkvox itself says


def test_a_token_of_another_account_is_refused_as_invalid(sim, connect):
    with pytest.raises(TokenInvalid):
        connect(sim, token="another-account").aux_call(AGENT, PHONE)
    assert sim.stats("unknown").requests == 1
    assert sim.rings == {}


def test_maintenance_is_refused_as_unavailable(sim, connect):
    sim.maintenance = True
    with pytest.raises(ApiUnavailable):
        connect(sim).aux_call(AGENT, PHONE)
    assert requests_seen(sim) == 1


def test_a_used_up_quota_is_refused_as_such(connect):
    with Simulator(tokens=[TOKEN], daily_quota=1) as sim:
        client = connect(sim)
        client.token_info()
        with pytest.raises(TokenQuotaExceeded):
            client.token_info()
        assert requests_seen(sim) == 2


@pytest.mark.parametrize(
    "agent",
    [
        Agent(AGENT, logged_in=False),
        Agent(AGENT, has_cut_call=False),
        Agent(AGENT, on_call=True),
        Agent("20002"),
    ],
    ids=["logged-out", "no-cut-call", "on-call", "unknown"],
)
def test_an_agent_who_cannot_ring_is_a_plain_refusal(agent, connect):
    with Simulator(tokens=[TOKEN], agents=[agent]) as sim:
        with pytest.raises(Refused) as caught:
            connect(sim).aux_call(AGENT, PHONE)
        assert type(caught.value) is Refused
        assert sim.rings == {}
        assert requests_seen(sim) == 1


def test_an_undocumented_refusal_carries_the_servers_words(sim, connect):
    sim.set_reply("agent_unknown", Envelope(422, "Unprocessable", "agent is on holiday"))
    with pytest.raises(Refused) as caught:
        connect(sim).aux_call("99999", PHONE)
    refused = caught.value
    assert (refused.code, refused.error, refused.msg) == ("422", "Unprocessable", "agent is on holiday")
    assert "agent is on holiday" in str(refused)
    assert "no phone rang" in str(refused)


def test_token_info_tells_the_quota(connect):
    token = Token(TOKEN, limit=500, description="callbacks")
    with Simulator(tokens=[token, "second"]) as sim:
        connect(sim, token="second").token_info()
        info = connect(sim).token_info()
    assert info == TokenInfo("callbacks", 500, 1, 2, 499)


def test_token_info_after_a_fault_is_unknown_and_sent_once(sim, connect):
    sim.fault("cut_body", times=None)
    with pytest.raises(OutcomeUnknown) as caught:
        connect(sim).token_info()
    assert "phone" not in str(caught.value)
    assert requests_seen(sim) == 1


def test_a_server_that_asks_to_come_again_later_is_not_asked_again(connect):
    busy = answer(envelope("503", "BUSY", "later"), "503 Service Unavailable", "Retry-After: 0")
    with RawServer(always(busy)) as server:
        client = connect(server)
        with pytest.raises(OutcomeUnknown):
            client.token_info()
        with pytest.raises(OutcomeUnknown):
            client.aux_call(AGENT, PHONE)
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", ["429 Too Many Requests", "413 Too Large"])
def test_a_4xx_that_asks_to_come_again_later_is_not_asked_again(status, connect):
    refusal = answer(envelope(status[:3], "LATER", "later"), status, "Retry-After: 0")
    with RawServer(always(refusal)) as server:
        with pytest.raises(Refused):
            connect(server).token_info()
        assert len(server.requests) == 1


def test_check_reachable_connects_and_sends_nothing(connect):
    with RawServer(always(b"")) as server:
        connect(server).check_reachable()
        assert server.wait_for_connections(1)
        assert (server.connections, server.received) == (1, b"")


def test_check_reachable_says_that_nobody_listens(connect):
    with Simulator(tokens=[TOKEN]) as sim:
        pass
    with pytest.raises(NotSent, match="refused"):
        connect(sim).check_reachable()


def test_check_reachable_uses_no_token_and_no_quota(sim, connect):
    client = connect(sim)
    client.check_reachable()
    assert requests_seen(sim) == 0
    assert client.token_info().all_token_today == 1
