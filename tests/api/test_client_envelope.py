"""From the bytes of an answer to what the API said."""

from __future__ import annotations

import json
import re

import pytest
from client_testing import AGENT, PHONE, TOKEN
from hypothesis import example, given
from hypothesis import strategies as st
from raw_server import CONN_ID, RawServer, always, answer, envelope

from airflow_provider_wolkvox.api import (
    ApiUnavailable,
    OutcomeUnknown,
    Refused,
    TokenBusy,
    TokenInvalid,
    TokenQuotaExceeded,
    WolkvoxError,
)
from airflow_provider_wolkvox.api.envelope import Envelope, read_envelope, text_of

BUSY = "EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)"

REFUSALS = [
    # HTTP status, body's code, error, msg -> class
    (400, "400", "BAD REQUEST", "THE API YOU WANT TO CONSULT DOES NOT EXIST", Refused),
    (400, "400", "BAD REQUEST", "SOME PARAMETERS ARE REQUIRED", Refused),
    (401, "401", "UNAUTHORIZED", "PLEASE ENTER THE WOLKVOX-TOKEN", TokenInvalid),
    (403, "403", "FORBIDDEN", "TOKEN LIMIT EXCEEDED", TokenQuotaExceeded),
    (403, "403", "FORBIDDEN", BUSY, TokenBusy),
    (403, "403", "FORBIDDEN", BUSY.replace("2", "3"), TokenBusy),
    (403, "403", "FORBIDDEN", BUSY.lower(), TokenBusy),
    (403, "403", "FORBIDDEN", "PLEASE VALIDATE TOKEN", TokenInvalid),
    (403, "403", "FORBIDDEN", "the server is being backed up", ApiUnavailable),
    (403, "403", "FORBIDDEN", None, ApiUnavailable),
    (403, "403", None, "", ApiUnavailable),
    (403, 403, "FORBIDDEN", "PLEASE VALIDATE TOKEN", TokenInvalid),
    (200, "403", "FORBIDDEN", "TOKEN LIMIT EXCEEDED", TokenQuotaExceeded),
    (200, 403, "FORBIDDEN", BUSY, TokenBusy),
    (403, "404", "Not Found", BUSY, Refused),
    (404, "404", "Not Found", "Validate dates entered", Refused),
    (404, "404", "null", "", Refused),
    (402, "402", "PAYMENT REQUIRED", "", Refused),
    (422, "422", "-", "a validation message", Refused),
    (429, "429", "TOO MANY", "slow down", Refused),
    (499, "499", "?", "?", Refused),
]

