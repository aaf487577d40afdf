"""What is done at an agent's station is done once or not at all, and what toggles is never asked for twice."""

from __future__ import annotations

import inspect
import logging
import pickle
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from client_testing import (
    AGENT,
    ONCE,
    PHONE,
    QUICK,
    TOKEN,
    everything_logged,
    everything_said,
    failure_of,
    lost_after_sending,
)
from raw_server import (
    BUSY,
    CONN_ID,
    Peer,
    RawServer,
    always,
    answer,
    envelope,
    refused,
    refusing_address,
    replying,
    unanswering_address,
)

from airflow_provider_wolkvox.api import (
    AgentCall,
    ApiUnavailable,
    NotSent,
    Outcome,
    OutcomeUnknown,
    Refused,
    TokenBusy,
    TokenInvalid,
    TokenQuotaExceeded,
    WolkvoxClient,
    WolkvoxError,
)
from airflow_provider_wolkvox.api.agents import AgentMethods

PREFIX = "9"
CAMPAIGN = "32841"
CUSTOMER = "1020304050"
NAME = "José Peña & Söhne"
COMMENT = "says: call me + 5 pm, 100%?"
TONES = "4111#*"
# Half past ten in Bogota.
AT = datetime(2026, 12, 1, 15, 30, 5, 900, tzinfo=UTC)
STYLE = {"recall_style": "manual", "name_recall": NAME}
WHICH = {"id_camp": CAMPAIGN, "id_customer": CUSTOMER, **STYLE}
SECRET = re.compile(
    "|".join(map(re.escape, [TOKEN, PHONE, CUSTOMER, TONES, NAME, COMMENT, "Peña", "Pe%C3%B1a", "5 pm"]))
)


@dataclass(frozen=True)
class Asked:
    """What is called with which arguments, its request, what accepts it, and what it then gives."""

    arguments: tuple[Any, ...]
    parameters: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    verb: str = "POST"
    api: str = ""
    msg: str = "has been successful"
    data: Any = None
    gives: Any = None
    toggles: bool = False

    @property
    def accepted(self) -> bytes:
        return answer(envelope(msg=self.msg, **({} if self.data is None else {"data": self.data})))

    @property
    def tries(self) -> int:
        """How many requests a token that stays busy gets."""
        return 1 if self.toggles else QUICK.tries


CALL = {"data": {"conn_id": CONN_ID}, "gives": CONN_ID}
ASKED = {
    "aux_call": Asked((AGENT, PHONE), {"customer_phone": PREFIX + PHONE}, **CALL),
    "dial": Asked(
        (AGENT, PHONE),
        {"customer_phone": PREFIX + PHONE, "customer_id": CUSTOMER, "customer_name": NAME},
        {"customer_id": int(CUSTOMER), "customer_name": f" {NAME} "},
        **CALL,
    ),
    "transfer": Asked((AGENT, f"+{PHONE}"), {"customer_phone": PREFIX + PHONE}, **CALL),
    "hang": Asked((AGENT,), {}),
    "hold": Asked((AGENT,), {}, toggles=True),
    "mute": Asked((AGENT,), {}, toggles=True),
    "dtmf": Asked((AGENT, TONES), {"tones": TONES}, data="sent", gives="sent"),
    "disposition": Asked(
        (AGENT, "SALE", "Tarjeta & más"),
        {"cod_act": "SALE", "cod_act_2": "Tarjeta & más", "comments": COMMENT},
        {"comments": COMMENT},
        api="type",
        **CALL,
    ),
    "hang_type_ready": Asked((AGENT, "SALE"), {"cod_act": "SALE", "comments": COMMENT}, {"comments": COMMENT}),
    "change_status": Asked((AGENT, "Ready"), {"status": "ready"}),
    "agent_display": Asked(
        (AGENT, "hungup", "hide"), {"display": "hide", "button": "hungup"}, data="done", gives="done"
    ),
    "recall": Asked(
        (AGENT, CAMPAIGN, CUSTOMER, PHONE, AT), {**WHICH, "telefono": PHONE, "rellamada": "20261201103005"}, STYLE
    ),
    "edit_recall": Asked(
        (AGENT, CAMPAIGN, CUSTOMER, PHONE, AT),
        {**WHICH, "telephone": PHONE, "recall": "20261201103005"},
        STYLE,
        verb="PUT",
    ),
    "delete_recall": Asked((AGENT, CAMPAIGN, CUSTOMER, PHONE), {**WHICH, "telephone": PHONE}, STYLE, verb="DELETE"),
}
RINGING = {"aux_call", "dial", "transfer"}
methods = pytest.mark.parametrize("method", ASKED)
toggles = pytest.mark.parametrize("method", [method for method, asked in ASKED.items() if asked.toggles])
resent = pytest.mark.parametrize("method", [method for method, asked in ASKED.items() if not asked.toggles])


