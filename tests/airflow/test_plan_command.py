"""`airflow wolkvox plan` shows a person what the operator would choose; `release` lets go of what is unknown only."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from capabilities import needs_ledger
from failed_tasks import failed_run
from samples import TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.__main__ import main
from airflow_provider_wolkvox.calling import Rules
from airflow_provider_wolkvox.ledger import CallState, Entry, key_of
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator
from airflow_provider_wolkvox.simulator import Directory, DoNotCall

CAMPAIGN = "32841"
OUTSIDE = "The token is used now, outside of its pool: run this while no call is under way."
PHONES = {name: f"30055502{place:02}" for place, name in enumerate(("cut", "later", "long", "busy", "agent"))}


@pytest.fixture
def sim(simulator):
    """A campaign of five calls of the last hour, three of which a customer cut off, two of them at once."""
    simulator.cut_calls = False
    simulator.add_campaign(CAMPAIGN)
    past = {
        "cut": {"seconds_ago": 3000, "talk_seconds": 4, "cod_act": "101"},
        "later": {"seconds_ago": 2000, "talk_seconds": 9, "cod_act": "201"},
        "long": {"seconds_ago": 2500, "talk_seconds": 90},
        "busy": {"seconds_ago": 1500, "result": "BUSY"},
        "agent": {"seconds_ago": 1000, "talk_seconds": 5, "hang_up": "agent"},
    }
    for name, call in past.items():
        agent_id = "" if "result" in call else "10003"
        simulator.add_past_call(PHONES[name], agent_id, campaign_id=CAMPAIGN, conn_id=f"conn-{name}", **call)
    return simulator


@pytest.fixture
def plan(sim, wolkvox_connection, capsys):
    """Run the command; return its exit status, what it printed, and what it said besides."""
    # Airflow says a word of its own when it first reads its configuration; have that over.
    BaseHook.get_connection(wolkvox_connection)

    def run(*arguments: str, **options: object) -> tuple[object, str, str]:
        options = {"campaign": CAMPAIGN, "since": hours_ago(2), **options}
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
        capsys.readouterr()
        status: object = 0
        try:
            status = main(["plan", *given, *arguments])
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        for number in (*PHONES.values(), TOKEN):
            assert number not in said.out + said.err
        assert sim.rings == {}
        return status, said.out, said.err

    return run


@pytest.fixture
def rows(plan):
    """Run the command for JSON; return its rows."""

    def run(*arguments: str, **options: object) -> list[dict]:
        status, out, _ = plan(*arguments, output="json", **options)
        assert not status
        return json.loads(out)

    return run


def hours_ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


def masked(name: str) -> str:
    return f"***{PHONES[name][-4:]}"


def customers(found: list[dict]) -> list[str]:
    return [row["customer"] for row in found]


CUT = ("--hung-up-by=customer", "--shorter-than=20")


def test_callbacks_are_shown_as_json_with_masked_numbers(rows):
    first, second = rows(*CUT)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+", first.pop("call"))
    assert int(first.pop("seconds")) == 4
    assert first == {
        "agent": "10003",
        "customer": masked("cut"),
        "result": "ANSWER",
        "disposition": "101",
        "conn_id": "conn-cut",
    }
    assert second["customer"] == masked("later")


def test_callbacks_are_shown_as_a_table(plan):
    status, out, said = plan(*CUT)
    assert not status
    assert all(word in out for word in ("agent", "customer", "call", "conn-cut", "10003", masked("cut"), "conn-later"))
    assert OUTSIDE in said
    assert "2 callbacks. Not called back: 1 result, 1 length, 1 hung-up-by." in said


def test_skips_are_shown_instead_with_their_reasons(rows):
    found = {row["conn_id"]: row for row in rows("--skips", *CUT)}
    assert {conn_id: row["reason"] for conn_id, row in found.items()} == {
        "conn-long": "length",
        "conn-busy": "result",
        "conn-agent": "hung-up-by",
    }
    assert found["conn-long"]["customer"] == masked("long")
    # The number stands in its own column.
    assert found["conn-long"]["why"].startswith("it lasted 90 s")
    assert "90 s" in found["conn-long"]["why"]


def test_skips_are_shown_as_a_table(plan):
    status, out, _ = plan("--skips", *CUT)
    assert not status
    assert all(word in out for word in ("reason", "length", "hung-up-by", masked("long"), "next_allowed"))


def test_a_skip_says_when_its_number_may_be_called(rows):
    [first, *_] = [row for row in rows("--skips", "--max-attempts=1") if row["reason"] == "max-attempts"]
    assert first["next_allowed"]


def test_it_chooses_whom_the_operator_chooses(sim, plan, rows, wolkvox_connection):
    rules = Rules(shorter_than=20, hung_up_by="customer")
    run = run_try(
        lambda dag: CampaignCallbacksOperator(task_id="c", campaign_id=CAMPAIGN, since=hours_ago(2), rules=rules),
        Server(),
    )
    returned = run.xcoms["return_value"]
    assert [(row["agent"], row["customer"]) for row in rows(*CUT)] == [
        (callback["agent_id"], f"***{callback['customer_phone'][-4:]}") for callback in returned
    ]
    counts = ", ".join(f"{count} {reason}" for reason, count in run.xcoms["skips"].items())
    assert f"{len(returned)} callbacks. Not called back: {counts}." in plan(*CUT)[2]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["cut", "long", "later", "agent"]),
        (["--results", "BUSY", "no answer"], []),
        (["--dispositions", "101", "301"], ["cut"]),
        (["--shorter-than", "5"], ["cut"]),
        (["--hung-up-by", "agent"], ["agent"]),
        (["--max-attempts", "1"], []),
        (["--max-attempts", "1", "--within", "0.5"], ["cut", "long", "later"]),
        (["--least-interval", "0.5"], ["cut", "long", "later"]),
        (["--limit", "1"], ["cut"]),
        (["--not-dispositions", "101"], ["long", "later", "agent"]),
        (["--no-cap"], ["cut", "long", "later", "agent"]),
        (["--priority", "201"], ["later", "cut", "long", "agent"]),
        (["--newest-first"], ["agent", "later", "long", "cut"]),
    ],
)
def test_each_rule_may_be_given(rows, arguments, names):
    assert customers(rows(*arguments)) == [masked(name) for name in names]


def test_there_is_an_option_for_each_rule():
    from airflow_provider_wolkvox.cli.plan import _RULES, COMMANDS

    # `--country` gives the hours.
    assert {*_RULES, "hours"} == {field.name for field in fields(Rules)}
    options = {flag.lstrip("-").replace("-", "_") for arg in COMMANDS[0].args for flag in arg.flags}
    assert set(_RULES) <= options


def test_times_are_those_of_the_connection(rows, set_connection, sim):
    set_connection(extra={"base_url": sim.base_url, "timezone": "America/Santiago"})
    [row, *_] = rows(since=hours_ago(6))
    assert row["call"].endswith((" -03", " -04"))


def test_until_ends_the_range(rows):
    assert customers(rows(until=hours_ago(0.6))) == [masked("cut"), masked("long")]


def test_a_countrys_law_may_leave_everybody_out(plan, set_connection, sim):
    set_connection(extra={"base_url": sim.base_url, "timezone": "America/Bogota"})
    status, _, said = plan(country="CO")
    assert not status
    assert "callbacks. Not called back" in said


def test_who_is_on_the_do_not_call_list_is_left_out(sim, rows):
    sim.directory = Directory(do_not_call=(DoNotCall(PHONES["cut"]),))
    assert masked("cut") not in customers(rows())


def test_another_connection_may_be_named(sim, rows, set_connection):
    set_connection("wolkvox_default", password="wrong")
    set_connection("sales", extra={"base_url": sim.base_url})
    assert customers(rows(*CUT, conn_id="sales")) == [masked("cut"), masked("later")]


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--results", "BUSY"], "Nobody."), (["--skips"], "Every attempt is called back.")]
)
def test_nothing_to_show_is_said(sim, plan, arguments, words):
    since = hours_ago(2)
    if "--skips" in arguments:
        sim.reset()
        sim.add_campaign(CAMPAIGN)
    status, out, _ = plan(*arguments, since=since)
    assert not status
    assert out.strip() == words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"campaign": "99999"}, "no campaign 99999"),
        ({"since": "yesterday"}, "--since is no instant"),
        ({"since": "2026-11-22 08:00:00"}, "has no time zone"),
        ({"until": "soon"}, "--until is no instant"),
        ({"until": hours_ago(5)}, "is before since"),
        ({"since": hours_ago(-5), "until": hours_ago(-4)}, "lies in the future"),
        ({"since": hours_ago(-5), "until": hours_ago(-9)}, "lies in the future"),
        ({"results": "ANSWERED"}, "is no result of wolkvox"),
        ({"results": "DO-NOT-CALL"}, "may not be called"),
        ({"max_attempts": "0"}, "max_attempts=0"),
        ({"within": "0"}, "within"),
        ({"least_interval": "-1"}, "least_interval"),
        ({"limit": "0"}, "limit=0"),
        ({"shorter_than": "0"}, "shorter_than"),
        ({"shorter_than": "nan"}, "shorter_than"),
        ({"country": "XX"}, "XX"),
        ({"conn_id": "no_such_connection"}, "no_such_connection"),
    ],
)
def test_what_cannot_be_right_ends_with_2_and_the_reason(sim, plan, options, words):
    status, out, said = plan(**options)
    assert status == 2
    assert words in said
    assert out == ""
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [["--within=soon"], ["--hung-up-by=nobody"], ["--limit=many"], ["--shorter-than"], ["-o", "csv"]],
)
def test_what_is_no_argument_ends_with_2(plan, arguments):
    status, _, said = plan(*arguments)
    assert status == 2
    assert "usage: python -m airflow_provider_wolkvox" in said


@pytest.mark.parametrize("argument", ["--within=inf", "--least-interval=1e300"])
def test_an_endless_length_of_time_ends_with_2(plan, argument):
    assert plan(argument)[0] == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("quota", "TOKEN LIMIT EXCEEDED"),
        ("bad_token", "VALIDATE TOKEN"),
        ("server_error", "outcome of campaign_3 is unknown"),
        ("drop_after_reading", "outcome of campaign_3 is unknown"),
    ],
)
def test_reports_that_cannot_be_read_end_with_2_and_the_reason(sim, plan, fault, words):
    sim.fault(fault, api="campaign_3", times=None)
    status, out, said = plan()
    assert status == 2
    assert words in said
    assert out == ""


def test_a_wolkvox_that_is_gone_ends_with_2(sim, plan, quick_resends):
    sim.stop()
    assert plan()[0] == 2


# release, of a task that makes several requests

DAG_ID, RUN_ID, TASK_ID = "uploads", "manual__1", "add"


@pytest.fixture
def ledger(migrated_database):
    """A task instance that failed, in Airflow's own database, and the entries of its ledger."""
    from airflow.models import TaskInstance
    from airflow.state import TaskScope, get_state_backend
    from airflow.utils.session import create_session

    scope = TaskScope(dag_id=DAG_ID, run_id=RUN_ID, task_id=TASK_ID, map_index=-1)

    class Kept:
        def keep(self, *states: CallState) -> None:
            with create_session() as session:
                for number, state in enumerate(states):
                    entry = Entry(state, 1, datetime.now(UTC), what=f"campaign 1, records {number}", answer={"sent": 1})
                    get_state_backend().set(scope, key_of(number), json.dumps(entry.to_json()), session=session)

        def states(self) -> list[str]:
            found = []
            with create_session() as session:
                while kept := get_state_backend().get(scope, key_of(len(found)), session=session):
                    found.append(json.loads(kept)["state"])
            return found

        def reasons(self) -> list[str]:
            with create_session() as session:
                kept = (get_state_backend().get(scope, key_of(n), session=session) for n in range(len(self.states())))
                return [json.loads(each)["reason"] for each in kept]

        def set_state(self, state: str) -> None:
            from sqlalchemy import update

            with create_session() as session:
                session.execute(update(TaskInstance).where(TaskInstance.dag_id == DAG_ID).values(state=state))

    with failed_run(DAG_ID, RUN_ID, TASK_ID):
        yield Kept()


