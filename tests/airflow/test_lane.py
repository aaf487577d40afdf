"""The lane: which pool the scheduler reads for a task, and that a task outside of its lane does not call."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, TaskGroup
from capabilities import HAS_TASK_SDK, DagSerialization
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.lane import lane
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

# A refused `partial` leaves one behind that nobody maps.
pytestmark = pytest.mark.filterwarnings("ignore:Task 'call' was never mapped")

CALL = {"agent_id": AGENT, "customer_phone": PHONE}


def plain(operator_class=AuxCallOperator, **arguments):
    return operator_class(task_id="call", **CALL, **arguments)


def mapped(operator_class=AuxCallOperator, **arguments):
    return operator_class.partial(task_id="call", **arguments).expand_kwargs([CALL])


def in_dag(define, **dag_arguments):
    with DAG("callbacks", schedule=None, **dag_arguments):
        return define()


def scheduled(task):
    """What the scheduler reads of a task: after a round trip through the database's form of its DAG."""
    data = DagSerialization.to_dict(task.dag)
    DagSerialization.validate_schema(data)
    read = DagSerialization.from_dict(data).get_task(task.task_id)
    assert (read.pool, read.pool_slots, read.retries) == (task.pool, task.pool_slots, task.retries)
    arguments = getattr(read, "partial_kwargs", None) or vars(read)
    return SimpleNamespace(
        pool=read.pool, pool_slots=read.pool_slots, retries=read.retries, wolkvox_conn_id=arguments["wolkvox_conn_id"]
    )


def executed(task):
    """The operator that a worker makes of a task."""
    return task.unmap(CALL) if hasattr(task, "unmap") else task


@pytest.fixture(params=[plain, mapped])
def define(request):
    """Defines the call as a plain and as a mapped task."""
    return request.param


def settings_of(task):
    read, running = scheduled(task), executed(task)
    # Scheduler and worker must never be of two minds about this.
    assert read.pool == running.pool == running.lane
    assert read.wolkvox_conn_id == running.wolkvox_conn_id
    return read.wolkvox_conn_id, read.pool


# Which pool it is


def test_the_pool_is_named_after_the_connection(define):
    assert settings_of(in_dag(define)) == ("wolkvox_default", "wolkvox_default")
    assert settings_of(in_dag(lambda: define(wolkvox_conn_id="sales"))) == ("sales", "sales")


def test_one_slot_is_taken(define):
    assert scheduled(in_dag(define)).pool_slots == 1


def test_default_args_of_the_dag_name_the_connection(define):
    task = in_dag(define, default_args={"wolkvox_conn_id": "sales", "pool": "elsewhere"})
    assert settings_of(task) == ("sales", "sales")


def test_default_args_of_the_task_name_the_connection(define):
    task = in_dag(
        lambda: define(default_args={"wolkvox_conn_id": "sales", "pool": "elsewhere"}),
        default_args={"wolkvox_conn_id": "of_the_dag"},
    )
    assert settings_of(task) == ("sales", "sales")


def test_default_args_of_a_task_group_name_the_connection(define):
    def grouped():
        with TaskGroup("group", default_args={"wolkvox_conn_id": "sales", "pool": "elsewhere"}):
            return define()

    task = in_dag(grouped, default_args={"wolkvox_conn_id": "of_the_dag"})
    assert task.task_id == "group.call"
    assert settings_of(task) == ("sales", "sales")


def test_default_args_of_an_outer_task_group_name_the_connection(define):
    def grouped():
        with TaskGroup("outer", default_args={"wolkvox_conn_id": "sales"}), TaskGroup("inner"):
            return define()

    assert settings_of(in_dag(grouped)) == ("sales", "sales")


def test_a_group_and_a_dag_that_are_passed_as_arguments_count_as_well(define):
    with DAG("callbacks", schedule=None, default_args={"wolkvox_conn_id": "of_the_dag"}) as dag:
        group = TaskGroup("group", default_args={"wolkvox_conn_id": "sales"})
    assert settings_of(define(dag=dag, task_group=group)) == ("sales", "sales")
    assert settings_of(define(dag=dag)) == ("of_the_dag", "of_the_dag")


def test_the_connection_given_to_the_task_wins_over_default_args(define):
    task = in_dag(
        lambda: define(wolkvox_conn_id="sales", default_args={"wolkvox_conn_id": "of_the_task"}),
        default_args={"wolkvox_conn_id": "of_the_dag"},
    )
    assert settings_of(task) == ("sales", "sales")