def api_of(method: str) -> str:
    return ASKED[method].api or method


def ask(client: WolkvoxClient, method: str, **options) -> Any:
    """Ask for it; of a call, return its id only."""
    asked = ASKED[method]
    given = getattr(client, method)(*asked.arguments, **asked.options, **options)
    return given.conn_id if isinstance(given, AgentCall) else given


def test_all_fourteen_apis_are_here():
    public = {name for name, _ in inspect.getmembers(AgentMethods, inspect.isfunction) if not name.startswith("_")}
    assert public == set(ASKED)
    assert len(public) == 14


# What goes over the wire


@methods
def test_each_method_sends_one_request_with_all_in_its_query_and_no_body(method, connect):
    asked = ASKED[method]
    with RawServer(always(asked.accepted)) as server:
        assert ask(connect(server, dial_prefix=PREFIX), method) == asked.gives
    [question] = server.asked
    assert (question.method, question.file, question.api) == (asked.verb, "agentbox.php", api_of(method))
    assert question.parameters == {"agent_id": AGENT, **asked.parameters}
    head = server.requests[0].decode("ascii")
    assert head.count(f"\r\nwolkvox-token: {TOKEN}\r\n") == 1
    assert "\r\ncontent-length: 0\r\n" in head.lower()
    assert "content-type" not in head.lower()
    assert server.bodies == [b""]


def test_what_is_optional_is_left_out_of_the_query(connect):
    with RawServer(always(ASKED["dial"].accepted)) as server:
        client = connect(server)
        client.dial(AGENT, PHONE)
        client.dial(AGENT, PHONE, customer_id="", customer_name=" ")
        client.disposition(AGENT, "SALE", "CARD")
        client.hang_type_ready(AGENT, "SALE", None)
        client.delete_recall(AGENT, CAMPAIGN, 7, PHONE)
    number, codes = {"customer_phone": PHONE}, {"cod_act": "SALE", "cod_act_2": "CARD"}
    which = {"id_camp": CAMPAIGN, "id_customer": "7", "telephone": PHONE, "recall_style": "auto"}
    assert [{**asked.parameters, "agent_id": ""} for asked in server.asked] == [
        {"agent_id": "", **rest} for rest in (number, number, codes, {"cod_act": "SALE"}, which)
    ]


def test_a_second_code_is_sent_with_a_hang_up_too(connect):
    with RawServer(always(ASKED["hang_type_ready"].accepted)) as server:
        connect(server).hang_type_ready(AGENT, "SALE", "CARD")
    assert server.asked[0].parameters == {"agent_id": AGENT, "cod_act": "SALE", "cod_act_2": "CARD"}


@pytest.mark.parametrize("extension", ["10002", 10002, "7"])
def test_no_prefix_is_put_before_a_colleagues_extension(extension, connect):
    with RawServer(always(ASKED["transfer"].accepted)) as server:
        connect(server, dial_prefix=PREFIX).transfer(AGENT, extension, to_agent=True)
    assert server.asked[0].parameters == {"agent_id": AGENT, "customer_phone": str(extension)}


