"""`@task.wolkvox_call`: its lane, plain and mapped, and what it makes of what the function returns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskGroup, task
from capabilities import HAS_LEDGER, DagSerialization, needs_ledger
from samples import AGENT, PHONE
from task_runner import RUN_ID, Server, run_try

from airflow_provider_wolkvox.decorators.wolkvox_call import wolkvox_call_task
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

# A refused `partial` leaves one behind that nobody maps.
pytestmark = pytest.mark.filterwarnings("ignore:Task 'call' was never mapped")

CALL = {"agent_id": AGENT, "customer_phone": PHONE}
OTHER_PHONE = "3005550199"


def call(customer=PHONE, agent=AGENT) -> dict[str, str]:
    return {"agent_id": agent, "customer_phone": customer}


def plain(**arguments):
    return task.wolkvox_call(**arguments)(call)().operator


def expanded(**arguments):
    return task.wolkvox_call(**arguments)(call).expand(customer=[PHONE]).operator


def expanded_kwargs(**arguments):
    return task.wolkvox_call(**arguments)(call).expand_kwargs([{"customer": PHONE}]).operator


def partly(**arguments):
    return task.wolkvox_call(**arguments)(call).partial(agent=AGENT).expand(customer=[PHONE]).operator


def overridden(**arguments):
    return task.wolkvox_call(call).override(**arguments)().operator


def overridden_and_expanded(**arguments):
    return task.wolkvox_call(call).override(**arguments).expand(customer=[PHONE]).operator


DEFINITIONS = [plain, expanded, expanded_kwargs, partly, overridden, overridden_and_expanded]
MAPPED = {expanded, expanded_kwargs, partly, overridden_and_expanded}


@pytest.fixture(params=DEFINITIONS)
def define(request):
    """Defines the call in one of the ways that TaskFlow has."""
    return request.param


def in_dag(define, **dag_arguments):
    with DAG("callbacks", schedule=None, **dag_arguments):
        return define()


def scheduled(defined):
    """What the scheduler reads of a task."""
    data = DagSerialization.to_dict(defined.dag)
    DagSerialization.validate_schema(data)
    read = DagSerialization.from_dict(data).get_task(defined.task_id)
    arguments = getattr(read, "partial_kwargs", None) or vars(read)
    return SimpleNamespace(
        pool=read.pool, pool_slots=read.pool_slots, retries=read.retries, wolkvox_conn_id=arguments["wolkvox_conn_id"]
    )


def executed(defined):
    """The operator that a worker makes of a task."""
    return defined.unmap({"op_kwargs": {"customer": PHONE}}) if hasattr(defined, "unmap") else defined


def settings_of(defined):
    read, running = scheduled(defined), executed(defined)
    # Scheduler and worker must never be of two minds about this.
    assert read.pool == running.pool == running.lane
    assert read.wolkvox_conn_id == running.wolkvox_conn_id
    assert read.pool_slots == 1
    return read.wolkvox_conn_id, read.pool


# Which pool it is


def test_airflow_finds_the_decorator_by_its_name():
    assert task.wolkvox_call.__name__ == wolkvox_call_task.__name__ == "wolkvox_call_task"


def test_the_pool_is_named_after_the_connection(define):
    assert settings_of(in_dag(define)) == ("wolkvox_default", "wolkvox_default")
    assert settings_of(in_dag(lambda: define(wolkvox_conn_id="sales"))) == ("sales", "sales")


@pytest.mark.parametrize("where", ["dag", "group", "task"])
def test_default_args_name_the_connection_and_no_pool(define, where):
    given = {"wolkvox_conn_id": "sales", "pool": "elsewhere", "agent_id": "10009"}

    def in_a_group():
        with TaskGroup("group", default_args=given if where == "group" else {}):
            return define(**({"default_args": given} if where == "task" else {}))

    made = in_dag(in_a_group, default_args=given if where == "dag" else {"wolkvox_conn_id": "of_the_dag"})
    assert made.task_id == "group.call"
    assert settings_of(made) == ("sales", "sales")


def test_the_connection_given_to_the_decorator_wins_over_default_args(define):
    made = in_dag(
        lambda: define(wolkvox_conn_id="sales", default_args={"wolkvox_conn_id": "of_the_task"}),
        default_args={"wolkvox_conn_id": "of_the_dag"},
    )
    assert settings_of(made) == ("sales", "sales")


def test_an_explicit_pool_wins(define):
    made = in_dag(lambda: define(wolkvox_conn_id="sales", pool="shared"), default_args={"pool": "elsewhere"})
    assert settings_of(made) == ("sales", "shared")


def test_a_decorator_made_outside_of_a_dag_is_in_the_lane_of_the_dag_that_uses_it():
    reusable = task.wolkvox_call(retries=2)(call)
    for conn_id in ("sales", "support"):
        default_args = {"wolkvox_conn_id": conn_id}
        assert settings_of(in_dag(lambda: reusable().operator, default_args=default_args)) == (conn_id, conn_id)
        made = in_dag(lambda: reusable.expand(customer=[PHONE]).operator, default_args=default_args)
        assert settings_of(made) == (conn_id, conn_id)
        assert scheduled(made).retries == 2


def test_default_args_of_the_task_hold_for_what_only_a_call_has(define):
    made = in_dag(lambda: define(default_args={"max_age": timedelta(hours=1), "on_unknown": "look_up", "retries": 4}))
    running = executed(made)
    assert (running.max_age, running.on_unknown) == (timedelta(hours=1), "look_up")
    assert scheduled(made).retries == running.retries == 4


def test_arguments_of_a_call_are_a_calls(define):
    running = executed(in_dag(lambda: define(max_age=timedelta(hours=2), calling_hours=None, allow_second_try=True)))
    assert isinstance(running, AuxCallOperator)
    assert (running.max_age, running.calling_hours, running.allow_second_try) == (timedelta(hours=2), None, True)


def test_a_dict_annotation_does_not_make_the_result_several(define):
    assert call.__annotations__["return"]
    assert executed(in_dag(define)).multiple_outputs is False


# What is refused when the DAG is parsed


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"pool_slots": 2}, "pool_slots=2 does not fit"),
        ({"wolkvox_conn_id": "{{ params.conn }}"}, "cannot name a lane"),
        ({"pool": "default_pool"}, "is no lane"),
        ({"agent_id": AGENT}, "agent_id cannot be given to @task.wolkvox_call: the function returns"),
        ({"customer_phone": PHONE}, "customer_phone cannot be given"),
        ({"on_unknown": "ignore"}, "on_unknown must be one of"),
        ({"max_age": 3600}, "max_age must be a timedelta, not int"),
    ],
)
def test_what_cannot_be_right_is_refused(define, argument, message):
    with pytest.raises(ValueError, match=message):
        in_dag(lambda: define(**argument))


@pytest.mark.parametrize("define", [plain, expanded])
def test_several_outputs_are_refused(define):
    with pytest.raises(ValueError, match="multiple_outputs=True does not fit"):
        in_dag(lambda: define(multiple_outputs=True))


def test_an_async_function_is_refused():
    async def call():
        return CALL

    with pytest.raises(ValueError, match="takes no async function, such as 'call'"):
        task.wolkvox_call(call)


def test_several_connections_or_pools_for_one_mapped_task_are_refused():
    def call(**anything):
        return CALL

    for several in ({"wolkvox_conn_id": ["a", "b"]}, {"pool": ["a", "b"]}):
        with pytest.raises(TypeError, match=f"mapping already partial argument: {next(iter(several))}"):
            in_dag(lambda several=several: task.wolkvox_call(call).expand(**several))


# What the function returns, through Airflow's own task runner


def first_of_the_mapped(ti):
    ti.map_index = 0


def run_returning(returned, server=None, decorate=None, **options):
    def call():
        if isinstance(returned, Exception):
            raise returned
        return returned

    decorate = decorate or task.wolkvox_call
    return run_try(lambda dag: decorate(call)().operator, server or Server(), **options)


def test_a_call_is_made_in_each_way_of_defining_it(define, simulator, wolkvox_connection):
    server = Server()
    around = first_of_the_mapped if define in MAPPED else None

    result = run_try(lambda dag: define(), server, around=around)

    assert result.error is None
    assert result.state == "success"
    assert simulator.rings == {PHONE: 1}
    [made] = simulator.calls
    assert made.agent_id == AGENT
    assert result.xcoms == {"conn_id": made.conn_id, "return_value": made.conn_id}
    if HAS_LEDGER:
        kinds = server.kinds()
        assert kinds.index("SetTaskStateStore:intent") < kinds.index("SetTaskStateStore:accepted")


@pytest.mark.parametrize("returned", [(AGENT, PHONE), [AGENT, PHONE]])
def test_a_pair_says_it_too(simulator, wolkvox_connection, returned):
    assert run_returning(returned).state == "success"
    assert simulator.rings == {PHONE: 1}


def test_the_function_gets_its_arguments_rendered_and_the_context_it_asks_for(simulator, wolkvox_connection):
    def call(agent, phone, *, ti, run_id, **context):
        assert (ti.task_id, run_id) == ("call", RUN_ID)
        assert "data_interval_end" in context
        return agent, phone

    result = run_try(lambda dag: task.wolkvox_call(call)("{{ '100' }}01", phone=PHONE).operator, Server())

    assert result.error is None
    assert simulator.rings == {PHONE: 1}


def test_an_argument_of_the_function_is_not_taken_for_the_runs(simulator, wolkvox_connection):
    def call(data_interval_end=None):
        return AGENT, PHONE

    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    result = run_try(lambda dag: task.wolkvox_call(call)(data_interval_end=long_ago).operator, Server())
    assert result.state == "success"


def refused(result, simulator):
    assert result.state == "failed"
    assert simulator.rings == {}
    assert simulator.stats().requests == 0
    message = str(result.error)
    assert PHONE not in message
    return message


@pytest.mark.parametrize(
    "returned",
    [
        None,
        PHONE,
        (PHONE,),
        (AGENT, PHONE, "then"),
        {"agent_id": AGENT},
        {**CALL, "country": "CO"},
        {PHONE: AGENT},
        [CALL],
    ],
)
def test_what_does_not_say_whom_to_call_is_refused_for_good(simulator, wolkvox_connection, returned):
    message = refused(run_returning(returned, retries=3), simulator)
    assert "function 'call' returned" in message
    assert "No call was made and no phone rang" in message
    assert "raise AirflowSkipException if nobody is to be called" in message


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (("", PHONE), "agent_id is missing"),
        ((PHONE, "10-"), "customer_phone"),
        ((AGENT, None), "customer_phone is missing"),
        ((AGENT, 3005550101.0), "customer_phone (float) is a float"),
        ({**CALL, "call_before": "tomorrow"}, "call_before"),
        ({**CALL, "call_before": datetime(2026, 1, 1)}, "call_before"),
    ],
)
def test_what_cannot_be_called_is_refused_for_good_with_a_reason_in_the_ledger(
    simulator, wolkvox_connection, returned, message
):
    server = Server()
    assert message in refused(run_returning(returned, server, retries=3), simulator)
    assert message in server.store["wolkvox_call"]["reason"]


def test_a_call_that_the_function_says_is_too_late_is_not_made(simulator, wolkvox_connection):
    over = {**CALL, "call_before": datetime.now(UTC) - timedelta(minutes=1)}
    assert "call_before" in refused(run_returning(over), simulator)


def test_the_decorators_call_before_holds_where_the_function_names_none(simulator, wolkvox_connection):
    decorate = task.wolkvox_call(call_before="2026-01-01T00:00:00+00:00")
    assert "call_before" in refused(run_returning((AGENT, PHONE), decorate=decorate), simulator)


def test_an_exception_of_the_function_is_the_functions(simulator, wolkvox_connection):
    mistake = KeyError("no such customer")
    server = Server()

    result = run_returning(mistake, server, retries=1)

    assert result.error is mistake
    assert result.state == "up_for_retry"
    assert simulator.stats().requests == 0
    assert server.store == {}


def test_the_function_may_skip(simulator, wolkvox_connection):
    from airflow.providers.common.compat.sdk import AirflowSkipException

    assert run_returning(AirflowSkipException("nobody left")).state == "skipped"
    assert simulator.rings == {}


# A second run


@needs_ledger
def test_a_second_run_returns_the_same_conn_id_and_rings_nobody(simulator, wolkvox_connection):
    server = Server()
    first = run_returning((AGENT, PHONE), server)

    second = run_returning((AGENT, PHONE), server, try_number=2, max_tries=1)

    assert (first.state, second.state) == ("success", "success")
    assert first.xcoms["conn_id"] == second.xcoms["conn_id"]
    assert simulator.rings == {PHONE: 1}


@needs_ledger
@pytest.mark.parametrize("other", [OTHER_PHONE, "3119990101"], ids=["of other digits", "of the same last four digits"])
def test_a_second_run_that_names_another_customer_is_refused_and_says_why(simulator, wolkvox_connection, other):
    server = Server()
    assert run_returning((AGENT, PHONE), server).state == "success"

    result = run_returning((AGENT, other), server, try_number=2, max_tries=1)

    assert result.state == "failed"
    assert "is for another customer" in str(result.error)
    assert "customer ***0101" in str(result.error)
    assert other not in str(result.error)
    assert simulator.rings == {PHONE: 1}


def test_a_second_run_after_an_answer_that_nobody_saw_rings_nobody(simulator, wolkvox_connection):
    simulator.fault("drop_after_ringing", phone=PHONE)
    server = Server()
    assert run_returning((AGENT, PHONE), server).state == "failed"

    for phone in (PHONE, OTHER_PHONE):
        assert run_returning((AGENT, phone), server, try_number=2, max_tries=1).state == "failed"
    assert simulator.rings == {PHONE: 1}


# Outside of its lane


@pytest.mark.parametrize("define", [plain, expanded])
def test_a_task_whose_pool_was_changed_later_does_not_call(define, simulator, wolkvox_connection):
    def assigned(dag):
        made = define()
        made.pool = "elsewhere"
        return made

    around = first_of_the_mapped if define in MAPPED else None
    message = refused(run_try(assigned, Server(), around=around), simulator)
    assert "outside its lane 'wolkvox_default'" in message


@pytest.mark.parametrize("deadline", ["", None, False, 0, "None", "tomorrow"])
def test_an_empty_deadline_is_not_taken_for_none(simulator, wolkvox_connection, deadline):
    result = run_returning({**CALL, "call_before": deadline})

    assert result.state == "failed"
    assert "call_before" in str(result.error)
    assert simulator.rings == {}
