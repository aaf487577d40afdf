"""AuxCallOperator through Airflow's own task runner: what a task returns, how it fails, and what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from datetime import datetime

import pytest
from airflow.providers.common.compat.sdk import DAG
from capabilities import HAS_LEDGER, HAS_TASK_SDK, needs_ledger, needs_raw_extra
from samples import AGENT, PHONE, TOKEN, time_for
from task_runner import Server, kind_of, run_try

from airflow_provider_wolkvox.api import Resend
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

pytestmark = pytest.mark.usefixtures("own_sigterm")

MASKED = "***0101"
# Without a ledger the next try could only refuse.
LEFT_TO_A_RETRY = "up_for_retry" if HAS_LEDGER else "failed"


def calling(**arguments):
    """A task that rings the customer, but for what is said otherwise."""
    arguments = {"task_id": "call", "agent_id": AGENT, "customer_phone": PHONE, **arguments}
    return lambda dag: AuxCallOperator(**arguments)


@pytest.fixture
def server() -> Server:
    return Server()


def sent(simulator) -> int:
    """All requests that reached the simulator, whatever token they carried."""
    return sum(simulator.stats(token).requests for token in (TOKEN, "unknown", "none"))


# What a task returns


def test_the_conn_id_is_returned_and_pushed_under_its_own_name(simulator, wolkvox_connection, server):
    result = run_try(calling(), server)

    [call] = simulator.calls
    assert result.state == "success"
    assert result.xcoms == {"conn_id": call.conn_id, "return_value": call.conn_id}
    assert (call.agent_id, call.phone) == (AGENT, PHONE)


@pytest.mark.parametrize("conn_ids", ["empty", "missing"])
def test_a_call_without_conn_id_succeeds_with_an_empty_one(simulator, wolkvox_connection, server, conn_ids):
    simulator.conn_ids = type(simulator.conn_ids)(conn_ids)

    result = run_try(calling(), server)

    assert result.state == "success"
    assert result.xcoms == {"conn_id": "", "return_value": ""}
    assert simulator.rings == {PHONE: 1}


def test_nothing_is_pushed_without_xcom_push(simulator, wolkvox_connection, server):
    result = run_try(calling(do_xcom_push=False), server)

    assert result.state == "success"
    assert result.xcoms == {}
    assert simulator.rings == {PHONE: 1}


def test_a_text_of_codes_as_numbers_is_a_success_too(simulator, wolkvox_connection, server):
    simulator.fault("int_codes")
    assert run_try(calling(), server).state == "success"


def test_the_number_is_dialled_without_its_punctuation_and_with_the_prefix(simulator, set_connection, server):
    set_connection(extra={"base_url": simulator.base_url, "dial_prefix": "9"})
    run_try(calling(customer_phone="+57 (300) 555-01.01"), server)
    assert simulator.rings == {"9573005550101": 1}


# Templates


def test_the_fields_are_rendered(simulator, wolkvox_connection, server):
    task = calling(
        agent_id="{{ 10000 + 2 }}",
        customer_phone="{{ '300' }} 555 0101",
        call_before="{{ data_interval_end + macros.timedelta(hours=2) }}",
    )

    assert run_try(task, server).state == "success"
    assert [(call.agent_id, call.phone) for call in simulator.calls] == [("10002", PHONE)]


@pytest.mark.parametrize("phone", [f"{{{{ {PHONE} }}}}", f"{{{{ '{PHONE}' }}}}", "{{ '+57 300 555 0101' }}"])
def test_native_rendering_may_make_numbers_of_them(simulator, wolkvox_connection, server, phone):
    def native(dag):
        dag.render_template_as_native_obj = True
        return calling(agent_id="{{ 10001 }}", customer_phone=phone, call_before="{{ logical_date.add(hours=1) }}")(dag)

    assert run_try(native, server).state == "success"
    assert [(call.agent_id, call.phone[-10:]) for call in simulator.calls] == [(AGENT, PHONE)]


@pytest.mark.parametrize(("agent", "phone"), [(10001, 3005550101), ("10001", 3005550101)])
def test_whole_numbers_are_taken(simulator, wolkvox_connection, server, agent, phone):
    assert run_try(calling(agent_id=agent, customer_phone=phone), server).state == "success"
    assert simulator.rings == {PHONE: 1}


WRONG = [
    ({"agent_id": ""}, "agent_id is missing"),
    ({"agent_id": "  "}, "agent_id is missing"),
    ({"agent_id": "Ana"}, "agent_id is not digits"),
    ({"agent_id": "٤٢"}, "is not digits"),
    ({"customer_phone": ""}, "customer_phone is missing"),
    ({"customer_phone": "1234"}, "has 4 digits"),
    ({"customer_phone": "1" * 21}, "has 21 digits"),
    ({"customer_phone": "300x5550101"}, "has an extension"),
    ({"customer_phone": "++573005550101"}, "something other than digits"),
    ({"call_before": "2026-11-22 18:00:00"}, "has no time zone"),
    ({"call_before": "tomorrow"}, "is no instant"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *WRONG,
        ({"agent_id": True}, "agent_id must be text"),
        ({"customer_phone": 1234}, "has 4 digits"),
        ({"call_before": datetime(2026, 11, 22, 18)}, "has no time zone"),
        ({"on_unknown": "ring again"}, "on_unknown must be one of"),
    ],
)
def test_what_cannot_be_right_is_refused_while_the_dag_is_parsed(arguments, message):
    with pytest.raises(ValueError, match=message) as wrong:
        calling(**arguments)(None)
    assert PHONE not in str(wrong.value)


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_be_right_once_rendered_fails_before_any_request(
    simulator, wolkvox_connection, server, arguments, message
):
    [(name, value)] = arguments.items()
    result = run_try(calling(**{name: f"{{{{ '{value}' }}}}"}, retries=3), server, retries=3)

    assert result.state == "failed"
    assert message in str(result.error)
    assert sent(simulator) == 0
    assert "SetTaskStateStore:intent" not in server.kinds()


@pytest.mark.parametrize("value", [["3005550101"], {"phone": PHONE}])
@pytest.mark.parametrize("name", ["agent_id", "customer_phone"])
def test_what_is_neither_text_nor_number_is_refused_while_the_dag_is_parsed(name, value):
    with pytest.raises(ValueError, match=f"{name} must be text"):
        calling(**{name: value})(None)


@pytest.mark.parametrize(("value", "message"), [(None, "is missing"), (3005550101.0, "read it as text")])
def test_none_and_a_float_are_rejected_while_the_dag_is_parsed(value, message):
    with pytest.raises(ValueError, match=message):
        calling(customer_phone=value)(None)


def test_an_undefined_variable_makes_no_call(simulator, wolkvox_connection, server):
    result = run_try(calling(customer_phone="{{ no_such_thing.number }}"), server)

    assert result.state == "failed"
    assert sent(simulator) == 0


def test_a_mapped_task_calls_with_what_it_was_given(simulator, wolkvox_connection, server):
    customers = [{"agent_id": "10002", "customer_phone": "3005550102"}, {"agent_id": "10003", "customer_phone": PHONE}]

    def second(ti):
        ti.map_index = 1

    result = run_try(
        lambda dag: AuxCallOperator.partial(task_id="call").expand_kwargs(customers), server, around=second
    )

    assert result.state == "success"
    assert [(call.agent_id, call.phone) for call in simulator.calls] == [("10003", PHONE)]


@pytest.mark.filterwarnings("ignore:Task 'call' was never mapped")
def test_a_task_mapped_over_a_wrong_number_is_refused_while_the_dag_is_parsed():
    with DAG("callbacks", schedule=None), pytest.raises(ValueError, match="has 2 digits"):
        AuxCallOperator.partial(task_id="call", agent_id=AGENT).expand(customer_phone=["12"])


# Refusals


def refused(result, simulator) -> str:
    """The message of a task that wolkvox refused: it says that no phone rang, and none did."""
    assert simulator.rings == {}
    assert result.xcoms in ({"state": "refused"}, {"state": "not_sent"})
    message = str(result.error)
    assert "wolkvox refused aux_call" in message
    assert "no phone rang" in message
    return message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("quota", ["TOKEN LIMIT EXCEEDED", "wait for the next day"]),
        ("bad_token", ["VALIDATE TOKEN", "Put a valid token", "Token field"]),
        ("no_token", ["401", "Put a valid token"]),
        ("no_such_api", ["400", "DOES NOT EXIST"]),
        ("parameters_missing", ["400", "SOME PARAMETERS ARE REQUIRED"]),
    ],
)
def test_a_refusal_fails_the_task_without_a_retry(simulator, wolkvox_connection, server, fault, words):
    simulator.fault(fault, times=None)

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == "failed"
    message = refused(result, simulator)
    assert all(word in message for word in words), message
    assert sent(simulator) == 1
    assert server.store["wolkvox_call"]["state"] == "refused"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"logged_in": False}, "not logged in"),
        ({"on_call": True}, "active call"),
        ({"has_cut_call": False}, "no finished predictive call"),
        (None, "does not exist"),
    ],
)
def test_an_agent_who_cannot_call_fails_the_task_without_a_retry(simulator, wolkvox_connection, server, state, words):
    if state is None:
        simulator.remove_agent(AGENT)
    else:
        simulator.change_agent(AGENT, **state)

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == "failed"
    assert words in refused(result, simulator)
    assert sent(simulator) == 1


def test_a_token_that_wolkvox_does_not_know_fails_the_task_without_a_retry(simulator, set_connection, server):
    set_connection(password="not-" + TOKEN, extra={"base_url": simulator.base_url})

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == "failed"
    assert TOKEN not in refused(result, simulator)


def test_a_token_that_stays_in_use_fails_the_try_only(simulator, wolkvox_connection, server, quick_resends):
    simulator.fault("busy", times=None)

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == LEFT_TO_A_RETRY
    assert "one pool of one slot" in refused(result, simulator)
    assert sent(simulator) == 4


def test_a_token_that_is_in_use_for_a_moment_is_waited_for(simulator, wolkvox_connection, server, quick_resends):
    simulator.fault("busy", times=2)

    assert run_try(calling(), server).state == "success"
    assert simulator.rings == {PHONE: 1}
    assert sent(simulator) == 3


def test_an_api_that_is_switched_off_fails_the_try_only(simulator, wolkvox_connection, server):
    simulator.maintenance = True

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == LEFT_TO_A_RETRY
    assert "backups and maintenance" in refused(result, simulator)
    assert sent(simulator) == 1


def test_a_server_that_cannot_be_reached_fails_the_try_only(simulator, wolkvox_connection, server, quick_resends):
    simulator.stop()

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == LEFT_TO_A_RETRY
    assert "aux_call was not sent" in str(result.error)
    assert "no phone rang" in str(result.error)


@pytest.mark.parametrize("prepare", ["busy", "maintenance", "unreachable"])
def test_what_fails_the_try_only_fails_the_task_when_no_retries_are_left(
    simulator, wolkvox_connection, server, quick_resends, prepare
):
    if prepare == "unreachable":
        simulator.stop()
    elif prepare == "busy":
        simulator.fault("busy", times=None)
    else:
        simulator.maintenance = True

    assert run_try(calling(), server).state == "failed"
    assert simulator.rings == {}


@needs_ledger
def test_a_retry_after_a_try_that_did_nothing_calls(simulator, wolkvox_connection, server):
    simulator.maintenance = True
    assert run_try(calling(retries=3), server, retries=3).state == "up_for_retry"
    simulator.maintenance = False

    assert run_try(calling(retries=3), server, retries=3, try_number=2).state == "success"
    assert simulator.rings == {PHONE: 1}


# Outcomes that nobody knows

UNKNOWN = [
    ("drop_before_reading", 0),
    ("drop_after_reading", 0),
    ("drop_after_ringing", 1),
    ("close_after_ringing", 1),
    ("stall", 1),
    ("stall_body", 1),
    ("cut_body", 1),
    ("garbage", 1),
    ("garbage_body", 1),
    ("bad_gzip", 1),
    ("server_error", 1),
    ("redirect", 0),
]


@pytest.mark.parametrize(("fault", "rings"), UNKNOWN)
def test_an_unknown_outcome_fails_the_task_without_a_retry(simulator, set_connection, server, fault, rings):
    set_connection(extra={"base_url": simulator.base_url, "total_timeout": time_for(fault)})
    simulator.fault(fault, times=None)

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == "failed"
    assert result.xcoms == {"state": "unknown"}
    assert simulator.rings[PHONE] == rings
    assert sent(simulator) + simulator.drops_before_reading == 1
    message = str(result.error)
    assert "The phone may have rung" in message
    assert "reports" in message
    assert ("airflow wolkvox release callbacks manual__1 call --yes" in message) == HAS_LEDGER
    assert TOKEN not in message
    assert PHONE not in message
    assert MASKED in message


@pytest.mark.parametrize(("fault", "rings"), UNKNOWN)
def test_no_later_try_calls_after_an_unknown_outcome(simulator, set_connection, server, fault, rings):
    set_connection(extra={"base_url": simulator.base_url, "total_timeout": time_for(fault)})
    simulator.fault(fault)
    run_try(calling(retries=3), server, retries=3)

    # A person clears the task.
    result = run_try(calling(retries=3), server, try_number=2, retries=3, max_tries=4)

    assert result.state == "failed"
    assert simulator.rings[PHONE] == rings
    assert sent(simulator) + simulator.drops_before_reading == 1


# The connection


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": ""}, "'Server code' is empty"),
        ({"password": None}, "'Token' is empty"),
        ({"host": "wolkvox"}, "server code"),
        pytest.param({"extra": "no json"}, "'Extra' is not a JSON object", marks=needs_raw_extra),
        ({"extra": {"total_timeout": "soon"}}, "total_timeout"),
    ],
)
def test_a_connection_that_cannot_be_right_fails_the_task_without_a_retry(
    simulator, set_connection, server, fields, words
):
    set_connection(**{"extra": {"base_url": simulator.base_url}, **fields})

    result = run_try(calling(retries=3), server, retries=3)

    assert result.state == "failed"
    assert words in str(result.error)
    assert "No request was made" in str(result.error)
    assert sent(simulator) == 0


def test_nothing_is_asked_of_airflow_while_an_operator_is_made(monkeypatch):
    from airflow.providers.common.compat.sdk import BaseHook

    asked = []
    monkeypatch.setattr(BaseHook, "get_connection", lambda *args: asked.append(args))

    calling(wolkvox_conn_id="no_such_connection")(None)

    assert asked == []


# Killing


def test_a_task_killed_before_it_starts_makes_no_call(simulator, wolkvox_connection, server):
    result = run_try(calling(), server, around=lambda ti: ti.task.on_kill())

    assert result.state == "failed"
    assert "told to stop" in str(result.error)
    assert sent(simulator) == 0


def test_a_task_killed_just_before_it_sends_makes_no_call(simulator, wolkvox_connection, server):
    def kill(message, when):
        if kind_of(message) == "GetTaskStates" and when == "after":
            os.kill(os.getpid(), signal.SIGTERM)

    server.on_message = kill

    result = run_try(calling(), server)

    assert result.state == "failed"
    assert "told to stop" in str(result.error)
    assert sent(simulator) == 0
    assert server.store["wolkvox_call"]["state"] == "not_sent"


@needs_ledger
def test_a_task_killed_while_it_waits_to_send_again_ends_at_once(simulator, wolkvox_connection, server, monkeypatch):
    # The kill cuts this wait short; else the request would be sent again after it.
    monkeypatch.setattr(Resend, "wait_after", lambda self, attempt: 60.0)
    simulator.fault("busy", times=None)

    def kill(message, when):
        if when == "after" and kind_of(message) == "SetTaskStateStore:refused":
            os.kill(os.getpid(), signal.SIGTERM)

    server.on_message = kill

    assert run_try(calling(), server).state == "failed"
    assert sent(simulator) == 1


# What is said


@pytest.fixture
def hushed(everything_said, simulator):
    """Checks that nothing said, kept or pushed holds the token or the whole number, and returns what was said."""

    def check(server: Server, *errors: BaseException | None) -> str:
        said = everything_said()
        kept = json.dumps(server.store) + json.dumps(server.xcoms)
        told = "".join("".join(traceback.format_exception(error)) + repr(error) for error in errors if error)
        for text in (said, kept, told):
            assert TOKEN not in text
            assert PHONE not in text
            assert "300 555 0101" not in text
        return said

    return check


def test_a_call_is_logged_with_its_masked_number_only(simulator, wolkvox_connection, server, hushed):
    result = run_try(calling(customer_phone="300 555 0101"), server)

    said = hushed(server, result.error)
    assert f"agent {AGENT} rings {MASKED}" in said
    assert result.xcoms["conn_id"] in said
    # The libraries below do log, at DEBUG: the text is not clean because nothing was caught.
    assert "Starting new HTTP connection" in said


@pytest.mark.parametrize(
    "fault", ["busy", "quota", "bad_token", "no_such_api", "api_off", *(fault for fault, rings in UNKNOWN)]
)
def test_no_failure_shows_the_token_or_the_number(simulator, set_connection, server, quick_resends, hushed, fault):
    set_connection(extra={"base_url": simulator.base_url, "total_timeout": time_for(fault)})
    simulator.fault(fault, times=None)

    result = run_try(calling(), server)

    said = hushed(server, result.error)
    assert "Task failed with exception" in said


@pytest.mark.parametrize("shown", ["error", "msg"])
def test_a_server_that_repeats_the_token_and_the_number_is_not_repeated(
    simulator, wolkvox_connection, server, hushed, shown
):
    echo = {"code": "400", "error": "BAD REQUEST", "msg": "no"}
    echo[shown] = f"token {TOKEN} must not ring {PHONE} nor +57{PHONE}"
    simulator.fault("reply", body=echo, status=400)

    result = run_try(calling(), server)

    hushed(server, result.error)
    assert "must not ring" in str(result.error)


def test_a_server_that_cannot_be_reached_makes_nothing_shown(
    simulator, wolkvox_connection, server, quick_resends, hushed
):
    simulator.stop()
    result = run_try(calling(), server)
    assert "Sending it again" in hushed(server, result.error)


def test_a_number_that_cannot_be_right_is_not_shown_whole(simulator, wolkvox_connection, server, hushed):
    result = run_try(calling(customer_phone=f"{{{{ '{PHONE}' }}}}x"), server)

    hushed(server, result.error)
    assert MASKED in str(result.error)


def test_an_operators_repr_shows_neither_number_nor_token(wolkvox_connection):
    task = calling()(None)
    task.hook.get_conn()
    assert PHONE not in repr(task)
    assert TOKEN not in f"{task!r} {task.hook!r}"


# What importing costs


def test_importing_the_operator_and_making_one_imports_no_heavy_library():
    script = (
        "import sys, airflow.providers.common.compat.sdk as sdk\n"
        "sdk.BaseOperator, sdk.BaseHook, sdk.AirflowFailException\n"
        "heavy = ('requests', 'urllib3', 'holidays', 'phonenumbers', 'sqlalchemy', 'pandas')\n"
        "before = set(sys.modules)\n"
        "from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator\n"
        f"AuxCallOperator(task_id='t', agent_id='{AGENT}', customer_phone='{PHONE}', "
        "call_before='2026-11-22T18:00:00-05:00')\n"
        "AuxCallOperator.partial(task_id='m').expand_kwargs([{'agent_id': '1', 'customer_phone': '12345'}])\n"
        "print('#' + ' '.join(name for name in heavy if name in sys.modules and name not in before))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.partition("#")[2].split() == []


@pytest.mark.skipif(HAS_TASK_SDK, reason="from 3.0 no command runs a finished try again")
@pytest.mark.parametrize("ended", [True, False])
def test_a_first_try_that_a_person_forces_to_run_again_calls_nobody(simulator, wolkvox_connection, server, ended):
    from airflow.models import Log
    from airflow.utils.session import create_session

    def ran(ti):
        if ended:
            ti.duration = 1.0
            return
        with create_session() as session:
            session.query(Log).delete()
            session.add_all(Log("running", ti) for _ in range(2))

    result = run_try(calling(), server, around=ran)

    assert result.state == "failed"
    assert "this very try was run before" in str(result.error)
    assert simulator.rings == {}
