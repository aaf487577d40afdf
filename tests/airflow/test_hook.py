"""The hook: what it makes of an Airflow connection, and what it says when the connection cannot be right."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from capabilities import needs_raw_extra
from samples import AGENT, PHONE, TOKEN

from airflow_provider_wolkvox.api import NotSent, OutcomeUnknown, TokenInvalid
from airflow_provider_wolkvox.calling import Cap
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook


@pytest.fixture
def connect(simulator, set_connection):
    """A hook for a connection that leads to the simulator, but for what is said otherwise."""

    def connect_(*, extra=None, **fields) -> WolkvoxHook:
        if not isinstance(extra, str):
            extra = {"base_url": simulator.base_url, **(extra or {})}
        set_connection(extra=extra, **fields)
        return WolkvoxHook()

    return connect_


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def refusal(hook: WolkvoxHook) -> str:
    with pytest.raises(ValueError) as wrong:  # noqa: PT011 - the callers look at the text
        hook.get_conn()
    return str(wrong.value)


# When the connection is read


def test_nothing_is_asked_of_airflow_while_a_hook_is_made(monkeypatch):
    asked = []
    monkeypatch.setattr(BaseHook, "get_connection", lambda *args: asked.append(args))

    WolkvoxHook("no_such_connection").stop()

    assert asked == []


def test_a_connection_made_after_the_hook_is_used(simulator, set_connection):
    hook = WolkvoxHook("later")
    set_connection("later", extra={"base_url": simulator.base_url})

    assert hook.aux_call(AGENT, PHONE).conn_id
    assert simulator.rings == {PHONE: 1}


def test_the_connection_is_read_once(connect, monkeypatch):
    asked = []
    read = BaseHook.get_connection
    monkeypatch.setattr(WolkvoxHook, "get_connection", lambda self, *args: asked.append(args) or read(*args))

    hook = connect()
    hook.get_conn().token_info()
    hook.aux_call(AGENT, PHONE)

    assert asked == [("wolkvox_default",)]
    assert hook.get_conn() is hook.get_conn()


def test_a_connection_that_does_not_exist_is_named():
    with pytest.raises(Exception, match="no_such_connection"):
        WolkvoxHook("no_such_connection").get_conn()


# What of the connection reaches the client


@pytest.mark.parametrize("host", ["0042", "wv0042", "WV0042", " wv0042\n"])
def test_the_server_code_may_be_written_with_or_without_wv(set_connection, host):
    set_connection(host=host)
    assert WolkvoxHook().get_conn().address == "https://wv0042.wolkvox.com"


def test_a_connection_may_be_a_uri(simulator, monkeypatch):
    address = simulator.base_url.replace(":", "%3A").replace("/", "%2F")
    monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", f"wolkvox://:{TOKEN}@0042?dial_prefix=9&base_url={address}")

    WolkvoxHook().aux_call(AGENT, PHONE)

    assert simulator.rings == {"9" + PHONE: 1}


@pytest.mark.parametrize("prefix", ["9", 9, " 9 "])
def test_the_dial_prefix_is_dialled_before_the_number(connect, simulator, prefix):
    connect(extra={"dial_prefix": prefix}).aux_call(AGENT, PHONE)
    assert simulator.rings == {"9" + PHONE: 1}


@pytest.mark.parametrize("seconds", [0.3, "0.3", " 0.3 "])
def test_the_total_timeout_ends_an_exchange(connect, simulator, seconds):
    simulator.fault("stall")
    with pytest.raises(OutcomeUnknown, match=r"no whole answer within 0\.3 s"):
        connect(extra={"total_timeout": seconds}).aux_call(AGENT, PHONE)


@pytest.mark.parametrize("seconds", [0.3, "0.3"])
def test_the_connect_timeout_ends_a_connection_that_does_not_come_about(connect, quick_resends, seconds):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        # A full backlog: further connections are neither accepted nor refused.
        silent.listen(0)
        with socket.create_connection(silent.getsockname()):
            hook = connect(
                extra={"base_url": f"http://127.0.0.1:{silent.getsockname()[1]}", "connect_timeout": seconds}
            )
            with pytest.raises(NotSent, match=r"no connection within 0\.3 s"):
                hook.aux_call(AGENT, PHONE)


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_extras_mean_the_defaults(connect, simulator, blank):
    names = (
        "dial_prefix",
        "connect_timeout",
        "total_timeout",
        "report_timeout",
        "country",
        "timezone",
        "reports_timezone",
        "cap",
        "authenticated_test",
    )
    hook = connect(extra=dict.fromkeys(names, blank))

    hook.aux_call(AGENT, PHONE)

    assert simulator.rings == {PHONE: 1}
    assert hook.test_connection()[0]


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_base_url_means_the_servers_own_address(set_connection, blank):
    set_connection(extra={"base_url": blank})
    assert WolkvoxHook().get_conn().address == "https://wv0042.wolkvox.com"


@pytest.mark.parametrize("extra", [None, "", "{}", pytest.param("null", marks=needs_raw_extra)])
def test_no_extra_is_no_mistake(set_connection, extra):
    set_connection(extra=extra)
    if extra == "null":
        assert "'Extra' is not a JSON object" in refusal(WolkvoxHook())
    else:
        assert WolkvoxHook().get_conn().address == "https://wv0042.wolkvox.com"


# What cannot be right


@pytest.mark.parametrize("blank", [None, "", "   "])
@pytest.mark.parametrize(("field", "label"), [("host", "Server code"), ("password", "Token")])
def test_a_missing_field_is_named_as_the_form_labels_it(connect, simulator, field, label, blank):
    message = refusal(connect(**{field: blank}))

    assert f"the field '{label}' is empty" in message
    assert "'wolkvox_default'" in message
    assert TOKEN not in message
    assert "No request was made" in message
    assert simulator.stats().requests == 0


@pytest.mark.parametrize(
    ("field", "value", "label"),
    [
        ("host", "wv00x2", "server code"),
        ("host", "https://wv0042.wolkvox.com", "server code"),
        ("host", "٠٠٤٢", "server code"),
        ("password", f"{TOKEN} {TOKEN}", "token"),
        ("password", f"{TOKEN}\r\nX-Other: 1", "token"),
        ("password", f"{TOKEN}é", "token"),
    ],
)
def test_a_field_that_cannot_be_right_is_named_and_nothing_is_sent(connect, simulator, field, value, label):
    message = refusal(connect(**{field: value}))

    assert label in message
    assert "'wolkvox_default'" in message
    assert TOKEN not in message
    assert simulator.stats().requests == simulator.stats("unknown").requests == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dial_prefix", "9a"),
        ("dial_prefix", 9.5),
        ("dial_prefix", ["9"]),
        ("dial_prefix", True),
        ("base_url", "127.0.0.1:8099"),
        ("base_url", "ftp://127.0.0.1"),
        ("base_url", "http://"),
        ("base_url", f"http://user:{TOKEN}@127.0.0.1:8099"),
        ("base_url", f"http://127.0.0.1:8099?token={TOKEN}"),
        ("connect_timeout", "soon"),
        ("connect_timeout", 0),
        ("connect_timeout", "-1"),
        ("connect_timeout", {}),
        ("report_timeout", 0),
        ("report_timeout", "soon"),
        ("total_timeout", "nan"),
        ("total_timeout", "inf"),
    ],
)
def test_an_extra_that_cannot_be_right_is_named(connect, simulator, name, value):
    message = refusal(connect(extra={name: value}))

    assert name in message
    assert "'wolkvox_default'" in message
    assert TOKEN not in message
    assert simulator.stats().requests == 0


def test_a_base_url_that_is_no_text_is_named(connect):
    assert "base_url" in refusal(connect(extra={"base_url": 8099}))


def test_a_token_in_the_field_of_the_server_code_is_not_repeated(connect):
    assert TOKEN not in refusal(connect(host=TOKEN, password="0042"))


@needs_raw_extra
@pytest.mark.parametrize("extra", ["dial_prefix=9", f'{{"base_url": "{TOKEN}"', "[1]", '"text"', "12"])
def test_an_extra_that_is_no_json_object_is_told_and_not_repeated(connect, simulator, extra):
    message = refusal(connect(extra=extra))

    assert "'Extra' is not a JSON object" in message
    assert extra not in message
    assert TOKEN not in message
    assert simulator.stats().requests == 0


# The Test button


def test_the_button_says_that_the_server_is_reached_and_that_the_token_was_not_tried(connect, simulator):
    well, message = connect().test_connection()

    assert well
    assert simulator.base_url in message
    assert "token was not tried" in message
    assert simulator.stats().requests == simulator.stats("none").requests == 0


@pytest.mark.parametrize("yes", [True, "true", "True", 1, "1", "yes", "on", " true "])
def test_the_button_tries_the_token_if_the_connection_says_so(connect, simulator, yes):
    well, message = connect(extra={"authenticated_test": yes}).test_connection()

    assert well
    assert "accepts the token" in message
    assert simulator.stats().requests == 1
    assert simulator.rings == {}


@pytest.mark.parametrize("no", [False, "false", "False", 0, "0", "no", "off", "", None])
def test_the_button_does_not_try_the_token_if_the_connection_says_no(connect, simulator, no):
    assert connect(extra={"authenticated_test": no}).test_connection()[0]
    assert simulator.stats().requests == 0


def test_the_button_tells_a_token_that_wolkvox_refuses(connect, simulator):
    well, message = connect(password="not-" + TOKEN, extra={"authenticated_test": True}).test_connection()

    assert not well
    assert "VALIDATE TOKEN" in message
    assert "Token field" in message
    assert TOKEN not in message
    assert simulator.stats("unknown").requests == 1


def test_the_button_tells_a_server_that_cannot_be_reached(connect, free_port):
    well, message = connect(extra={"base_url": f"http://127.0.0.1:{free_port}"}).test_connection()

    assert not well
    assert "connection refused" in message
    assert TOKEN not in message


def test_the_button_tells_an_address_where_no_tls_is_spoken(connect, simulator):
    well, message = connect(
        extra={"base_url": simulator.base_url.replace("http:", "https:"), "connect_timeout": 0.3}
    ).test_connection()

    assert not well
    assert "not sent" in message


@pytest.mark.parametrize("fault", ["drop_after_reading", "garbage", "garbage_body", "server_error", "redirect"])
def test_the_button_tells_an_answer_that_is_none(connect, simulator, fault):
    simulator.fault(fault)
    well, message = connect(extra={"authenticated_test": True}).test_connection()

    assert not well
    assert "outcome of token_info is unknown" in message
    assert "phone" not in message


@pytest.mark.parametrize(
    "fields",
    [
        {"host": ""},
        {"password": None},
        pytest.param({"extra": "no json"}, marks=needs_raw_extra),
        {"extra": {"total_timeout": "soon"}},
    ],
)
def test_the_button_tells_a_field_that_cannot_be_right(connect, fields):
    well, message = connect(**fields).test_connection()

    assert not well
    assert "No request was made" in message


def test_the_button_tells_a_connection_that_does_not_exist():
    well, message = WolkvoxHook("no_such_connection").test_connection()

    assert not well
    assert "no_such_connection" in message


def test_the_button_tells_a_base_url_that_is_no_text(connect):
    well, message = connect(extra={"base_url": 8099}).test_connection()

    assert not well
    assert "base_url" in message


# Stopping


def test_a_hook_stopped_before_its_client_exists_sends_nothing(connect, simulator):
    hook = connect()
    hook.stop()

    with pytest.raises(NotSent, match="told to stop"):
        hook.aux_call(AGENT, PHONE)

    assert simulator.stats().requests == 0


def test_a_hook_stopped_later_sends_nothing_more(connect, simulator):
    hook = connect()
    hook.aux_call(AGENT, PHONE)
    hook.stop()
    hook.stop()

    with pytest.raises(NotSent, match="told to stop"):
        hook.aux_call(AGENT, PHONE)

    assert simulator.rings == {PHONE: 1}


def test_a_refusal_comes_out_as_the_client_raises_it(connect):
    with pytest.raises(TokenInvalid) as refused:
        connect(password="not-" + TOKEN).aux_call(AGENT, PHONE)
    assert TOKEN not in repr(refused.value)


def test_no_repr_shows_the_token(connect):
    hook = connect()
    hook.get_conn().token_info()
    assert TOKEN not in f"{hook!r} {hook.get_conn()!r}"


# The form before 3.2, which asks the class


def test_the_forms_labels_are_those_of_the_metadata():
    behaviour = WolkvoxHook.get_ui_field_behaviour()

    assert behaviour["relabeling"] == {"host": "Server code", "password": "Token"}
    assert set(behaviour["hidden_fields"]) == {"schema", "login", "port"}
    assert set(behaviour) <= {"hidden_fields", "relabeling", "placeholders"}


def test_the_forms_labels_need_no_form_library():
    script = (
        "import sys\n"
        "for name in ('flask_appbuilder', 'flask_babel', 'wtforms'): sys.modules[name] = None\n"
        "from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook\n"
        "import json; print('#' + json.dumps(WolkvoxHook.get_ui_field_behaviour()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.partition("#")[2]) == WolkvoxHook.get_ui_field_behaviour()


def test_the_form_has_a_widget_for_each_extra():
    pytest.importorskip("flask_appbuilder")
    pytest.importorskip("wtforms")

    assert set(WolkvoxHook.get_connection_form_widgets()) == {
        "dial_prefix",
        "country",
        "timezone",
        "reports_timezone",
        "cap",
        "base_url",
        "connect_timeout",
        "total_timeout",
        "authenticated_test",
    }


def test_the_name_of_the_connections_argument_is_what_the_hook_takes():
    hook = WolkvoxHook(**{WolkvoxHook.conn_name_attr: "sales"})
    assert hook.wolkvox_conn_id == "sales"
    assert WolkvoxHook().wolkvox_conn_id == WolkvoxHook.default_conn_name == "wolkvox_default"


# A server code that YAML has read as a number


@pytest.mark.parametrize("host", ["34", "wv34", "042"])
def test_a_server_code_that_lost_its_zeros_is_warned_of(set_connection, everything_said, host):
    set_connection(host=host)
    WolkvoxHook().get_conn()
    assert "has fewer than four digits. YAML reads 0042 without quotes as 34: quote it." in everything_said()


def test_a_server_code_of_four_digits_is_not(set_connection, everything_said):
    set_connection(host="0042")
    WolkvoxHook().get_conn()
    assert "fewer than four digits" not in everything_said()


def test_a_server_code_that_is_a_number_is_an_error_before_any_request(set_connection):
    set_connection()
    hook = WolkvoxHook()
    # As the backend of local files gives it.
    hook.connection.host = 34
    with pytest.raises(
        ValueError, match="must be text such as '0042', not a number: YAML reads 0042 without quotes as 34"
    ):
        hook.get_conn()


# The cap


def test_the_connections_cap_takes_the_place_of_its_countrys(set_connection):
    day = timedelta(hours=24)
    for extra, caps, of_law in (
        ({}, [], True),
        ({"country": "CO"}, [Cap(1, day)], True),
        ({"country": "CO", "cap": "3 in 24 hours, 9 in 7 days"}, [Cap(3, day), Cap(9, 7 * day)], False),
        ({"country": "CO", "cap": "none"}, [], False),
    ):
        set_connection(extra=extra)
        found, is_of_law = WolkvoxHook().caps()
        assert (list(found), is_of_law) == (caps, of_law)
        assert list(WolkvoxHook().caps(Cap(2, day))[0]) == [Cap(2, day)]
        assert not WolkvoxHook().caps(None)[0]


def test_a_cap_that_is_none_is_named_by_its_field(connect, simulator):
    hook = connect(extra={"base_url": simulator.base_url, "cap": "twice a day"})
    well, message = hook.test_connection()
    assert not well
    assert "the field 'Cap': caps are written such as '2 in 24 hours, 5 in 7 days', or 'none'" in message


# Nothing is left open


def open_sockets() -> int:
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += descriptor.readlink().name.startswith("socket:")
    return found


@pytest.mark.parametrize("use", [lambda hook: hook.get_conn().token_info(), WolkvoxHook.test_connection])
def test_a_hook_that_nobody_closes_leaves_no_socket_behind(simulator, set_connection, use):
    set_connection(extra={"base_url": simulator.base_url, "authenticated_test": True})
    gc.disable()  # none waits to be found in a circle
    try:
        use(WolkvoxHook())
        before = open_sockets()
        for _ in range(20):
            use(WolkvoxHook())
        # The simulator's ends of them close once it has seen ours close.
        deadline = time.monotonic() + 60
        while open_sockets() > before + 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert open_sockets() <= before + 2
    finally:
        gc.enable()


# Two clocks


@pytest.mark.parametrize("customers", ["America/Mexico_City", "America/Santiago", "Europe/Madrid"])
def test_a_call_just_made_is_found_wherever_the_customers_are(simulator, set_connection, customers):
    set_connection(extra={"base_url": simulator.base_url, "timezone": customers})
    hook = WolkvoxHook()
    sent_at = datetime.now(UTC)
    call = hook.aux_call("10001", "3005550101")
    found = hook.get_conn().find_call("10001", "3005550101", sent_at)
    assert found is not None
    assert found.conn_id == call.conn_id


def test_the_clock_of_the_reports_is_a_field_of_its_own(simulator, set_connection):
    set_connection(extra={"base_url": simulator.base_url, "reports_timezone": "America/Lima"})
    assert str(WolkvoxHook().get_conn().zone) == "America/Lima"
    set_connection(extra={"base_url": simulator.base_url, "reports_timezone": "Lima"})
    with pytest.raises(ValueError, match="reports_timezone is not the IANA name"):
        WolkvoxHook().get_conn()


@pytest.mark.parametrize("wrong", [False, {}, [], 0])
def test_a_base_url_that_is_neither_empty_nor_an_address_is_not_the_real_wolkvox(set_connection, wrong):
    set_connection(extra={"base_url": wrong})
    with pytest.raises(ValueError, match="Connection 'wolkvox_default': base_url must be an address"):
        WolkvoxHook().get_conn()