def test_an_explicit_pool_wins(define):
    task = in_dag(
        lambda: define(wolkvox_conn_id="sales", pool="shared"),
        default_args={"pool": "elsewhere", "wolkvox_conn_id": "of_the_dag"},
    )
    assert settings_of(task) == ("sales", "shared")


def test_pool_none_is_no_pool_given(define):
    assert settings_of(in_dag(lambda: define(pool=None))) == ("wolkvox_default", "wolkvox_default")


def test_a_templated_connection_is_taken_with_a_pool(define):
    task = in_dag(lambda: define(wolkvox_conn_id="{{ params.conn }}", pool="shared"))
    assert settings_of(task) == ("{{ params.conn }}", "shared")


def test_retries_of_default_args_are_kept(define):
    task = in_dag(define, default_args={"retries": 4, "retry_delay": timedelta(seconds=7)})
    assert scheduled(task).retries == executed(task).retries == 4
    assert task.retry_delay == timedelta(seconds=7)


def test_a_plain_task_in_a_mapped_task_group_is_in_its_lane():
    from airflow.providers.common.compat.sdk import task_group

    with DAG("callbacks", schedule=None) as dag:

        @task_group
        def one_customer(phone):
            AuxCallOperator(task_id="call", agent_id=AGENT, customer_phone=phone, wolkvox_conn_id="sales")

        one_customer.expand(phone=[PHONE, PHONE])

    assert scheduled(dag.get_task("one_customer.call")).pool == "sales"


# Subclasses


class WithAConnectionOfItsOwn(AuxCallOperator):
    def __init__(self, *, wolkvox_conn_id="sales", **kwargs):
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)


class WithAFixedPool(AuxCallOperator):
    def __init__(self, **kwargs):
        super().__init__(pool="shared", **kwargs)


class WithAFixedConnection(AuxCallOperator):
    def __init__(self, **kwargs):
        super().__init__(wolkvox_conn_id="sales", **kwargs)


def test_a_subclass_may_have_a_default_connection_of_its_own():
    assert settings_of(in_dag(lambda: plain(WithAConnectionOfItsOwn))) == ("sales", "sales")


def test_a_mapped_subclass_may_have_a_default_connection_of_its_own():
    assert settings_of(in_dag(lambda: mapped(WithAConnectionOfItsOwn))) == ("sales", "sales")


def test_a_subclass_may_fix_the_pool():
    task = in_dag(lambda: plain(WithAFixedPool), default_args={"pool": "elsewhere"})
    assert settings_of(task) == ("wolkvox_default", "shared")


def test_a_subclass_may_fix_the_connection():
    task = in_dag(lambda: plain(WithAFixedConnection), default_args={"wolkvox_conn_id": "of_the_dag"})
    assert settings_of(task) == ("sales", "sales")


@pytest.mark.parametrize("operator_class", [WithAFixedPool, WithAFixedConnection])
def test_a_mapped_subclass_that_fixes_them_calls_in_no_lane_but_its_own(operator_class):
    # What partial() gave and what the class gives clash, before anything can be sent.
    with pytest.raises(TypeError, match="multiple values"):
        executed(in_dag(lambda: mapped(operator_class)))


# What is refused when the DAG is parsed


@pytest.mark.parametrize("where", ["argument", "default_args of the task", "default_args of the dag"])
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"pool_slots": 2}, "pool_slots=2 does not fit"),
        ({"multiple_outputs": True}, "multiple_outputs=True does not fit"),
        ({"wolkvox_conn_id": "{{ params.conn }}"}, "cannot name a lane"),
        ({"wolkvox_conn_id": None}, "cannot name a lane"),
        ({"wolkvox_conn_id": ""}, "cannot name a lane"),
        ({"wolkvox_conn_id": "sales calls"}, "cannot name a lane"),
        ({"wolkvox_conn_id": "a" * 257}, "cannot name a lane"),
    ],
)
def test_what_breaks_the_lane_is_refused(define, where, argument, message):
    given = {
        "argument": argument,
        "default_args of the task": {"default_args": argument},
        "default_args of the dag": {},
    }[where]
    with pytest.raises(ValueError, match=message):
        in_dag(lambda: define(**given), default_args=argument if where.endswith("dag") else {})


