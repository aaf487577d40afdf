"""What may be put into a request: refused with a reason before anything is sent, or normalised."""

from __future__ import annotations

import math
import re

import pytest
from client_testing import AGENT, PHONE, TOKEN, requests_seen
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_wolkvox.api import WolkvoxClient, arguments
from airflow_provider_wolkvox.phone import masked

BAD_CLIENTS = {
    "server empty": ({"server": ""}, "server code is empty"),
    "server blank": ({"server": "  "}, "server code is empty"),
    "server a number": ({"server": 42}, "text"),
    "server none": ({"server": None}, "text"),
    "server with letters": ({"server": "00a2"}, "not digits"),
    "server only wv": ({"server": "wv"}, "not digits"),
    "server a host": ({"server": "wv0042.wolkvox.com"}, "not digits"),
    "server an address": ({"server": "https://wv0042.wolkvox.com"}, "not digits"),
    "server another host": ({"server": "0042.evil.example/"}, "not digits"),
    "server in other digits": ({"server": "००४२"}, "not digits"),
    "server wvwv": ({"server": "wvwv0042"}, "not digits"),
    "server of two lines": ({"server": "0042\n0043"}, "not digits"),
    "token empty": ({"token": ""}, "token is empty"),
    "token blank": ({"token": " \t"}, "token is empty"),
    "token none": ({"token": None}, "token is empty"),
    "token bytes": ({"token": b"abc"}, "token is empty"),
    "token with a line break": ({"token": "abc\r\nX-Evil: 1"}, "no HTTP header may carry"),
    "token with a nul": ({"token": "abc\0def"}, "no HTTP header may carry"),
    "token with a blank": ({"token": "abc def"}, "no HTTP header may carry"),
    "token with an accent": ({"token": "contraseña"}, "no HTTP header may carry"),
    "token in other digits": ({"token": "１２３"}, "no HTTP header may carry"),
    "token with a delete": ({"token": "abc\x7f"}, "no HTTP header may carry"),
    "dial_prefix with letters": ({"dial_prefix": "x9"}, "dial_prefix"),
    "dial_prefix a float": ({"dial_prefix": 9.0}, "dial_prefix"),
    "dial_prefix none": ({"dial_prefix": None}, "dial_prefix"),
    "connect_timeout zero": ({"connect_timeout": 0}, "connect_timeout"),
    "connect_timeout negative": ({"connect_timeout": -1}, "connect_timeout"),
    "connect_timeout none": ({"connect_timeout": None}, "connect_timeout"),
    "total_timeout infinite": ({"total_timeout": math.inf}, "total_timeout"),
    "total_timeout nan": ({"total_timeout": math.nan}, "total_timeout"),
    "report_timeout zero": ({"report_timeout": 0}, "report_timeout"),
    "report_timeout none": ({"report_timeout": None}, "report_timeout"),
    "total_timeout a word": ({"total_timeout": "long"}, "total_timeout"),
    "base_url without scheme": ({"base_url": "127.0.0.1:8099"}, "base_url"),
    "base_url of another scheme": ({"base_url": "ftp://127.0.0.1"}, "base_url"),
    "base_url without host": ({"base_url": "http://"}, "base_url"),
    "base_url with user": ({"base_url": "http://me:secret@127.0.0.1"}, "base_url"),
    "base_url with query": ({"base_url": "http://127.0.0.1/?a=b"}, "base_url"),
    "base_url with fragment": ({"base_url": "http://127.0.0.1/#a"}, "base_url"),
    "base_url with a wrong port": ({"base_url": "http://127.0.0.1:99999"}, "base_url"),
    "base_url with a word for port": ({"base_url": "http://127.0.0.1:http"}, "base_url"),
}