@pytest.mark.parametrize(
    ("at", "zone", "date"),
    [
        (AT, "America/Bogota", "20261201103005"),
        (AT.astimezone(ZoneInfo("Asia/Tokyo")), "America/Bogota", "20261201103005"),
        (AT, "America/Santiago", "20261201123005"),
        (datetime(2027, 1, 1, 2, tzinfo=UTC), "America/Bogota", "20261231210000"),
    ],
)
@pytest.mark.parametrize("method", ["recall", "edit_recall"])
def test_a_recalls_date_is_by_the_clock_of_the_clients_zone(method, at, zone, date, connect):
    with RawServer(always(ASKED[method].accepted)) as server:
        getattr(connect(server, reports_timezone=zone), method)(AGENT, CAMPAIGN, CUSTOMER, PHONE, at)
    name = {"recall": "rellamada", "edit_recall": "recall"}[method]
    assert server.asked[0].parameters[name] == date


@pytest.mark.parametrize("status", ["ready", "logout", "17", 17, "lunch_break"])
def test_a_state_is_sent_as_it_was_given(status, connect):
    with RawServer(always(ASKED["change_status"].accepted)) as server:
        connect(server).change_status(AGENT, status)
    assert server.asked[0].parameters["status"] == str(status)


# Accepted


@methods
@pytest.mark.parametrize(
    "reply",
    [
        answer(envelope(code=200)),
        answer(envelope("201"), "201 Created"),
        answer(envelope("202"), "202 Accepted"),
        answer(envelope(error="null")),
        answer(envelope(data=None)),
        answer(envelope(data={})),
        answer(envelope(data=[])),
        answer(envelope(data={"conn_id": ""})),
    ],
    ids=["number", "201", "202", "text null", "no data", "empty object", "empty list", "empty id"],
)
def test_every_success_is_one_whatever_it_tells(reply, method, connect):
    with RawServer(always(reply)) as server:
        given = ask(connect(server), method)
        assert len(server.requests) == 1
    if ASKED[method].gives is None:
        assert given is None
    elif ASKED[method].gives == CONN_ID:
        assert given == ""
    else:
        assert isinstance(given, str)


@pytest.mark.parametrize("method", [*sorted(RINGING), "disposition"])
def test_a_call_tells_its_agent_and_when_it_was_accepted(method, connect):
    before = datetime.now(UTC)
    with RawServer(always(ASKED[method].accepted)) as server:
        call = getattr(connect(server), method)(*ASKED[method].arguments)
    assert (call.agent_id, call.conn_id) == (AGENT, CONN_ID)
    assert before <= call.accepted_at <= datetime.now(UTC)
    assert call.accepted_at.utcoffset() == timedelta(0)


# Refused

REFUSALS = {
    "quota": (refused("403", "FORBIDDEN", "TOKEN LIMIT EXCEEDED"), TokenQuotaExceeded),
    "token": (refused("403", "FORBIDDEN", "PLEASE VALIDATE TOKEN"), TokenInvalid),
    "no token": (refused("401", "UNAUTHORIZED", "PLEASE ENTER THE WOLKVOX-TOKEN"), TokenInvalid),
    "off": (refused("403", "FORBIDDEN", "BACKUP IN PROGRESS"), ApiUnavailable),
    "no api": (refused("400", "BAD REQUEST", "THE API YOU WANT TO CONSULT DOES NOT EXIST"), Refused),
    "parameters": (refused("400", "BAD REQUEST", "SOME PARAMETERS ARE REQUIRED"), Refused),
    "nobody knows": (refused("404", "Not Found", "the agent has no call"), Refused),
    "in a 200": (answer(envelope("404", "Not Found", "the agent has no call")), Refused),
}


