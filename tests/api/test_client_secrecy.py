"""Neither the token nor a whole phone number reaches a log, an exception or a repr; errors keep their words."""

from __future__ import annotations

import copy
import http.client
import logging
import pickle
import re
import subprocess
import sys
import warnings

import pytest
from client_testing import AGENT, ONCE, PHONE, QUICK, TOKEN, everything_logged, everything_said, failure_of
from raw_server import RawServer, accepted, always, answer, envelope, refusing_address, unanswering_address
from test_client_outcomes import TABLE

from airflow_provider_wolkvox.api import (
    ApiUnavailable,
    NotSent,
    Outcome,
    OutcomeUnknown,
    Refused,
    TokenBusy,
    TokenInvalid,
    TokenQuotaExceeded,
    WolkvoxError,
)

PREFIX = "9"
SECRETS = (TOKEN, PHONE, PREFIX + PHONE)
HIDDEN = re.compile("|".join(map(re.escape, SECRETS)), re.IGNORECASE)


def let_slip(text: str) -> list[str]:
    return HIDDEN.findall(text)


@pytest.fixture
def loud(monkeypatch, caplog, capfd):
    """Switch on all that can be: every logger at DEBUG, http.client's own printing, warnings.

    Returns a function that tells all that was said so far.
    """
    caplog.set_level(logging.DEBUG)
    for name in (None, "urllib3", "requests", "airflow_provider_wolkvox"):
        caplog.set_level(logging.DEBUG, logger=name)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    monkeypatch.setattr(http.client.HTTPResponse, "debuglevel", 1, raising=False)

    def all_said() -> str:
        out, err = capfd.readouterr()
        return "\n".join([everything_logged(caplog.records), out, err])

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield lambda: all_said() + "\n".join(str(warning.message) for warning in warned)


def insides(client) -> str:
    """Return the reprs of a client and of what it is made of."""
    seen: list[object] = [client, client._transport, client._transport._session]
    return "\n".join([*map(repr, seen), *map(str, seen), repr(client._transport._session.adapters)])


@pytest.mark.parametrize("row", [row for row in TABLE if row.raises], ids=str)
def test_no_fault_of_the_server_lets_a_secret_slip(row, sim, connect, loud):
    sim.fault(row.kind, times=None, **row.options)
    client = connect(sim, dial_prefix=PREFIX)

    def attempt(seconds: float) -> WolkvoxError:
        client._transport._total_timeout = seconds
        return failure_of(lambda: client.aux_call(AGENT, f"+{PHONE}"))

    failure = row.failure(attempt)
    assert type(failure) is row.raises
    said = loud()
    assert "127.0.0.1" in said  # urllib3 does talk
    assert not let_slip(said)
    assert not let_slip(everything_said(failure))
    again = pickle.loads(pickle.dumps(failure))
    assert not let_slip(everything_said(again))
    assert not let_slip(repr(pickle.dumps(failure)))
    assert not let_slip(insides(client))


def test_no_success_lets_a_secret_slip(sim, connect, loud):
    client = connect(sim, dial_prefix=PREFIX)
    call = client.aux_call(AGENT, PHONE)
    info = client.token_info()
    assert not let_slip(loud())
    assert not let_slip(f"{call!r} {info!r} {insides(client)}")


def test_http_clients_debug_output_is_really_switched_on(sim, loud):
    """The test of the tests: a plain connection would print the request."""
    connection = http.client.HTTPConnection("127.0.0.1", sim.port)
    connection.request("POST", f"/?customer_phone={PHONE}", headers={"wolkvox-token": TOKEN})
    connection.getresponse().read()
    connection.close()
    assert set(let_slip(loud())) == {TOKEN, PHONE}


@pytest.mark.parametrize("kind", ["no name", "refused", "unanswering", "socks", "proxy", "bundle"])
def test_no_failure_to_connect_lets_a_secret_slip(kind, connect, loud, monkeypatch, tmp_path):
    with refusing_address() as refusing, unanswering_address() as unanswering:
        addresses = {
            "no name": "https://no-such-server.invalid",
            "refused": f"http://{refusing[0]}:{refusing[1]}",
            "unanswering": f"http://{unanswering[0]}:{unanswering[1]}",
        }
        if kind == "socks":
            monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
        if kind == "proxy":
            monkeypatch.setenv("https_proxy", f"http://{refusing[0]}:{refusing[1]}")
        if kind == "bundle":
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
        client = connect(addresses.get(kind, "https://localhost:9"), dial_prefix=PREFIX, connect_timeout=0.1)
        with pytest.raises(NotSent) as caught:
            client.aux_call(AGENT, PHONE)
    assert "again" in (said := loud())
    assert not let_slip(said)
    assert not let_slip(everything_said(caught.value))