BAD_CALLS = {
    "agent empty": (("", PHONE), "agent_id is missing"),
    "agent only dashes": (("--", PHONE), "agent_id is not digits"),
    "agent none": ((None, PHONE), "agent_id is missing"),
    "agent a float": ((10001.0, PHONE), "is a float"),
    "agent a boolean": ((True, PHONE), "agent_id must be text"),
    "agent a list": ((["10001"], PHONE), "agent_id must be text"),
    "agent with letters": (("10001a", PHONE), "not digits"),
    "agent with another parameter": (("10001&api=hang", PHONE), "not digits"),
    "agent in other digits": (("１０００１", PHONE), "not digits"),
    "agent with a plus": (("+10001", PHONE), "not digits"),
    "agent with a dash": (("10-001", PHONE), "not digits"),
    "agent with two plus": (("++10001", PHONE), "not digits"),
    "agent an unrendered template": (("{{ params.agent }}", PHONE), "not digits"),
    "phone empty": ((AGENT, ""), "customer_phone is missing"),
    "phone blank": ((AGENT, " - "), "customer_phone is missing"),
    "phone none": ((AGENT, None), "customer_phone is missing"),
    "phone a float": ((AGENT, 573001234567.0), "is a float"),
    "phone bytes": ((AGENT, b"573001234567"), "customer_phone must be text"),
    "phone of four digits": ((AGENT, "1234"), "has 4 digits"),
    "phone of twenty-one digits": ((AGENT, "1" * 21), "has 21 digits"),
    "phone with letters": ((AGENT, "300CALLNOW"), "something other than digits"),
    "phone with an extension": ((AGENT, "3001234567x12"), "has an extension"),
    "phone with a second plus": ((AGENT, "57+3001234567"), "something other than digits"),
    "phone with two plus": ((AGENT, "++573001234567"), "something other than digits"),
    "phone of two numbers": ((AGENT, "3001234567/3007654321"), "more than one number"),
    "phone in other digits": ((AGENT, "٣٠٠١٢٣٤٥٦٧"), "something other than digits"),
    "phone with a zero-width blank": ((AGENT, "300\u200b1234567"), "U+200B"),
    "phone in scientific notation": ((AGENT, "5.73E+11"), "is a float"),
}

GOOD_PHONES = {
    "+57 (300) 555-01.01": "573005550101",
    "[57] 300 555 0101": "573005550101",
    "(+57) 3005550101": "573005550101",
    573005550101: "573005550101",
    " 3005550101\n": "3005550101",
    "300\u00a0555\u00a00101": "3005550101",
    "03005550101": "03005550101",
    "12345": "12345",
    "1" * 20: "1" * 20,
}


def client(**options) -> WolkvoxClient:
    return WolkvoxClient(**{"server": "0042", "token": TOKEN, **options})