@methods
@pytest.mark.parametrize(("reply", "kind"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_raised_as_what_it_is_and_never_sent_again(reply, kind, method, connect):
    with RawServer(always(reply)) as server:
        with pytest.raises(WolkvoxError) as caught:
            ask(connect(server), method)
        assert len(server.requests) == 1
    assert type(caught.value) is kind
    assert caught.value.outcome is Outcome.REFUSED
    assert caught.value.api == api_of(method)
    assert "did not act" in str(caught.value)
    assert ("no phone rang" in str(caught.value)) == (method in RINGING)


# Unknown


def reset(peer: Peer) -> None:
    peer.request()
    peer.reset()


def close(peer: Peer) -> None:
    peer.request()


def stall(peer: Peer) -> None:
    peer.request()
    peer.hang()


def cut(peer: Peer) -> None:
    peer.request()
    peer.send(answer(envelope())[:-5])


def reset_in_the_body(peer: Peer) -> None:
    peer.request()
    peer.send(answer(envelope())[:-5])
    peer.reset()


UNKNOWN = {
    "reset": reset,
    "closed": close,
    "stalled": stall,
    "cut": cut,
    "reset in the body": reset_in_the_body,
    "no HTTP": always(b"\x00\x01\x02 nothing\r\n\r\n"),
    "no JSON": always(answer(b"<html>")),
    "no envelope": always(answer(b"[]")),
    "500": always(answer(envelope("500", "x", "y"), "500 Internal Server Error")),
    "503": always(answer(b"later", "503 Service Unavailable", "Retry-After: 0")),
    "302": always(answer(b"", "302 Found", "Location: /elsewhere")),
    "307": always(answer(b"", "307 Temporary Redirect", "Location: /api/v2/agentbox.php")),
    "contradiction": always(answer(envelope("200", "BAD", "x"))),
    "code of no meaning": always(answer(envelope("0"))),
}


@methods
@pytest.mark.parametrize("serve", UNKNOWN.values(), ids=UNKNOWN)
def test_an_outcome_that_nobody_saw_is_unknown_and_never_sent_again(serve, method, connect):
    def attempt(seconds: float) -> WolkvoxError:
        with RawServer(serve) as server:
            failure = failure_of(lambda: ask(connect(server, total_timeout=seconds, resend=ONCE), method))
            assert server.wait_for_requests(1) or type(failure) is NotSent
            assert len(server.requests) <= 1
            return failure

    failure = lost_after_sending(attempt) if serve is stall else attempt(60.0)
    assert failure.outcome is Outcome.UNKNOWN
    assert failure.api == api_of(method)
    assert "It was not sent again" in str(failure)
    assert ("the phone may have rung" in str(failure)) == (method in RINGING)


@methods
def test_a_connection_reset_before_the_request_was_read_is_never_sent_again_once_a_byte_was(method, connect):
    with RawServer(Peer.reset) as server:
        told = []
        options = {} if ASKED[method].toggles else {"before_resending": told.append}
        with pytest.raises((NotSent, OutcomeUnknown)):
            ask(connect(server), method, **options)
        # Whichever it was, only what was not sent was followed by another try.
        assert {type(failure) for failure in told} <= {NotSent}
        assert server.connections == len(told) + 1


@methods
def test_the_next_request_is_made_after_any_failure(method, connect):
    def serve(peer: Peer) -> None:
        while peer.request():
            if peer.number == 1:
                return
            peer.send(ASKED[method].accepted)

    with RawServer(serve) as server:
        client = connect(server)
        with pytest.raises(OutcomeUnknown):
            ask(client, method)
        assert ask(client, method) == ASKED[method].gives


# Not sent


@methods
def test_a_refused_connection_is_not_sent(method, connect):
    with refusing_address() as (host, port), pytest.raises(NotSent) as caught:
        ask(connect(f"http://{host}:{port}"), method)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert caught.value.api == api_of(method)
    assert "It did not reach wolkvox" in str(caught.value)


@methods
def test_a_connection_that_never_comes_about_is_not_sent(method, connect):
    with unanswering_address() as (host, port), pytest.raises(NotSent):
        ask(connect(f"http://{host}:{port}", connect_timeout=0.05), method)


@methods
def test_a_certificate_of_an_unknown_authority_gets_no_request(method, connect, tls):
    with RawServer(always(ASKED[method].accepted), tls("127.0.0.1")) as server:
        with pytest.raises(NotSent, match="certificate"):
            ask(connect(server), method)
        assert server.received == b""


@methods
def test_a_stopped_client_sends_nothing(method, connect):
    with RawServer(always(ASKED[method].accepted)) as server:
        client = connect(server)
        client.stop()
        with pytest.raises(NotSent):
            ask(client, method)
        assert server.received == b""


@methods
@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, NotSent])
def test_what_before_sending_raises_comes_out_unchanged_with_nothing_sent(method, kind, connect):
    veto = kind("another", "no")

    def refuse() -> None:
        raise veto

    with RawServer(always(ASKED[method].accepted)) as server:
        with pytest.raises(kind) as caught:
            ask(connect(server), method, before_sending=refuse)
        assert caught.value is veto
        assert server.received == b""