@pytest.mark.usefixtures("trusted")
def test_no_lost_answer_over_tls_lets_a_secret_slip(connect, tls, loud):
    with RawServer(lambda peer: peer.request(), tls("127.0.0.1")) as server, pytest.raises(OutcomeUnknown) as caught:
        connect(server, dial_prefix=PREFIX).aux_call(AGENT, PHONE)
    assert not let_slip(loud())
    assert not let_slip(everything_said(caught.value))


def test_a_proxy_that_gets_the_whole_address_makes_no_library_repeat_it(connect, loud, monkeypatch):
    with RawServer(lambda peer: peer.request()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url)
        with pytest.raises(OutcomeUnknown) as caught:
            connect("http://gateway.example", dial_prefix=PREFIX).aux_call(AGENT, PHONE)
    assert PHONE.encode() in proxy.received
    assert not let_slip(loud())
    assert not let_slip(everything_said(caught.value))


ECHOES = {
    "both": f"agent {AGENT}: phone {PREFIX}{PHONE} of token {TOKEN} cannot be called",
    "without prefix": f"cannot call {PHONE}",
    "with a plus": f"cannot call +{PREFIX}{PHONE}",
    "within a word": f"call{PHONE}failed",
    "a header": f"wolkvox-token: {TOKEN}",
    "over lines": f"{TOKEN}\r\n{PHONE}",
    "beside others": f"{PHONE}{PHONE} {TOKEN}{TOKEN}",
    "at the cut": "x" * 290 + PHONE + " " + TOKEN,
}


@pytest.mark.parametrize("field", ["msg", "error", "code", "data"])
@pytest.mark.parametrize("status", [200, 400, 403, 500])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_what_the_server_repeats_lets_no_secret_slip(echo, status, field, connect, loud):
    said = {"code": str(status), "error": "X", "msg": "x", field: echo}
    with RawServer(always(answer(envelope(**said), f"{status} ?"))) as server, pytest.raises(WolkvoxError) as caught:
        connect(server, dial_prefix=PREFIX, resend=ONCE).aux_call(AGENT, PHONE)
    assert not let_slip(loud())
    assert not let_slip(everything_said(caught.value))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("place", ["status line", "header", "body"])
def test_what_the_server_repeats_outside_of_an_envelope_lets_no_secret_slip(place, connect, loud):
    echo = f"{TOKEN} {PHONE}"
    replies = {
        "status line": f"HTTP/1.1 {echo}\r\n\r\n".encode(),
        "header": answer(b"<html>", "302 Found", f"Location: http://{TOKEN}/?p={PHONE}"),
        "body": answer(echo.encode(), "500 ?"),
    }
    with RawServer(always(replies[place])) as server, pytest.raises(OutcomeUnknown) as caught:
        connect(server).aux_call(AGENT, PHONE)
    assert not let_slip(everything_said(caught.value))
    assert not let_slip(loud())


@pytest.mark.parametrize(
    "echo",
    [TOKEN.upper(), "+57 300 123 4567", "57-300-123-4567", "(57) 300 123 4567", "57.300.123.4567"],
    ids=["token in capitals", "blanks", "dashes", "brackets", "dots"],
)
def test_what_the_server_repeats_in_another_spelling_lets_no_secret_slip(echo, connect):
    with (
        RawServer(always(answer(envelope("400", "BAD REQUEST", echo), "400 Bad Request"))) as server,
        pytest.raises(Refused) as caught,
    ):
        connect(server).aux_call(AGENT, PHONE)
    said = str(caught.value)
    assert not let_slip(said)
    assert PHONE not in re.sub(r"[\s\-.()+]", "", said)


def test_a_short_number_that_the_server_repeats_without_the_prefix_does_not_slip(connect):
    with (
        RawServer(always(answer(envelope("400", "BAD REQUEST", "cannot call 555123"), "400 Bad Request"))) as server,
        pytest.raises(Refused) as caught,
    ):
        connect(server, dial_prefix=PREFIX).aux_call(AGENT, "555123")
    assert "555123" not in str(caught.value)


def test_the_servers_words_about_the_agent_can_be_read(connect):
    with (
        RawServer(always(answer(envelope("404", "Not Found", f"agent {AGENT} logged out"), "404 ?"))) as server,
        pytest.raises(Refused) as caught,
    ):
        connect(server).aux_call(AGENT, PHONE)
    assert f"agent {AGENT} logged out" in str(caught.value)