@pytest.mark.parametrize(("options", "reason"), BAD_CLIENTS.values(), ids=BAD_CLIENTS)
def test_a_client_that_cannot_be_right_is_refused_with_the_reason(options, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        client(**options)
    assert TOKEN not in str(caught.value)
    for secret in ("X-Evil", "contraseña", "secret"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(("call", "reason"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_call_that_cannot_be_right_is_refused_with_the_reason_and_nothing_sent(call, reason, sim, connect):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        connect(sim).aux_call(*call)
    assert not re.search("[0-9]{7}", str(caught.value))
    assert requests_seen(sim) == 0


@pytest.mark.parametrize(("given_as", "sent_as"), GOOD_PHONES.items(), ids=repr)
def test_a_phone_is_sent_as_digits(given_as, sent_as, sim, connect):
    connect(sim).aux_call(AGENT, given_as)
    assert sim.rings == {sent_as: 1}


@pytest.mark.parametrize("agent", ["10001", 10001, " 10001 "])
def test_an_agent_is_sent_as_digits(agent, sim, connect):
    assert connect(sim).aux_call(agent, PHONE).agent_id == AGENT
    assert sim.calls[0].agent_id == AGENT


@pytest.mark.parametrize("prefix", ["9", 9, "0057", " 9 "])
def test_the_dial_prefix_is_put_before_the_number(prefix, sim, connect):
    connect(sim, dial_prefix=prefix).aux_call(AGENT, "3005550101")
    digits = "".join(filter(str.isdigit, str(prefix)))
    assert sim.rings == {f"{digits}3005550101": 1}


@pytest.mark.parametrize("server", ["0042", "wv0042", "WV0042", " wv0042\n", "Wv0042"])
def test_a_server_code_is_known_with_and_without_wv(server):
    made = client(server=server)
    assert made.server == "0042"
    assert made.address == "https://wv0042.wolkvox.com"


def test_leading_zeros_of_a_server_code_stay():
    assert client(server="0004").address == "https://wv0004.wolkvox.com"


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("http://127.0.0.1:8099/", "http://127.0.0.1:8099"),
        (" https://gateway.example/wolkvox// ", "https://gateway.example/wolkvox"),
        ("http://[::1]:8099", "http://[::1]:8099"),
        (None, "https://wv0042.wolkvox.com"),
    ],
)
def test_base_url_takes_the_servers_place(base_url, address):
    assert client(base_url=base_url).address == address


def test_a_token_loses_the_blanks_around_it(sim, connect):
    connect(sim, token=f"  {TOKEN}\n").aux_call(AGENT, PHONE)
    assert sim.stats(TOKEN).requests == 1


@pytest.mark.parametrize("timeout", [1, 0.5, "30", " 7.5 "])
def test_a_time_may_come_as_number_or_text(timeout):
    client(connect_timeout=timeout, total_timeout=timeout)


# What is wrong today


def test_a_token_in_the_place_of_the_server_code_is_not_repeated():
    with pytest.raises(ValueError, match="server code") as caught:
        client(server=TOKEN, token="0042")
    assert TOKEN not in str(caught.value)


def test_a_phone_in_the_place_of_the_agent_is_not_repeated(sim, connect):
    with pytest.raises(ValueError, match="agent_id") as caught:
        connect(sim).aux_call("573001234567 x2", AGENT)
    assert "573001234567" not in str(caught.value)


@pytest.mark.parametrize("base_url", [8099, True, ["http://127.0.0.1"], b"http://127.0.0.1"])
def test_a_base_url_that_is_no_text_is_refused(base_url):
    try:
        client(base_url=base_url)
    except (AttributeError, TypeError) as error:
        pytest.fail(repr(error))
    except ValueError:
        return
    pytest.fail("it was accepted")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8099?", "http://127.0.0.1:8099#", "http://127.0.0.1/a#"])
def test_a_base_url_with_an_empty_query_or_fragment_is_refused(base_url):
    with pytest.raises(ValueError, match="base_url"):
        client(base_url=base_url)


@pytest.mark.parametrize("nothing", ["", " ", False, 0, {}, []], ids=repr)
def test_nothing_but_none_stands_for_the_real_wolkvox(nothing):
    with pytest.raises(ValueError, match="base_url must be an address"):
        client(base_url=nothing)
    assert client(base_url=None).address == "https://wv0042.wolkvox.com"


@pytest.mark.parametrize(
    "end", ["/api/v2", "/api/v2/", "/gateway/api/v2", "/api", "/api/v2/agentbox.php", "/agentbox.php"]
)
def test_a_base_url_that_holds_the_api_s_own_path_is_rejected(end):
    with pytest.raises(ValueError, match="must end before '/api/v2'"):
        client(base_url=f"http://127.0.0.1:8099{end}")


@pytest.mark.parametrize("path", ["", "/gateway", "/api/gateway", "/wolkvox-api"])
def test_a_gateway_s_path_is_kept(path):
    assert client(base_url=f"https://gateway.example{path}/").address == f"https://gateway.example{path}"


@pytest.mark.parametrize(
    ("base_url", "warns"),
    [
        ("http://gateway.example", True),
        ("http://10.0.0.1:8099", True),
        ("https://gateway.example", False),
        ("http://127.0.0.1:8099", False),
        ("http://127.1.2.3", False),
        ("http://[::1]:8099", False),
        ("http://localhost:8099", False),
    ],
)
def test_a_token_that_would_travel_unencrypted_to_another_machine_is_warned_of(base_url, warns, caplog):
    client(base_url=base_url)
    assert ("travels unencrypted" in caplog.text) is warns
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("host", ["exa mple.com", "a..b", "a" * 64 + ".com", "a%20b", "*"])
def test_a_base_url_whose_host_cannot_be_a_name_is_refused(host):
    with pytest.raises(ValueError, match="base_url"):
        client(base_url=f"http://{host}")


@pytest.mark.parametrize("cell", ["3001234\n3007654", "3001234\r\n3007654", "3001234\u20283007654"])
def test_two_numbers_on_two_lines_are_not_one_number(cell):
    with pytest.raises(ValueError, match="customer_phone"):
        arguments.phone(cell)


def test_a_negative_number_is_no_phone():
    with pytest.raises(ValueError, match="customer_phone"):
        arguments.phone(-573001234567)


@pytest.mark.parametrize("seconds", [1e11, 1e300, 10**400], ids=["1e11", "1e300", "10**400"])
def test_a_time_longer_than_a_socket_can_wait_is_refused(seconds):
    try:
        client(total_timeout=seconds)
    except OverflowError as error:
        pytest.fail(repr(error))
    except ValueError:
        return
    pytest.fail("it was accepted")


# Any text at all

_numberlike = st.text(st.sampled_from("0123456789+-.() []x٣\n"), max_size=30)


def tried(check, value) -> tuple[str, str]:
    """Return what a check made of a value and "", or "" and the text of its refusal."""
    try:
        return check(value), ""
    except ValueError as refused:
        return "", str(refused)


@given(st.one_of(st.text(), _numberlike, st.integers()))
@example("+57 (300) 555-01.01")
@example("573001234567x")
def test_any_text_is_a_phone_of_5_to_20_digits_or_is_refused_without_being_repeated(text):
    digits, refusal = tried(arguments.phone, text)
    if digits:
        assert re.fullmatch("[0-9]{5,20}", digits)
        assert digits in re.sub(r"[^0-9]", "", str(text))
    run = re.search("[0-9]{5,}", re.sub(r"[\s\-.()\[\]]", "", str(text)))
    assert not re.search("[0-9]{7}", refusal)
    assert not run or run.group() not in refusal


@given(st.one_of(st.text(), _numberlike, st.integers()))
def test_any_text_is_an_agent_of_digits_or_is_refused(text):
    try:
        digits = arguments.agent_id(text)
    except ValueError:
        return
    assert re.fullmatch("[0-9]+", digits)


@given(st.text())
@example("abc\r\nX: 1")
def test_any_text_is_a_token_for_a_header_or_is_refused_without_being_repeated(text):
    token, refusal = tried(arguments.token, text)
    assert token.isascii()
    assert token.isprintable()
    assert " " not in token
    assert len(text.strip()) <= 8 or text.strip() not in refusal


@given(st.text())
def test_any_text_is_a_server_code_of_digits_or_is_refused(text):
    try:
        code = arguments.server_code(text)
    except ValueError:
        return
    assert re.fullmatch("[0-9]+", code)


@given(st.text())
def test_any_text_is_an_http_address_or_is_refused(text):
    try:
        address = arguments.base_url(text)
    except ValueError:
        return
    assert re.match("https?://[^/]", address, re.IGNORECASE)


_tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="*"), min_size=5)
_phones = st.text(st.sampled_from("0123456789"), min_size=5, max_size=20)
_words = st.one_of(st.text(max_size=10), _phones, st.sampled_from([" ", "-", "agent ", "\n", "\0", "***"]))


@given(st.lists(_words), st.lists(st.one_of(_tokens, _phones), max_size=3), st.data())
def test_no_text_of_the_server_shows_a_secret_or_a_whole_number(words, secrets, data):
    places = data.draw(st.lists(st.sampled_from([*words, *secrets]), max_size=8)) if [*words, *secrets] else []
    shown = arguments.presentable("".join([*words, *places]), *secrets)
    for secret in secrets:
        # The last four digits of one number may, with digits beside it, look like another short one.
        assert secret not in shown or (secret.isdigit() and len(secret) < 7)
    assert not re.search("[0-9]{7}", shown)
    assert len(shown) <= 300
    assert shown.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)


@given(_phones)
def test_a_masked_number_shows_at_most_its_last_four_digits(number):
    shown = masked(number)
    assert number not in shown
    assert sum(map(str.isdigit, shown)) <= 4
    assert shown == "***" or number.endswith(shown.removeprefix("***"))
