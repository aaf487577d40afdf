"""What a DAG does at an agent's station: deeds once, states as often as asked, nothing too late, nothing said aloud."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import warnings
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from agent_tasks import (
    AT,
    CASES,
    COLLEAGUE,
    CUSTOMER,
    DEEDS,
    LATER,
    NAME,
    SECRETS,
    STATES,
    TALKING_TO,
    at_the_station,
    sent,
)
from airflow.providers.common.compat.sdk import DAG
from capabilities import HAS_LEDGER, DagSerialization, needs_ledger, needs_pause
from interruptions import Interruption
from samples import AGENT, PHONE, time_for
from task_runner import Server, run_try
from test_ledger_interruptions import KINDS, attempt

from airflow_provider_wolkvox.api import Resend
from airflow_provider_wolkvox.calling import CallingHours
from airflow_provider_wolkvox.operators import calling, once, recall

pytestmark = [
    pytest.mark.usefixtures("own_sigterm"),
    # A refused `partial` leaves one behind that nobody maps.
    pytest.mark.filterwarnings("ignore:Task 'task' was never mapped"),
]

LATE = timedelta(hours=25)
every = pytest.mark.parametrize("name", CASES)
deeds = pytest.mark.parametrize("name", DEEDS)
states = pytest.mark.parametrize("name", STATES)
# Whose asking has a phone ring, now or later.
ringing = pytest.mark.parametrize("name", ["dial", "transfer", "schedule recall"])


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_to_be_warned_of():
    """Have what a refused `partial` leaves collected here, not in another module's tests."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture
def station(monkeypatch):
    """Bring a case to its station; returns the case, its wolkvox and its server."""
    with ExitStack() as stations:

        def bring(name: str, **options):
            case = CASES[name]
            return (case, *stations.enter_context(at_the_station(monkeypatch, case, **options)))

        yield bring


def failed(run) -> str:
    """The words of a task that failed for good."""
    assert run.state == "failed", run
    # Only a call says whether it may have rung.
    assert run.xcoms.keys() <= {"state"}
    said = str(run.error)
    assert not [secret for secret in SECRETS if secret in said]
    return said


def entry(server: Server) -> dict:
    return server.store["wolkvox_call"]