# Sending again


@resent
def test_a_busy_token_is_tried_again_with_the_same_request(method, connect):
    replies = iter([BUSY, BUSY, ASKED[method].accepted])
    told = []
    with RawServer(replying(lambda asked: next(replies))) as server:
        given = ask(connect(server), method, before_resending=told.append)
    assert given == ASKED[method].gives
    assert [type(failure) for failure in told] == [TokenBusy] * 2
    assert len(server.requests) == 3
    assert len(set(server.requests)) == 1


@methods
def test_a_token_that_stays_busy_ends_it(method, connect):
    with RawServer(always(BUSY)) as server:
        with pytest.raises(TokenBusy):
            ask(connect(server), method)
        assert len(server.requests) == ASKED[method].tries


@resent
def test_what_was_not_sent_is_tried_again(method, connect, tls):
    with RawServer(Peer.reset) as server:
        told = []
        with pytest.raises(NotSent):
            ask(connect(f"https://127.0.0.1:{server.port}"), method, before_resending=told.append)
        assert server.connections == QUICK.tries
    assert [type(failure) for failure in told] == [NotSent] * (QUICK.tries - 1)


@toggles
def test_what_toggles_is_never_sent_again_not_even_what_was_certainly_not_sent(method, connect, caplog):
    with RawServer(Peer.reset) as server:
        with pytest.raises(NotSent):
            ask(connect(f"https://127.0.0.1:{server.port}"), method)
        assert server.connections == 1
    assert "again in" not in caplog.text
    assert "toggles" in getattr(AgentMethods, method).__doc__
    assert "Never sent again" in getattr(AgentMethods, method).__doc__


# Arguments that cannot be right

WHICH_RECALL = (AGENT, CAMPAIGN, CUSTOMER, PHONE)
RECALLS = {"recall": (AT,), "edit_recall": (AT,), "delete_recall": ()}


def replaced(arguments: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*arguments[:place], value, *arguments[place + 1 :])


WRONG = [
    *(
        (method, replaced(asked.arguments, 0, agent), {}, "agent_id")
        for method, asked in ASKED.items()
        for agent in ("", "Ana", None, True, 1.0, "1&api=hang", "٤٢")
    ),
    *(
        (method, (AGENT, phone), {}, "customer_phone")
        for method in sorted(RINGING)
        for phone in ("", "1234", "1" * 21, "300x5550101", None, True, 3005550101.0)
    ),
    *(("transfer", (AGENT, target), {"to_agent": True}, "customer_phone") for target in ("", "Ana", None, 1.5)),
    *(("dial", (AGENT, PHONE), {"customer_id": value}, "customer_id must be text") for value in (True, 1.5, ["1"])),
    *(("dial", (AGENT, PHONE), {"customer_name": value}, "customer_name must be text") for value in (True, {}, b"x")),
    *(("dtmf", (AGENT, tones), {}, "tones") for tones in ("", " ", "12a", "1 2", "1&2", 12, None, "٤")),
    *(("disposition", (AGENT, code, "X"), {}, "cod_act ") for code in ("", " ", None, 1.5)),
    *(("disposition", (AGENT, "X", code), {}, "cod_act_2") for code in ("", " ", None, 1.5)),
    ("disposition", (AGENT, "X", "Y"), {"comments": 1.5}, "comments must be text"),
    *(("hang_type_ready", (AGENT, code), {}, "cod_act ") for code in ("", " ", None, 1.5)),
    ("hang_type_ready", (AGENT, "X", 1.5), {}, "cod_act_2 must be text"),
    *(("change_status", (AGENT, status), {}, "status") for status in ("", " ", None, True, 1.5, "not ready", "a&b")),
    *(("agent_display", (AGENT, button, "hide"), {}, "button") for button in ("", "hangup", "Dial", None)),
    *(("agent_display", (AGENT, "dial", display), {}, "display") for display in ("", "Hide", True, None)),
    *(
        (method, (*replaced(WHICH_RECALL, place, value), *at), options, why)
        for method, at in RECALLS.items()
        for place, value, options, why in [
            *((1, campaign, {}, "campaign_id") for campaign in ("", "all", "x", None)),
            *((2, customer, {}, "customer_id") for customer in ("", " ", None, 1.5, True)),
            *((3, phone, {}, "customer_phone") for phone in ("", "12", "x", None)),
            *((0, AGENT, {"recall_style": style}, "recall_style") for style in ("", "Auto", None)),
            (0, AGENT, {"name_recall": 1.5}, "name_recall must be text"),
        ]
    ),
    *(
        (method, (*WHICH_RECALL, at), {}, "at ")
        for method in ("recall", "edit_recall")
        for at in (datetime(2026, 12, 1, 10), "2026-12-01T10:00:00-05:00", None, 1.5)
    ),
    ("recall", (*WHICH_RECALL, datetime.min.replace(tzinfo=UTC)), {}, "at "),
]