UNKNOWN = {
    "html": (200, b"<html>Welcome</html>"),
    "html without envelope under 404": (404, b"<html><h1>404 Not Found</h1></html>"),
    "empty": (200, b""),
    "empty under 204": (204, b""),
    "bare list": (200, b'[{"conn_id": "1"}]'),
    "bare text": (200, b'"200"'),
    "bare number": (200, b"200"),
    "null": (200, b"null"),
    "no code": (200, b'{"error": null, "msg": "Type has been successful", "data": {"conn_id": "1"}}'),
    "code null": (200, envelope(None)),
    "code empty with a list": (200, envelope("", data=[{"conn_id": "1"}])),
    "code 0 with a list": (200, envelope("0", data=[{"conn_id": "1"}])),
    "code empty": (200, envelope("")),
    "code 0": (200, envelope("0")),
    "code 204": (200, envelope("204")),
    "code true": (200, envelope(True)),
    "code 200.0": (200, envelope(200.0)),
    "code 0200": (200, envelope("0200")),
    "code in other digits": (200, envelope("２００")),
    "refusal in other digits": (400, envelope("４００")),
    "code 500 under 200": (200, envelope("500", "?", "?")),
    "code 302 under 200": (200, envelope("302")),
    "code 200 under 404": (404, envelope("200")),
    "code 200 under 400": (400, envelope("200")),
    "code 500 under 400": (400, envelope("500", "?", "?")),
    "error beside 200": (200, envelope("200", "BAD REQUEST")),
    "error false": (200, envelope("200", False)),
    "error list": (200, envelope("200", [])),
    "two documents": (200, envelope() + envelope()),
    "half a document": (200, envelope()[:-2]),
    "another encoding": (200, envelope().decode().encode("utf-16")),
    "an endless number": (200, b'{"code": ' + b"2" * 10_000 + b"}"),
    "nested without end": (200, b"[" * 200_000),
    "nested deep in data": (200, b'{"code": "200", "data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "accepted under 500": (500, envelope()),
    "refused under 500": (500, envelope("403", "FORBIDDEN", BUSY)),
    "refused under 302": (302, envelope("403", "FORBIDDEN", BUSY)),
    "accepted under 302": (302, envelope()),
    "accepted under 103": (103, envelope()),
    "refused under 600": (600, envelope("403", "FORBIDDEN", BUSY)),
}

ACCEPTED = {
    "as captured": (200, envelope(data={"conn_id": CONN_ID})),
    "code 201": (201, envelope("201")),
    "code 202": (202, envelope("202")),
    "int code": (200, envelope(200)),
    "code differs from status": (200, envelope("201")),
    "code with blanks": (200, envelope(" 200 ")),
    "error the text null": (200, envelope("200", "null")),
    "error empty": (200, envelope("200", "")),
    "error absent": (200, b'{"code": "200", "msg": "ok"}'),
    "msg absent": (200, b'{"code": "200", "error": null}'),
    "msg no text": (200, envelope(msg=["a", 1])),
    "a byte order mark": (200, b"\xef\xbb\xbf" + envelope()),
    "a latin-1 name": (200, envelope(data={"agent_name": "PENA"}).replace(b"PENA", b"PE\xd1A")),
    "a nul": (200, envelope(data={"agent_name": "\0"})),
    "large": (200, envelope(data=[{"row": "x" * 100}] * 400)),
    "unknown keys": (200, envelope(records=[], warning="none")),
}


def read(status: int, body: bytes, api: str = "aux_call") -> Envelope:
    # A byte at a time at first, so that what belongs together comes apart.
    pieces = [body[place : place + 1] for place in range(len(body[:500]))] + [body[500:]]
    return read_envelope(api, status, text_of(pieces), lambda text: text)


@pytest.mark.parametrize(("status", "code", "error", "msg", "kind"), REFUSALS)
def test_an_envelope_with_a_4xx_is_refused_as(status, code, error, msg, kind):
    with pytest.raises(Refused) as caught:
        read(status, envelope(code, error, msg))
    refused = caught.value
    assert type(refused) is kind
    assert refused.code == str(code)
    assert refused.error == (error if error not in (None, "null") else "")
    assert refused.msg == (msg or "")


@pytest.mark.parametrize(("status", "body"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_relied_on_is_unknown(status, body):
    with pytest.raises(OutcomeUnknown):
        read(status, body)


@pytest.mark.parametrize(("status", "body"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_success_in_any_known_spelling_is_accepted(status, body):
    assert read(status, body).code in {"200", "201", "202"}


WIRE = {
    **{name: UNKNOWN[name] for name in ("html without envelope under 404", "bare list", "empty", "code 200 under 404")},
    **{name: ACCEPTED[name] for name in ("a byte order mark", "a latin-1 name", "large", "code 202")},
}


@pytest.mark.parametrize("name", WIRE)
def test_over_the_wire_the_same_is_read_and_sent_once(name, connect):
    status, body = WIRE[name]
    with RawServer(always(answer(body, f"{status} ?"))) as server:
        client = connect(server)
        if name in ACCEPTED:
            client.aux_call(AGENT, PHONE)
        else:
            with pytest.raises(OutcomeUnknown):
                client.aux_call(AGENT, PHONE)
        assert len(server.requests) == 1


CONN_IDS = {
    "given": ({"conn_id": CONN_ID}, CONN_ID),
    "with blanks": ({"conn_id": f" {CONN_ID}\n"}, CONN_ID),
    "empty": ({"conn_id": ""}, ""),
    "missing": ({}, ""),
    "null": ({"conn_id": None}, ""),
    "a number": ({"conn_id": 12462}, "12462"),
    "in a list": ([{"conn_id": CONN_ID}], CONN_ID),
    "data an empty list": ([], ""),
    "data null": (None, ""),
    "data a text": ("done", ""),
    "data a list of texts": (["done"], ""),
    "data a number": (7, ""),
}


@pytest.mark.parametrize(("data", "conn_id"), CONN_IDS.values(), ids=CONN_IDS)
def test_an_accepted_call_has_the_conn_id_or_none_in_whatever_form_it_comes(data, conn_id, connect):
    with RawServer(always(answer(envelope(data=data)))) as server:
        assert connect(server).aux_call(AGENT, PHONE).conn_id == conn_id


def test_an_accepted_call_without_any_data_has_no_conn_id(connect):
    with RawServer(always(answer(envelope()))) as server:
        assert connect(server).aux_call(AGENT, PHONE).conn_id == ""


@pytest.mark.parametrize("nothing", [False, True, [], {}, ["x"]])
def test_what_is_neither_text_nor_number_is_no_conn_id(nothing, connect):
    with RawServer(always(answer(envelope(data={"conn_id": nothing})))) as server:
        assert connect(server).aux_call(AGENT, PHONE).conn_id == ""


@pytest.mark.parametrize(
    ("field", "count"),
    [("500", 500), (500, 500), ("1,000", 1000), (" 7 ", 7), ("", None), ("-", None), (None, None), ([], None)],
)
def test_a_quota_is_a_number_or_none(field, count, connect):
    with RawServer(always(answer(envelope(data=[{"token_limit": field}])))) as server:
        info = connect(server).token_info()
    assert info.token_limit == count
    assert info.all_token_today is None


def test_the_class_of_a_refusal_does_not_hang_on_the_masking_of_its_text(connect):
    busy = answer(envelope("403", "FORBIDDEN", BUSY), "403 Forbidden")
    with RawServer(always(busy)) as server, pytest.raises(TokenBusy):
        connect(server, token="TOKEN").aux_call(AGENT, PHONE)


# Anything at all

_codes = st.one_of(
    st.sampled_from(["200", "201", "202", 200, 201, 202, "400", "401", "403", 403, "404", "500", "", "0", None, True]),
    st.text(max_size=4),
    st.integers(),
    st.floats(),
    st.lists(st.integers(), max_size=2),
)
_errors = st.one_of(st.none(), st.sampled_from(["null", "", "FORBIDDEN", False, 0]), st.text(max_size=5))
_envelopes = st.fixed_dictionaries(
    {},
    optional={
        "code": _codes,
        "error": _errors,
        "msg": st.one_of(st.none(), st.text(max_size=20), st.just(BUSY)),
        "data": st.one_of(st.none(), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)),
    },
).map(lambda content: json.dumps(content).encode())
_bodies = st.one_of(st.binary(), _envelopes, _envelopes.map(lambda body: body[:-1]), st.just(b"[" * 100_000))


def _said(body: bytes) -> dict:
    """Return what a body says by a reading of our own; {} if it says nothing."""
    try:
        content = json.loads(body.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@given(status=st.one_of(st.sampled_from([200, 201, 202, 302, 400, 403, 404, 500]), st.integers()), body=_bodies)
@example(status=200, body=envelope())
@example(status=403, body=envelope("403", "FORBIDDEN", BUSY))
def test_any_answer_is_accepted_refused_or_unknown_and_never_more_than_it_says(status, body):
    said = _said(body)
    try:
        result: Envelope | WolkvoxError = read(status, body)
    except WolkvoxError as error:
        result = error
    if isinstance(result, Envelope):
        assert 200 <= status < 300
        assert str(said["code"]).strip() == result.code
        assert result.code in {"200", "201", "202"}
        assert said.get("error") in (None, "null") or not said["error"].strip()
    elif isinstance(result, Refused):
        assert 200 <= status < 300 or 400 <= status < 500
        assert str(said["code"]).strip() == result.code
        assert re.fullmatch("4[0-9]{2}", result.code)
    else:
        assert type(result) is OutcomeUnknown


def test_a_number_of_the_server_reaches_no_message_whole():
    with pytest.raises(OutcomeUnknown) as caught:
        read_envelope("aux_call", 200, envelope(f"x{PHONE}", TOKEN).decode(), lambda text: "(presented)")
    assert PHONE not in str(caught.value)
    assert TOKEN not in str(caught.value)