@contextmanager
def resends_after(seconds: float):
    """Let a client wait so long before it sends again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Resend, "wait_after", lambda self, attempt: seconds)
        yield


def older(ti):
    """Take the store away, as it is before 3.3."""
    ti.get_template_context().pop("task_state_store", None)


# What each does


@every
def test_each_does_at_the_station_what_it_says_once(station, name):
    case, sim, server = station(name)
    before = sent(sim)
    run = attempt(server, make=case.make)
    assert run.state == "success", run.error
    assert (case.done(sim), sent(sim) - before) == (1, 1)
    at_work = sim.station(AGENT)
    given = run.xcoms.get("return_value")
    match name:
        case "dial":
            assert sim.rings == {PHONE: 1}
            assert run.xcoms == {"conn_id": sim.calls[-1].conn_id, "return_value": sim.calls[-1].conn_id}
        case "transfer":
            assert sim.rings == {TALKING_TO: 1, PHONE: 1}
            assert run.xcoms == {"conn_id": sim.calls[-1].conn_id, "return_value": sim.calls[-1].conn_id}
            assert not at_work.on_call
        case "hang up":
            assert not at_work.on_call
        case "disposition":
            assert given == sim.calls[-1].conn_id
            assert at_work.on_call
        case "disposition and hang up":
            assert (given, at_work.on_call, at_work.status) == ("", False, "ready")
        case "schedule recall":
            assert [(each.phone, each.due, each.style) for each in sim.recalls] == [(PHONE, AT, "auto")]
        case "status":
            assert at_work.status == "2"
        case "edit recall":
            assert [each.due for each in sim.recalls] == [LATER]
        case "delete recall":
            assert not sim.recalls


def test_a_dial_tells_wolkvox_who_the_customer_is(station):
    case, sim, server = station("dial", dial_prefix="9")
    assert attempt(server, make=case.make).state == "success"
    [command] = sim.commands
    assert command.values == {"customer_phone": f"9{PHONE}", "customer_id": CUSTOMER, "customer_name": NAME}


def test_a_dial_needs_no_call_before_it(station):
    case, sim, server = station("dial")
    sim.change_agent(AGENT, has_cut_call=False)
    assert attempt(server, make=case.make).state == "success"


def test_a_transfer_to_a_colleague_dials_no_prefix_and_shows_the_extension(station, everything_said):
    case, sim, server = station("transfer", dial_prefix="9")
    run = attempt(server, make=case.with_(customer_phone=COLLEAGUE, to_agent=True))
    assert run.state == "success", run.error
    assert sim.rings[COLLEAGUE] == 1
    assert entry(server)["phone"] == f"agent {COLLEAGUE}"
    assert f"rings agent {COLLEAGUE}" in everything_said()


@pytest.mark.parametrize("name", ["schedule recall", "edit recall"])
def test_a_recall_is_by_the_clock_of_the_connections_zone(station, name):
    case, sim, server = station(name, reports_timezone="America/Santiago")
    assert attempt(server, make=case.make).state == "success"
    values = sim.commands[-1].values
    date = values["rellamada" if name == "schedule recall" else "recall"]
    assert date == f"{case.arguments['at'].astimezone(ZoneInfo('America/Santiago')):%Y%m%d%H%M%S}"


@pytest.mark.parametrize("name", ["schedule recall", "edit recall", "delete recall"])
def test_a_recall_may_be_the_agents_own_and_have_a_name(station, name):
    case, sim, server = station(name)
    # Another one than the recall that is there: wolkvox says so.
    run = attempt(server, make=case.with_(recall_style="manual", name_recall="second try"))
    # An edit may change the style, so it finds the recall by campaign, customer and number [doc].
    if name != "delete recall":
        assert run.state == "success", run.error
        assert [(each.style, each.name) for each in sim.recalls] == [("manual", "second try")]
    else:
        assert "The recall does not exist" in failed(run)


@every
def test_the_fields_are_rendered(station, name):
    case, sim, server = station(name)
    rendered = {
        field: f"{{{{ '{case.arguments[field]}' }}}}"
        for field in case.operator.template_fields
        if case.arguments.get(field) is not None
    }
    assert len(rendered) >= 1
    run = attempt(server, make=case.with_(**rendered))
    assert run.state == "success", run.error
    assert case.done(sim) == 1


@every
def test_native_rendering_may_make_numbers_and_datetimes_of_them(station, name):
    def native(dag):
        dag.render_template_as_native_obj = True
        rendered = {
            field: f"{{{{ {value} }}}}"
            for field, value in case.arguments.items()
            if field in case.operator.template_fields and str(value).isdigit()
        }
        return case.make(dag, **rendered)

    case, sim, server = station(name)
    run = attempt(server, make=native)
    assert run.state == "success", run.error
    assert case.done(sim) == 1


# In the lane


def read_back(dag) -> dict:
    """The tasks of a DAG as the scheduler reads them from the database."""
    data = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    DagSerialization.validate_schema(data)
    return DagSerialization.from_dict(data).task_dict


@every
@pytest.mark.parametrize(
    ("given", "pool"), [({}, "wolkvox_default"), ({"wolkvox_conn_id": "sales"}, "sales"), ({"pool": "line"}, "line")]
)
def test_a_plain_and_a_mapped_task_are_in_their_lane_and_keep_their_retries(name, given, pool):
    case = CASES[name]
    with DAG("d", schedule=None, default_args={"retries": 3, "pool": "elsewhere", "pool_slots": 1}) as dag:
        case.operator(task_id="plain", **case.arguments, **given)
        case.operator.partial(task_id="mapped", **given).expand_kwargs([{**case.arguments}])
    tasks = read_back(dag)
    for task in tasks.values():
        assert (task.pool, task.pool_slots, task.retries) == (pool, 1, 3)
        assert "wolkvox_conn_id" in task.template_fields


@every
def test_a_mapped_task_does_it_too(station, name):
    case, sim, server = station(name)

    def mapped(dag):
        return case.operator.partial(task_id="task").expand_kwargs([case.arguments])

    run = attempt(server, make=mapped, around=lambda ti: setattr(ti, "map_index", 0))
    assert run.state == "success", run.error
    assert case.done(sim) == 1


@every
def test_outside_of_its_lane_it_does_nothing(station, name):
    def moved(dag):
        task = case.make(dag)
        task.pool = "default_pool"
        return task

    case, sim, server = station(name)
    before = sent(sim)
    assert "outside its lane" in failed(attempt(server, make=moved, retries=3))
    assert sent(sim) == before


# Deeds: once


@needs_ledger
@deeds
def test_a_deed_that_is_cleared_is_not_done_again_and_returns_the_same(station, name):
    case, sim, server = station(name)
    first = attempt(server, make=case.make)
    requests = sent(sim)
    server.ti_id = uuid4()
    second = attempt(server, make=case.make, try_number=2, max_tries=1)
    assert second.state == "success", second.error
    assert second.xcoms == first.xcoms
    assert case.done(sim) == 1
    assert sent(sim) == requests


UNKNOWN = [
    ("drop_after_ringing", 1),
    ("drop_after_reading", 0),
    ("stall", 1),
    ("cut_body", 1),
    ("garbage_body", 1),
    ("server_error", 1),
    ("redirect", 0),
]


@deeds
@pytest.mark.parametrize(("fault", "done"), UNKNOWN)
def test_a_deed_of_unknown_outcome_fails_without_a_retry_and_no_later_try_does_it(station, name, fault, done):
    case, sim, server = station(name, total_timeout=time_for(fault))
    before = sent(sim)
    sim.fault(fault, api=case.api)
    for number in (1, 2, 3):
        said = failed(attempt(server, make=case.make, retries=3, try_number=number))
        assert f"outcome of this {case.noun} is unknown" in said
        assert "again on its own" in said
        assert ("airflow wolkvox release callbacks manual__1 task --yes" in said) == HAS_LEDGER
        assert entry(server)["state"] == "intent"
        server.ti_id = uuid4()
    assert case.done(sim) == done
    assert sent(sim) - before == 1


@deeds
@pytest.mark.parametrize("kind", KINDS)
def test_a_deed_is_done_at_most_once_whatever_interrupts_it_when(monkeypatch, name, kind):
    case = DEEDS[name]
    watched: list[str] = []
    with at_the_station(monkeypatch, case) as (sim, server):
        assert attempt(server, Interruption("nothing", 0, "before", server, names=watched), make=case.make).state
    tally = set()
    for when in ("before", "after"):
        for number, step in enumerate(watched, start=1):
            if step in ("MaskSecret", "SetRenderedFields"):
                continue
            with at_the_station(monkeypatch, case) as (sim, server):
                interruption = Interruption(kind, number, when, server)
                attempt(server, interruption, make=case.make, retries=1, quiet=True)
                assert interruption.done, f"{when} {step} was never reached"
                cleared = kind in ("clear", "mark failed", "mark success") or server.task_state in ("success", "failed")
                server.ti_id = uuid4()
                how = {"try_number": 2, "retries": 1, "max_tries": 2 if cleared else 1, "quiet": True}
                second = attempt(server, make=case.make, **how)
                where = f"{kind} {when} {step}"
                assert case.done(sim) <= 1, where
                assert second.state in ("success", "failed"), where
                if second.state == "success":
                    assert case.done(sim) == 1, where
                else:
                    reason = case.noun if HAS_LEDGER else "this is try 2"
                    assert reason in str(second.error), f"{where}: no reason given"
                tally.add((second.state, case.done(sim)))
    # No use as a test if none of them ever came between request and answer.
    if not HAS_LEDGER:
        # Nothing is remembered, so the second try refuses whatever became of the first.
        assert tally == {("failed", 0), ("failed", 1)}
        return
    assert ("success", 1) in tally
    if kind in ("kill", "execution timeout", "clear"):
        assert ("failed", 1) in tally


@deeds
def test_before_3_3_a_later_try_of_a_deed_refuses_unless_its_author_allows_it(station, name):
    case, sim, server = station(name)
    assert attempt(server, make=case.make, around=older).state == "success"
    server.xcoms.clear()
    said = failed(attempt(server, make=case.make, around=older, try_number=2, retries=1))
    assert "before 3.3" in said
    assert "allow_second_try=True" in said
    assert case.done(sim) == 1


@needs_ledger
@deeds
def test_a_deed_for_another_than_it_was_done_for_is_refused(station, name):
    case, sim, server = station(name)
    assert attempt(server, make=case.make).state == "success"
    server.xcoms.clear()
    before = sent(sim)
    other = {"agent_id": COLLEAGUE} if "customer_phone" not in case.arguments else {"customer_phone": "3005550202"}
    said = failed(attempt(server, make=case.with_(**other), try_number=2, max_tries=1))
    assert "for another" in said
    assert sent(sim) == before


# States: again


@states
@pytest.mark.parametrize(("fault", "done"), UNKNOWN)
def test_a_state_of_unknown_outcome_is_asked_for_again_by_the_retry(station, name, fault, done):
    case, sim, server = station(name, total_timeout=time_for(fault))
    before = sent(sim)
    sim.fault(fault, api=case.api)
    first = attempt(server, make=case.make, retries=1)
    assert first.state == "up_for_retry"
    assert "It was not sent again" in str(first.error)
    assert (case.done(sim), sent(sim) - before) == (done, 1)
    second = attempt(server, make=case.make, retries=1, try_number=2)
    if name == "delete recall" and done:
        # There is none left to be deleted, and wolkvox says so.
        assert "The recall does not exist" in failed(second)
    else:
        assert second.state == "success"
        assert case.done(sim) == done + 1
    assert server.store == {}


@states
def test_a_state_is_asked_for_again_when_its_task_is_cleared(station, name):
    case, sim, server = station(name)
    attempt(server, make=case.make)
    before = sent(sim)
    run = attempt(server, make=case.make, try_number=2, max_tries=1, around=older)
    assert sent(sim) - before == 1
    assert run.state == ("failed" if name == "delete recall" else "success")


# Both


REFUSALS = [
    ("quota", "TOKEN LIMIT EXCEEDED"),
    ("bad_token", "VALIDATE TOKEN"),
    ("no_token", "401"),
    ("no_such_api", "DOES NOT EXIST"),
]


@every
@pytest.mark.parametrize(("fault", "words"), REFUSALS)
def test_a_refusal_fails_at_once_with_wolkvoxs_words(station, name, fault, words):
    case, sim, server = station(name)
    before = sent(sim)
    sim.fault(fault, times=None)
    said = failed(attempt(server, make=case.make, retries=3))
    assert words in said
    assert "did not act" in said
    assert sent(sim) - before == 1
    assert case.done(sim) == 0


@pytest.mark.parametrize("name", ["transfer", "hang up", "disposition and hang up"])
def test_an_agent_without_a_call_fails_at_once_with_wolkvoxs_words(station, name):
    case, sim, server = station(name)
    sim.reset()
    assert "no active call" in failed(attempt(server, make=case.make, retries=3))


@every
def test_an_agent_who_is_not_logged_in_fails_at_once_with_wolkvoxs_words(station, name):
    case, sim, server = station(name)
    sim.change_agent(AGENT, logged_in=False)
    assert "not logged in" in failed(attempt(server, make=case.make, retries=3))


@every
@pytest.mark.parametrize("trouble", ["busy", "maintenance", "unreachable"])
def test_what_passes_goes_to_the_retry_which_does_it_if_it_may(station, name, trouble):
    case, sim, server = station(name)
    if trouble == "busy":
        sim.fault("busy", times=4)
    elif trouble == "maintenance":
        sim.maintenance = True
    else:
        sim.stop()
    first = attempt(server, make=case.make, retries=1)
    assert case.done(sim) == 0
    if name in DEEDS and not HAS_LEDGER:
        # Its retry could not know that nothing was done.
        assert first.state == "failed"
        return
    assert first.state == "up_for_retry"
    sim.maintenance = False
    if trouble == "unreachable":
        sim.start()
    assert attempt(server, make=case.make, retries=1, try_number=2).state == "success"
    assert case.done(sim) == 1


@every
def test_a_run_that_is_too_old_does_nothing(station, name):
    case, sim, server = station(name)
    before = sent(sim)
    said = failed(attempt(server, make=case.make, retries=3, due=datetime.now(UTC) - LATE))
    assert "(max_age)" in said
    assert sent(sim) == before
    assert attempt(server, make=case.with_(max_age=None), due=datetime.now(UTC) - LATE).state == "success"


@pytest.mark.parametrize("name", ["transfer", "hang up", "disposition", "disposition and hang up", "status"])
def test_what_is_done_to_the_call_of_the_moment_may_be_an_hour_late_at_most(station, name):
    case, _, server = station(name)
    hour = timedelta(hours=1)
    assert "(max_age)" in failed(attempt(server, make=case.make, due=datetime.now(UTC) - hour))
    nearly = datetime.now(UTC) - hour + timedelta(seconds=30)
    assert attempt(server, make=case.make, due=nearly).state == "success"


@every
def test_what_waits_for_its_token_until_it_is_too_late_is_not_done(station, name):
    """The token is in use at the first try; before the second one the run has become too old."""
    case, sim, server = station(name)
    sim.fault("busy", times=1)
    with resends_after(0.6):
        run = run_try(case.with_(max_age=timedelta(seconds=0.5)), server, due=datetime.now(UTC))
    assert run.state == "failed"
    assert "(max_age)" in str(run.error)
    assert case.done(sim) == 0


@every
def test_a_task_killed_before_it_starts_does_nothing(station, name):
    case, sim, server = station(name)
    before = sent(sim)
    run = attempt(server, make=case.make, around=lambda ti: ti.task.on_kill())
    assert "told to stop" in str(run.error)
    assert sent(sim) == before


@every
def test_nothing_says_token_number_name_or_comment(station, name, everything_said):
    case, sim, server = station(name, total_timeout=1.0)
    echo = {"code": "404", "error": "x", "msg": " ".join(case.secrets)}
    for fault, options in (("busy", {}), ("reply", {"status": 404, "body": echo}), ("stall", {}), (None, {})):
        if fault:
            sim.fault(fault, api=case.api, **options)
        run = attempt(server, make=case.make, retries=5)
        assert not [secret for secret in case.secrets if secret in f"{run.error!r} {server.store} {server.xcoms}"]
        server.store.clear()
    said = everything_said()
    assert f"wolkvox refused {case.api}" in said
    assert not [secret for secret in case.secrets if secret in said]


@deeds
def test_the_ledger_holds_neither_number_nor_name_nor_comment(station, name):
    case, _, server = station(name)
    assert attempt(server, make=case.make).state == "success"
    kept = json.dumps(server.store, ensure_ascii=False)
    assert not [secret for secret in SECRETS if secret in kept]
    assert AGENT in kept


# All calling is stopped


@ringing
@pytest.mark.parametrize("value", ["true", "wolkvox_default"])
def test_nothing_that_rings_is_done_while_all_calling_is_stopped(station, name, value):
    case, sim, server = station(name)
    before = sent(sim)
    server.variables["wolkvox_stop"] = value
    said = failed(attempt(server, make=case.make, retries=3))
    assert "wolkvox_stop" in said
    assert f"The {case.noun} was not made" in said
    assert sent(sim) == before
    server.variables.clear()
    second = attempt(server, make=case.make, try_number=2, max_tries=4)
    assert second.state == ("success" if HAS_LEDGER else "failed")
    assert case.done(sim) == (1 if HAS_LEDGER else 0)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("dial", "transfer", "schedule recall")])
def test_what_rings_nobody_is_done_although_all_calling_is_stopped(station, name):
    case, sim, server = station(name)
    server.variables["wolkvox_stop"] = "true"
    assert attempt(server, make=case.make).state == "success"
    assert case.done(sim) == 1


# Calling hours

BOGOTA = "America/Bogota"


def closed_at(at: datetime) -> CallingHours:
    """Hours that are open every day but that of an instant."""
    day = at.astimezone(ZoneInfo(BOGOTA))
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return CallingHours.weekly(
        {name: "00:00-24:00" for number, name in enumerate(days) if number != day.weekday()}, timezone=BOGOTA
    )


@needs_pause
@pytest.mark.parametrize(("outside", "state"), [("wait", "up_for_reschedule"), ("skip", "skipped"), ("fail", "failed")])
def test_a_dial_keeps_the_customers_hours(station, outside, state):
    case, sim, server = station("dial")
    noon = datetime(2026, 11, 25, 17, tzinfo=UTC)
    make = case.with_(calling_hours=closed_at(noon), outside_hours=outside, max_age=None)
    with at(noon):
        assert attempt(server, make=make).state == state
    assert sent(sim) == 0
    assert "may not be called now" in entry(server)["reason"]


def test_a_dial_keeps_the_hours_of_its_connections_country(station):
    case, sim, server = station("dial", country="CO")
    with at(datetime(2026, 12, 8, 15, tzinfo=UTC)):
        # A public holiday there.
        run = attempt(server, make=case.with_(outside_hours="fail", max_age=None))
    assert "may not be called now" in failed(run)
    assert sent(sim) == 0


@contextmanager
def at(instant: datetime):
    """Let the operators' clock, and no other, show an instant."""

    class Shown(datetime):
        @classmethod
        def now(cls, tz=None):
            return instant.astimezone(tz)

    with pytest.MonkeyPatch.context() as patch:
        for module in (calling, once, recall):
            patch.setattr(module, "datetime", Shown)
        yield