def test_the_repr_of_an_exchange_shows_no_secret(sim, connect):
    client = connect(sim)
    client.aux_call(AGENT, PHONE)
    assert not let_slip(repr(client._transport.exchange))


# Errors travel


ERRORS = [
    NotSent("aux_call", "the server's name could not be resolved"),
    Refused("aux_call", "422", "-", "a message"),
    TokenBusy("aux_call", "403", "FORBIDDEN", "EXCEEDS THE LIMIT"),
    TokenQuotaExceeded("token_info", "403", "FORBIDDEN", "TOKEN LIMIT EXCEEDED"),
    TokenInvalid("aux_call", "401", "UNAUTHORIZED", ""),
    ApiUnavailable("dial", "403", "", ""),
    OutcomeUnknown("aux_call", "the connection was closed without an answer"),
    OutcomeUnknown("token_info", "the answer broke off"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize(
    "travel",
    [copy.copy, copy.deepcopy, *(lambda error, p=p: pickle.loads(pickle.dumps(error, p)) for p in range(6))],
    ids=["copy", "deepcopy", *(f"pickle{p}" for p in range(6))],
)
def test_an_error_survives_travelling_with_class_text_and_attributes(error, travel):
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
    assert arrived.outcome is error.outcome
    assert isinstance(arrived, WolkvoxError)


def test_a_raised_error_brings_no_companion_along(sim, connect):
    sim.fault("drop_after_ringing", times=None)
    with pytest.raises(OutcomeUnknown) as caught:
        connect(sim).aux_call(AGENT, PHONE)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_each_outcome_belongs_to_its_class():
    assert {type(error): error.outcome for error in ERRORS} == {
        NotSent: Outcome.NOT_SENT,
        OutcomeUnknown: Outcome.UNKNOWN,
        **dict.fromkeys([Refused, TokenBusy, TokenQuotaExceeded, TokenInvalid, ApiUnavailable], Outcome.REFUSED),
    }
    for kind in (TokenBusy, TokenQuotaExceeded, TokenInvalid, ApiUnavailable):
        assert issubclass(kind, Refused)
    for kind in (NotSent, Refused, OutcomeUnknown):
        assert issubclass(kind, WolkvoxError)
        assert not issubclass(kind, (OSError, ValueError))


def test_what_is_said_of_a_call_says_whether_a_phone_rang():
    assert "no phone rang" in str(ERRORS[0])
    assert "no phone rang" in str(ERRORS[1])
    assert "may have rung" in str(ERRORS[6])
    assert "not sent again" in str(ERRORS[6])
    for error in (ERRORS[3], ERRORS[7]):
        assert "phone" not in str(error)


# What is imported


def imported_by(statement: str) -> set[str]:
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


LIBRARIES = {"requests", "urllib3", "http", "ssl", "pendulum", "holidays", "phonenumbers"}


@pytest.mark.parametrize(
    "statement",
    [
        "import airflow_provider_wolkvox.api",
        "from airflow_provider_wolkvox.api import OutcomeUnknown, TokenBusy",
        "from airflow_provider_wolkvox.api import AgentCall, arguments",
    ],
)
def test_importing_the_package_errors_or_checks_brings_neither_airflow_nor_a_library(statement):
    assert not imported_by(statement) & (LIBRARIES | {"airflow"})


def test_the_whole_package_brings_no_airflow_nor_the_simulator():
    everything = "import airflow_provider_wolkvox.api as api; [getattr(api, name) for name in api.__all__]"
    assert "airflow" not in imported_by(everything)
    assert "requests" in imported_by(everything)
    program = f"{everything}; import sys; assert 'airflow_provider_wolkvox.simulator' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)


def test_the_package_shows_its_names_and_no_others():
    from airflow_provider_wolkvox import api

    assert set(api.__all__) <= set(dir(api))
    for name in api.__all__:
        assert getattr(api, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = api.no_such_name


def test_a_call_made_twice_over_rings_twice_because_nobody_asked_otherwise(sim, connect):
    # The client sends what it is told; that one intended call rings once is the ledger's business.
    client = connect(sim, resend=QUICK)
    client.aux_call(AGENT, PHONE)
    client.aux_call(AGENT, PHONE)
    assert sim.rings == {PHONE: 2}


def test_accepted_answers_are_read_with_debugging_on(connect, loud):
    with RawServer(always(accepted())) as server:
        assert connect(server).aux_call(AGENT, PHONE).conn_id
    assert not let_slip(loud())