@pytest.mark.parametrize(("method", "given", "options", "why"), WRONG)
def test_an_argument_that_cannot_be_right_is_refused_with_nothing_sent(method, given, options, why, connect):
    with RawServer(always(ASKED[method].accepted)) as server:
        with pytest.raises(ValueError, match=why) as caught:
            getattr(connect(server), method)(*given, **options)
        assert server.received == b""
    assert not re.search(f"{PHONE}|{CUSTOMER}|300x5550101", everything_said(caught.value))


# Secrets


def echoes(asked: Asked) -> str:
    from urllib.parse import urlencode

    return f"{TOKEN} {PHONE} {urlencode(asked.parameters)} " + " ".join(asked.parameters.values())


@methods
def test_neither_token_nor_a_customers_data_is_said_at_any_level(method, connect, caplog):
    for name in (None, "urllib3", "requests", "airflow_provider_wolkvox"):
        caplog.set_level(logging.DEBUG, logger=name)
    asked = ASKED[method]
    echo = echoes(asked)
    replies = iter([refused("404", "Not Found", echo), answer(echo.encode(), "500 ?"), answer(envelope("x", echo))])
    with RawServer(replying(lambda question: next(replies))) as server:
        client = connect(server, dial_prefix=PREFIX)
        for kind in (Refused, OutcomeUnknown, OutcomeUnknown):
            with pytest.raises(kind) as caught:
                ask(client, method)
            said = everything_said(caught.value) + repr(pickle.dumps(caught.value)) + repr(client._transport.exchange)
            assert not SECRET.findall(said)
    with refusing_address() as (host, port), pytest.raises(NotSent) as caught:
        ask(connect(f"http://{host}:{port}", dial_prefix=PREFIX), method)
    assert not SECRET.findall(everything_said(caught.value))
    assert not SECRET.findall(everything_logged(caplog.records))


@methods
def test_a_success_says_neither_token_nor_a_customers_data(method, connect, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with RawServer(always(ASKED[method].accepted)) as server:
        client = connect(server, dial_prefix=PREFIX)
        asked = ASKED[method]
        given = getattr(client, method)(*asked.arguments, **asked.options)
    assert not SECRET.findall(repr(given) + everything_logged(caplog.records) + "".join(capfd.readouterr()))


def test_a_short_id_that_is_hidden_leaves_the_servers_words_legible(connect):
    reply = refused("404", "Not Found", "customer 1 has no record in 2 of 10 lists")
    with RawServer(always(reply)) as server, pytest.raises(Refused) as caught:
        connect(server).recall(AGENT, CAMPAIGN, "1", PHONE, AT)
    assert caught.value.msg == "customer *** has no record in 2 of 10 lists"