def test_a_transfer_keeps_no_hours_unless_they_are_given(station):
    case, sim, server = station("transfer", country="CO")
    with at(datetime(2026, 12, 8, 15, tzinfo=UTC)):
        given = case.with_(calling_hours="connection", max_age=None)
        assert "may not be called now" in failed(attempt(server, make=given))
        assert PHONE not in sim.rings
        assert attempt(server, make=case.with_(max_age=None)).state == "success"
    assert sim.rings[PHONE] == 1


@pytest.mark.parametrize("name", ["schedule recall", "edit recall"])
class TestARecallsInstant:
    def test_must_be_in_the_customers_hours(self, station, name):
        case, sim, server = station(name)
        before = sent(sim)
        instant = case.arguments["at"]
        said = failed(attempt(server, make=case.with_(calling_hours=closed_at(instant)), retries=3))
        assert "may not be called at" in said
        assert "next at" in said
        assert sent(sim) == before
        # Whether they are open now does not matter.
        now_closed = case.with_(calling_hours=closed_at(datetime.now(UTC)), at=datetime.now(UTC) + timedelta(hours=48))
        assert attempt(server, make=now_closed).state == "success"

    def test_must_be_in_the_hours_of_the_connections_country(self, station, name):
        case, sim, server = station(name, country="CO")
        before = sent(sim)
        sunday = datetime(2027, 1, 3, 15, tzinfo=UTC)
        monday = sunday + timedelta(days=1)
        with at(sunday - timedelta(days=1)):
            assert "may not be called at" in failed(attempt(server, make=case.with_(at=sunday, max_age=None)))
            assert sent(sim) == before
            assert attempt(server, make=case.with_(at=monday, max_age=None)).state == "success"

    @pytest.mark.parametrize("ago", [timedelta(0), timedelta(seconds=1), timedelta(days=400)])
    def test_must_not_have_passed(self, station, name, ago):
        case, sim, server = station(name)
        before = sent(sim)
        said = failed(attempt(server, make=case.with_(at=datetime.now(UTC) - ago), retries=3))
        assert "(at) has passed" in said
        assert sent(sim) == before

    def test_that_passes_while_the_token_is_waited_for_is_not_scheduled(self, station, name):
        case, sim, server = station(name)
        sim.fault("busy", times=1)
        with resends_after(0.6):
            run = run_try(case.with_(at=datetime.now(UTC) + timedelta(seconds=0.5)), server)
        assert "has passed" in str(run.error)
        assert case.done(sim) == 0

    @pytest.mark.parametrize(
        "text", ["{{ (logical_date + macros.timedelta(days=2)).isoformat() }}", "{{ logical_date.add(days=2) }}"]
    )
    def test_may_come_from_a_template(self, station, name, text):
        case, sim, server = station(name)
        due = datetime.now(UTC).replace(microsecond=0)
        assert attempt(server, make=case.with_(at=text), due=due).state == "success"
        assert sim.recalls[0].due == due + timedelta(days=2)

    def test_that_a_template_leaves_without_a_zone_is_refused(self, station, name):
        case, sim, server = station(name)
        before = sent(sim)
        said = failed(attempt(server, make=case.with_(at="{{ '2027-01-04 10:00:00' }}"), retries=3))
        assert "has no time zone" in said
        assert sent(sim) == before