@pytest.fixture
def release(ledger, capsys):
    def run(*arguments: str) -> tuple[object, str]:
        capsys.readouterr()
        status: object = 0
        try:
            main(["release", DAG_ID, RUN_ID, TASK_ID, *arguments])
        except SystemExit as end:
            status = end.code
        return status, capsys.readouterr().out

    return run


A, I, N, R = CallState.ACCEPTED, CallState.INTENT, CallState.NOT_SENT, CallState.REFUSED  # noqa: E741


@needs_ledger
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([A, I], ["accepted", "not_sent"]),
        ([A, I, A, I], ["accepted", "not_sent", "accepted", "not_sent"]),
        ([I], ["not_sent"]),
        ([A, A], ["not_sent", "not_sent"]),
        ([A], ["not_sent"]),
        ([], ["not_sent"]),
    ],
)
def test_only_what_is_unknown_is_released_and_all_if_nothing_is(ledger, release, before, after):
    ledger.keep(*before)
    status, out = release("--yes")
    assert not status
    assert "Released" in out
    assert ledger.states() == after
    assert "released by hand; before:" in " ".join(ledger.reasons())


@needs_ledger
def test_every_entry_is_shown_and_nothing_changed_without_yes(ledger, release):
    ledger.keep(A, A, I)
    status, out = release()
    assert "Nothing was changed" in str(status)
    assert all(f"campaign 1, records {number}" in out for number in range(3))
    assert ledger.states() == ["accepted", "accepted", "intent"]


@needs_ledger
@pytest.mark.parametrize("state", ["running", "queued"])
def test_a_task_that_is_under_way_is_not_released(ledger, release, state):
    ledger.keep(A, I)
    ledger.set_state(state)
    assert "under way" in str(release("--yes")[0])
    assert ledger.states() == ["accepted", "intent"]


@needs_ledger
@pytest.mark.parametrize("before", [[A, A, R], [A, N]])
def test_what_was_accepted_is_not_released_where_a_clear_alone_goes_on(ledger, release, before):
    ledger.keep(*before)
    release("--yes")
    assert ledger.states() == [state.value for state in before]