def test_the_default_pool_is_refused_as_a_lane(define):
    with pytest.raises(ValueError, match="is no lane"):
        in_dag(lambda: define(pool="default_pool"))


def test_the_default_pool_is_refused_as_a_connections_lane(define):
    with pytest.raises(ValueError, match="default_pool"):
        in_dag(lambda: define(wolkvox_conn_id="default_pool"))


@pytest.mark.parametrize("pool", ["", "  ", "sales calls", "{{ params.conn }}", "a" * 257])
def test_a_pool_that_cannot_exist_is_refused(define, pool):
    with pytest.raises(ValueError, match="pool"):
        in_dag(lambda: define(pool=pool))


def test_several_connections_for_one_mapped_task_are_refused():
    with pytest.raises(TypeError, match="already specified argument: wolkvox_conn_id"):
        in_dag(lambda: AuxCallOperator.partial(task_id="call", **CALL).expand(wolkvox_conn_id=["a", "b"]))


def test_several_pools_for_one_mapped_task_are_refused():
    with pytest.raises(TypeError, match="already specified argument: pool"):
        in_dag(lambda: AuxCallOperator.partial(task_id="call", **CALL).expand(pool=["a", "b"]))


def test_a_lane_is_given_for_a_connection_alone():
    assert lane("sales") == "sales"
    assert lane("sales", "shared") == "shared"


# What happens to a task outside of its lane, through Airflow's own task runner


def run_mapped(make_operator, server, **options):
    def first_of_the_mapped(ti):
        ti.map_index = 0

    return run_try(make_operator, server, around=first_of_the_mapped, **options)


@pytest.fixture
def run(define):
    return run_mapped if define is mapped else run_try


def refused_outside_its_lane(result, simulator):
    assert simulator.stats().requests == simulator.stats("unknown").requests == 0
    assert simulator.rings == {}
    assert result.state == "failed"
    return str(result.error)


def test_a_task_in_its_lane_calls(define, run, simulator, wolkvox_connection):
    assert run(lambda dag: define(), Server()).state == "success"
    assert simulator.rings == {PHONE: 1}


def test_a_plain_task_whose_pool_was_assigned_later_does_not_call(simulator, wolkvox_connection):
    def assigned(dag):
        task = plain(retries=3)
        task.pool = "elsewhere"
        return task

    server = Server()
    message = refused_outside_its_lane(run_try(assigned, server, retries=3), simulator)

    assert "'elsewhere'" in message
    assert "'wolkvox_default'" in message
    assert "No request was made and no phone rang" in message
    assert server.store == {}


def test_a_plain_task_that_was_put_into_the_default_pool_later_does_not_call(simulator, wolkvox_connection):
    def assigned(dag):
        task = plain()
        task.pool = "default_pool"
        return task

    assert "outside its lane" in refused_outside_its_lane(run_try(assigned, Server()), simulator)


@pytest.mark.parametrize("how", ["partial_kwargs", "attribute"])
def test_a_mapped_task_whose_pool_was_assigned_later_does_not_call(simulator, wolkvox_connection, how):
    def assigned(dag):
        task = mapped()
        if how == "attribute":
            task.pool = "elsewhere"
        else:
            task.partial_kwargs["pool"] = "elsewhere"
        return task

    refused_outside_its_lane(run_mapped(assigned, Server()), simulator)


def test_a_mapped_task_that_was_put_into_the_default_pool_later_does_not_call(simulator, wolkvox_connection):
    def assigned(dag):
        task = mapped()
        task.pool = "default_pool"
        return task

    result = run_mapped(assigned, Server())
    assert "outside its lane" in refused_outside_its_lane(result, simulator)


def test_a_mapped_task_that_lost_its_pool_later_calls_in_no_pool_but_its_lane(simulator, wolkvox_connection):
    def assigned(dag):
        task = mapped()
        del task.partial_kwargs["pool"]
        return task

    assert "'default_pool'" in refused_outside_its_lane(run_mapped(assigned, Server()), simulator)


def test_a_mapped_task_does_not_take_its_connection_from_expand_kwargs(simulator, wolkvox_connection, set_connection):
    set_connection("sales", extra={"base_url": simulator.base_url})

    result = run_mapped(
        lambda dag: AuxCallOperator.partial(task_id="call").expand_kwargs([{**CALL, "wolkvox_conn_id": "sales"}]),
        Server(),
    )

    assert "already specified" in refused_outside_its_lane(result, simulator)