def test_hours_by_the_numbers_own_zone_are_asked_for_a_recalls_instant_too(station):
    pytest.importorskip("phonenumbers")
    case, _, server = station("schedule recall", country="EC")
    # Eight in the morning in Guayaquil, seven on Galapagos; the careful hours begin at eight.
    monday = datetime(2027, 1, 4, 13, 30, tzinfo=UTC)
    make = case.with_(customer_phone="0991234567", at=monday, phone_zones=True, max_age=None)
    with at(monday - timedelta(days=1)):
        assert "may not be called at" in failed(attempt(server, make=make))


# Looking for what may have been done


@pytest.mark.parametrize("name", ["dial", "transfer"])
class TestACallInDoubt:
    def test_is_looked_up_at_once_and_found(self, station, name):
        case, sim, server = station(name)
        sim.fault("drop_after_ringing", api=case.api)
        run = attempt(server, make=case.with_(on_unknown="look_up"))
        assert run.state == "success", run.error
        assert run.xcoms["conn_id"] == run.xcoms["return_value"] == sim.calls[-1].conn_id == entry(server)["conn_id"]
        assert (sim.rings[PHONE], sim.calls[-1].api) == (1, case.api)

    @needs_ledger
    def test_that_no_report_shows_yet_is_looked_up_again_later(self, station, name):
        case, sim, server = station(name)
        sim.fault("drop_after_ringing", api=case.api)
        sim.hold_reports()
        run = attempt(server, make=case.with_(on_unknown="look_up"))
        assert run.state == "up_for_reschedule"
        assert server.reschedules()
        sim.release_reports()
        server.ti_id = uuid4()
        found = attempt(server, make=case.with_(on_unknown="look_up"))
        assert found.state == "success", found.error
        assert found.xcoms["conn_id"] == sim.calls[-1].conn_id
        assert sim.rings[PHONE] == 1

    def test_that_was_none_is_reported_in_the_end(self, station, name):
        case, sim, server = station(name)
        sim.fault("drop_after_reading", api=case.api)
        run = attempt(server, make=case.with_(on_unknown="look_up", look_up_timeout=timedelta(0)))
        assert f"outcome of this {case.noun} is unknown" in failed(run)
        assert PHONE not in sim.rings


def test_a_transfer_in_doubt_is_not_settled_with_the_call_itself(station):
    case, sim, server = station("transfer")
    sim.fault("drop_after_reading", api="transfer")
    # To the very number that the agent talks with: all that the reports show is the call that was to be transferred.
    make = case.with_(customer_phone=TALKING_TO, on_unknown="look_up", look_up_timeout=timedelta(0))
    assert "unknown" in failed(attempt(server, make=make))


# What cannot be right

WRONG = [
    *((name, {"agent_id": agent}, "agent_id is") for name in CASES for agent in ("", "Ana")),
    *((name, {"max_age": 5}, "max_age must be a timedelta, not int") for name in CASES),
    *(
        (name, {"customer_phone": phone}, "customer_phone")
        for name in ("dial", "transfer", "schedule recall", "edit recall", "delete recall")
        for phone in ("", "123", "300x5550101", None)
    ),
    ("dial", {"customer_id": 1.5}, "customer_id must be text"),
    ("dial", {"customer_name": 1.5}, "customer_name must be text"),
    ("dial", {"outside_hours": "ring"}, "outside_hours must be one of"),
    ("dial", {"on_unknown": "ring"}, "on_unknown must be one of"),
    ("transfer", {"outside_hours": "wait"}, "outside_hours must be one of"),
    ("transfer", {"to_agent": "yes"}, "to_agent must be True or False, not str"),
    ("transfer", {"to_agent": True, "customer_phone": "Ana"}, "customer_phone is not digits"),
    ("disposition", {"cod_act": ""}, "cod_act is empty"),
    ("disposition", {"cod_act_2": None}, "cod_act_2 is empty"),
    ("disposition", {"cod_act_2": " "}, "cod_act_2 is empty"),
    ("disposition", {"hang_up": "yes"}, "hang_up must be True or False, not str"),
    ("disposition and hang up", {"cod_act": None}, "cod_act is empty"),
    ("status", {"status": "not ready"}, "status must be"),
    ("status", {"status": None}, "status must be"),
    *(
        (name, arguments, words)
        for name in ("schedule recall", "edit recall", "delete recall")
        for arguments, words in [
            ({"campaign_id": "x"}, "campaign_id is not digits"),
            ({"customer_id": ""}, "customer_id is empty"),
            ({"recall_style": "Auto"}, "recall_style must be one of"),
            ({"name_recall": 1.5}, "name_recall must be text"),
        ]
    ),
    *(
        (name, arguments, words)
        for name in ("schedule recall", "edit recall")
        for arguments, words in [
            ({"at": "tomorrow"}, "at is no instant"),
            ({"at": datetime(2027, 1, 4)}, "has no time zone"),
            ({"at": None}, "at must be a datetime"),
            ({"calling_hours": "XX"}, "no calling hours are known"),
        ]
    ),
]


@pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])
@pytest.mark.parametrize(("name", "arguments", "words"), WRONG)
def test_what_cannot_be_right_is_refused_while_the_dag_is_parsed(name, arguments, words, mapped):
    case = CASES[name]
    given = {**case.arguments, **arguments}
    define = case.operator.partial if mapped else case.operator
    with DAG("d", schedule=None), pytest.raises(ValueError, match=words) as wrong:
        define(task_id="task", **given)
    assert not [secret for secret in SECRETS if secret in str(wrong.value)]


RENDERED = [
    *((name, {"agent_id": "Ana"}, "agent_id is not digits") for name in CASES),
    ("dial", {"customer_phone": "123"}, "has 3 digits"),
    ("transfer", {"customer_phone": "123"}, "has 3 digits"),
    ("disposition", {"cod_act": " "}, "cod_act is empty"),
    ("disposition", {"cod_act_2": ""}, "cod_act_2 is empty"),
    ("status", {"status": "no state"}, "status must be"),
    *((name, {"customer_id": " "}, "customer_id is empty") for name in ("schedule recall", "delete recall")),
]


@pytest.mark.parametrize(("name", "arguments", "words"), RENDERED)
def test_what_cannot_be_right_once_rendered_fails_before_any_request(station, name, arguments, words):
    case, sim, server = station(name)
    before = sent(sim)
    [(field, value)] = arguments.items()
    said = failed(attempt(server, make=case.with_(**{field: f"{{{{ '{value}' }}}}"}), retries=3))
    assert words in said
    assert sent(sim) == before
    assert "SetTaskStateStore:intent" not in server.kinds()