def test_a_lenient_mapped_task_does_not_take_its_connection_from_expand_kwargs(
    simulator, wolkvox_connection, set_connection
):
    set_connection("sales", extra={"base_url": simulator.base_url})

    result = run_mapped(
        lambda dag: AuxCallOperator.partial(task_id="call").expand_kwargs(
            [{**CALL, "wolkvox_conn_id": "sales"}], strict=False
        ),
        Server(),
    )

    refused_outside_its_lane(result, simulator)


def test_a_lenient_mapped_task_does_not_take_its_pool_from_expand_kwargs(simulator, wolkvox_connection):
    result = run_mapped(
        lambda dag: AuxCallOperator.partial(task_id="call").expand_kwargs([{**CALL, "pool": "wide"}], strict=False),
        Server(),
    )

    assert "'wide'" in refused_outside_its_lane(result, simulator)


def test_a_plain_task_whose_connection_was_assigned_later_does_not_call(simulator, wolkvox_connection, set_connection):
    set_connection("sales", extra={"base_url": simulator.base_url})

    def assigned(dag):
        task = plain()
        task.wolkvox_conn_id = "sales"
        return task

    refused_outside_its_lane(run_try(assigned, Server()), simulator)


def test_a_plain_task_in_a_shared_lane_calls(simulator, set_connection):
    set_connection("sales", extra={"base_url": simulator.base_url})

    result = run_try(lambda dag: plain(wolkvox_conn_id="sales", pool="shared"), Server())

    assert result.state == "success"
    assert simulator.rings == {PHONE: 1}


def test_a_templated_connection_is_rendered_before_it_is_used(define, run, simulator, set_connection):
    set_connection("sales", extra={"base_url": simulator.base_url})

    result = run(lambda dag: define(wolkvox_conn_id="{{ 'sa' }}les", pool="shared"), Server())

    assert result.state == "success"
    assert simulator.rings == {PHONE: 1}


# What the database tells a task: before 3.0 only


@pytest.fixture
def keep():
    """Keep pools and connections in the database of a task's own."""
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from database_runner import _database
    from sqlalchemy import delete

    _database()

    def forget():
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_type == "wolkvox"))
            session.execute(delete(Pool).where(Pool.pool != "default_pool"))

    def add(*rows):
        with create_session() as session:
            session.add_all(rows)

    forget()
    yield add
    forget()


needs_database = pytest.mark.skipif(HAS_TASK_SDK, reason="about what a task reads in the database, which 3.0 took away")


@needs_database
@pytest.mark.parametrize(("slots", "told"), [(1, False), (5, True), (-1, True)])
def test_a_widened_pool_is_named_before_the_call(simulator, wolkvox_connection, keep, everything_said, slots, told):
    from airflow.models.pool import Pool

    keep(Pool(pool="wolkvox_default", slots=slots, include_deferred=False))
    assert run_try(lambda dag: plain(calling_hours=None), Server()).state == "success"
    said = everything_said()
    assert (f"Pool 'wolkvox_default' has {slots} slots" in said) == told
    if told:
        assert said.index("slots, so the token") < said.index("wolkvox accepted the call")


@needs_database
@pytest.mark.parametrize(("token", "told"), [(TOKEN, True), ("tok-another-1234567890", False)])
def test_another_connection_with_the_token_is_named_before_the_call(
    simulator, wolkvox_connection, keep, everything_said, token, told
):
    from airflow.models.connection import Connection

    keep(Connection(conn_id="sales", conn_type="wolkvox", host="0042", password=token))
    assert run_try(lambda dag: plain(calling_hours=None), Server()).state == "success"
    said = everything_said()
    assert ("Connections 'wolkvox_default' and 'sales' hold one token" in said) == told
    assert token not in said


def test_no_message_of_the_lane_shows_a_token_or_a_number(simulator, wolkvox_connection):
    def assigned(dag):
        task = plain()
        task.pool = "elsewhere"
        return task

    message = refused_outside_its_lane(run_try(assigned, Server()), simulator)
    assert TOKEN not in message
    assert PHONE not in message


def test_an_operator_of_ours_is_an_operator():
    assert issubclass(AuxCallOperator, BaseOperator)