def test_a_second_code_that_renders_to_nothing_is_left_out_with_a_hang_up(station):
    case, sim, server = station("disposition and hang up")
    assert attempt(server, make=case.with_(cod_act_2="{{ '' }}")).state == "success"
    assert "cod_act_2" not in sim.commands[-1].values


# What importing costs


def test_importing_the_operators_and_making_one_of_each_imports_no_heavy_library():
    script = (
        "import sys, airflow.providers.common.compat.sdk as sdk\n"
        "sdk.BaseOperator, sdk.BaseHook, sdk.AirflowFailException, sdk.AirflowSkipException\n"
        "heavy = ('requests', 'urllib3', 'holidays', 'phonenumbers', 'sqlalchemy', 'pandas')\n"
        "before = set(sys.modules)\n"
        "from airflow_provider_wolkvox.operators.agent import *\n"
        "from airflow_provider_wolkvox.operators.dial import *\n"
        "from airflow_provider_wolkvox.operators.recall import *\n"
        "from airflow_provider_wolkvox.operators.transfer import *\n"
        "who = {'agent_id': '10001', 'customer_phone': '3005550101'}\n"
        "which = {**who, 'campaign_id': '1', 'customer_id': '2'}\n"
        "DialOperator(task_id='a', **who), TransferOperator(task_id='b', **who)\n"
        "HangUpOperator(task_id='c', agent_id='1'), AgentStatusOperator(task_id='d', agent_id='1', status='ready')\n"
        "CallDispositionOperator(task_id='e', agent_id='1', cod_act='1', cod_act_2='2')\n"
        "ScheduleRecallOperator(task_id='f', at='2027-01-04T10:00:00-05:00', **which)\n"
        "EditRecallOperator(task_id='g', at='2027-01-04T10:00:00-05:00', **which)\n"
        "DeleteRecallOperator(task_id='h', **which)\n"
        "print('#' + ' '.join(name for name in heavy if name in sys.modules and name not in before))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.partition("#")[2].split() == []
