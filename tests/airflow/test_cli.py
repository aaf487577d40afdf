"""The commands `airflow wolkvox ...`, on a real database with connections, pools and serialised DAGs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import indent

import pytest
from capabilities import BASH_OPERATORS_MODULE, HAS_PROVIDER_COMMANDS, HAS_TASK_SDK, needs_provider_commands
from samples import AGENT, PHONE, SERVER, TOKEN

from airflow_provider_wolkvox.__main__ import main

# Said by Airflow's own `airflow dags` where graphviz is not installed.
pytestmark = pytest.mark.filterwarnings("ignore:Could not import graphviz")

# What the scheduler notes of a DAG whose file is gone.
GONE = {"is_stale": True} if HAS_TASK_SDK else {"is_active": False}
OTHER_TOKEN = "tok-Ym3cT9s2Hq6jD4xR"

FILE = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

CALL = {{"agent_id": "{agent}", "customer_phone": "{phone}"}}

with DAG("{dag_id}", schedule=None):
{body}
"""


@pytest.fixture(scope="session")
def parser(migrated_database):
    from airflow.cli.cli_parser import get_parser

    return get_parser()


@pytest.fixture
def database(parser, monkeypatch):
    """Airflow's database as `airflow db migrate` leaves it: no connection, no DAG, the default pool only."""
    from airflow.models import DagModel, Pool
    from airflow.models.connection import Connection
    from airflow.models.dagrun import DagRun
    from airflow.models.errors import ParseImportError
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from capabilities import DAG_VERSIONS
    from sqlalchemy import delete, update

    for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
        monkeypatch.delenv(name)
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with create_session() as session:
        for model in (TaskInstance, DagRun, SerializedDagModel, *DAG_VERSIONS, DagModel, ParseImportError, Connection):
            session.execute(delete(model))
        session.execute(delete(Variable))
        session.execute(delete(Pool).where(Pool.pool != "default_pool"))
        session.execute(update(Pool).where(Pool.pool == "default_pool").values(slots=128))
    return create_session


@pytest.fixture
def airflow(parser, database, capsys):
    """Run `airflow ...` in this process; return its exit status and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        status = 0
        try:
            if arguments[0] == "wolkvox" and not HAS_PROVIDER_COMMANDS:
                main(list(arguments[1:]))
            else:
                args = parser.parse_args(arguments)
                args.func(args)
        except SystemExit as end:
            status = end.code or 0
        said = capsys.readouterr()
        assert TOKEN not in said.out + said.err
        assert OTHER_TOKEN not in said.out + said.err
        return status, said.out

    return run


@pytest.fixture
def sync(airflow):
    """Run `airflow wolkvox sync-pools`; return connection -> (pool, what was done)."""

    def run(*arguments: str) -> dict[str, tuple[str, str]]:
        status, out = airflow("wolkvox", "sync-pools", "-o", "json", *arguments)
        assert status == 0
        return {row["connection"]: (row["pool"], row["done"]) for row in json.loads(out)}

    return run


@pytest.fixture
def check(airflow):
    """Run `airflow wolkvox check`; return subject -> finding, and check that the exit status fits.

    The first three rows, how much it looked at, the stop switch and the ledger, stand apart.
    """

    def run(*arguments: str) -> dict[str, str]:
        status, out = airflow("wolkvox", "check", "-o", "json", *arguments)
        rows = json.loads(out)
        assert status == int(any(row["finding"] != "ok" for row in rows))
        assert all(bool(row["remedy"]) == (row["finding"] != "ok") for row in rows)
        looked_at, switch, ledger, *rows = rows
        run.looked_at = (looked_at["subject"], looked_at["finding"])
        run.ledger = (ledger["subject"], ledger["finding"])
        run.switch = (switch["subject"], switch["finding"])
        run.remedies = {row["subject"]: row["remedy"] for row in rows}
        return {row["subject"]: row["finding"] for row in rows}

    return run


@pytest.fixture
def store_connection(database):
    """Keep a connection in the database."""

    def store(conn_id: str = "wolkvox_default", **fields) -> None:
        from airflow.models.connection import Connection

        fields = {"conn_type": "wolkvox", "host": SERVER, "password": TOKEN, **fields}
        with database() as session:
            session.add(Connection(conn_id=conn_id, **fields))

    return store


@pytest.fixture
def set_pool(database):
    def set_(name: str, slots: int = 1, description: str = "by hand", *, include_deferred: bool = False) -> None:
        from airflow.models import Pool

        with database() as session:
            Pool.create_or_update_pool(
                name=name,
                slots=slots,
                description=description,
                include_deferred=include_deferred,
                session=session,
            )

    return set_


@pytest.fixture
def pools(database):
    """Return the pools, but for the default one: name -> slots."""

    def read() -> dict[str, int]:
        from airflow.models import Pool
        from sqlalchemy import select

        with database() as session:
            return {pool.pool: pool.slots for pool in session.scalars(select(Pool)) if pool.pool != "default_pool"}

    return read


@pytest.fixture
def add_dag(airflow):
    """Write a DAG file and let Airflow serialise it into its database."""

    def add(body: str, dag_id: str = "callbacks", *, before: str = "") -> None:
        file = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / f"{dag_id}.py"
        file.write_text(before + FILE.format(agent=AGENT, phone=PHONE, dag_id=dag_id, body=indent(body, "    ")))
        status, _ = airflow("dags", "reserialize")
        assert status == 0
        assert "No data found" in airflow("dags", "list-import-errors")[1]

    return add


BASH = f"from {BASH_OPERATORS_MODULE} import BashOperator\n"
PLAIN = "AuxCallOperator(task_id='plain', **CALL)"
MAPPED = "AuxCallOperator.partial(task_id='mapped').expand_kwargs([CALL])"


# sync-pools


def test_the_pool_of_each_connection_is_created(sync, store_connection, pools):
    store_connection()
    store_connection("sales", password=OTHER_TOKEN)
    store_connection("web", conn_type="http")

    assert sync() == {"sales": ("sales", "created"), "wolkvox_default": ("wolkvox_default", "created")}
    assert pools() == {"sales": 1, "wolkvox_default": 1}


def test_a_wide_pool_is_set_back_to_one_slot_and_keeps_all_else(sync, store_connection, set_pool, database):
    from airflow.models import Pool

    store_connection()
    set_pool("wolkvox_default", 5, "mine", include_deferred=True)

    assert sync() == {"wolkvox_default": ("wolkvox_default", "set from 5 slots to 1")}
    with database() as session:
        pool = Pool.get_pool("wolkvox_default", session=session)
        assert (pool.slots, pool.description, pool.include_deferred) == (1, "mine", True)


@pytest.mark.parametrize("slots", [0, -1])
def test_a_pool_without_slots_or_without_end_is_repaired(sync, store_connection, set_pool, pools, slots):
    store_connection()
    set_pool("wolkvox_default", slots)

    sync()

    assert pools() == {"wolkvox_default": 1}


def test_a_second_time_changes_nothing(sync, store_connection, pools):
    store_connection()
    sync()

    assert sync() == {"wolkvox_default": ("wolkvox_default", "was right")}
    assert pools() == {"wolkvox_default": 1}


def test_other_pools_are_left_alone(sync, store_connection, set_pool, pools, airflow):
    store_connection()
    set_pool("reports", 7)

    sync()

    assert pools() == {"reports": 7, "wolkvox_default": 1}
    assert "128" in airflow("pools", "get", "default_pool")[1]


def test_a_connection_of_the_environment_is_named(sync, set_connection, pools):
    assert sync() == {}

    assert sync("--conn-id", set_connection("sales")) == {"sales": ("sales", "created")}
    assert pools() == {"sales": 1}


def test_several_connections_may_be_named_and_one_twice(sync, store_connection, set_connection):
    store_connection()
    set_connection("sales")

    done = sync("--conn-id", "sales", "--conn-id", "wolkvox_default", "--conn-id", "sales")

    assert done == {"sales": ("sales", "created"), "wolkvox_default": ("wolkvox_default", "created")}


def test_an_unknown_connection_is_noted(sync, pools):
    assert sync("--conn-id", "salse") == {"salse (not found)": ("salse", "created")}
    assert pools() == {"salse": 1}


def test_without_any_connection_it_says_what_to_do(airflow, pools):
    status, out = airflow("wolkvox", "sync-pools")

    assert status == 0
    assert "Name others with --conn-id" in out
    assert pools() == {}


def test_the_default_pool_is_never_narrowed(airflow):
    airflow("wolkvox", "sync-pools", "--conn-id", "default_pool")
    assert "128" in airflow("pools", "get", "default_pool")[1]


def test_a_connection_whose_id_is_no_pool_name_gets_no_pool(airflow, store_connection, pools):
    store_connection("sales/co")
    airflow("wolkvox", "sync-pools")
    assert pools() == {}


def test_a_password_that_cannot_be_decrypted_does_not_keep_others_from_their_pools(
    sync, store_connection, spoil_password, pools
):
    store_connection("broken")
    store_connection("sales")
    spoil_password("broken")

    sync()

    assert pools() == {"broken": 1, "sales": 1}


@pytest.fixture
def spoil_password(database):
    """Leave a password in the database as after a change of Airflow's key."""

    def spoil(conn_id: str) -> None:
        from cryptography.fernet import Fernet
        from sqlalchemy import text

        with database() as session:
            session.execute(
                text("UPDATE connection SET password = :password WHERE conn_id = :conn_id"),
                {"password": Fernet(Fernet.generate_key()).encrypt(b"x").decode(), "conn_id": conn_id},
            )

    return spoil


# check


def test_nothing_at_all_is_not_ok(check):
    assert check() == {}
    assert check.looked_at == ("looked at 0 tasks of this provider in 0 of 0 DAGs", "no task was checked")


def test_check_says_how_much_it_looked_at(sync, check, store_connection, add_dag):
    store_connection()
    add_dag(f"{PLAIN}\n{MAPPED}", "one")
    add_dag(PLAIN, "two")
    add_dag("BashOperator(task_id='bash', bash_command='true')", "three", before=BASH)
    sync()

    check()

    assert check.looked_at == ("looked at 3 tasks of this provider in 2 of 3 DAGs", "ok")


def test_all_is_well_after_sync_pools(sync, check, store_connection, add_dag):
    store_connection()
    add_dag(f"{PLAIN}\n{MAPPED}")
    sync()

    assert check() == {
        "connection wolkvox_default": "ok",
        "task callbacks.mapped": "ok",
        "task callbacks.plain": "ok",
    }


def test_a_missing_pool_is_found(check, store_connection, add_dag):
    store_connection()
    add_dag(f"{PLAIN}\n{MAPPED}")

    found = check()

    assert set(found) == {"connection wolkvox_default", "task callbacks.mapped", "task callbacks.plain"}
    assert all("wolkvox_default is missing" in finding for finding in found.values())
    assert set(check.remedies.values()) == {"airflow wolkvox sync-pools --conn-id wolkvox_default"}


@pytest.mark.parametrize("slots", [0, 2, 5, -1])
def test_a_pool_of_another_width_is_found(check, store_connection, set_pool, add_dag, slots):
    store_connection()
    set_pool("wolkvox_default", slots)
    add_dag(PLAIN)

    found = check()

    assert all(f"wolkvox_default has {slots} slots" in finding for finding in found.values())
    assert len(found) == 2


def test_a_task_that_was_put_into_the_default_pool_is_found(check, store_connection, set_pool, add_dag):
    store_connection()
    set_pool("wolkvox_default")
    add_dag(f"{PLAIN}.pool = 'default_pool'\ntask = {MAPPED}\ntask.pool = 'default_pool'")

    found = check()

    assert "default_pool is everybody's" in found["task callbacks.plain"]
    assert "default_pool is everybody's" in found["task callbacks.mapped"]
    assert "default_pool" in found["connection wolkvox_default"]


def test_a_task_in_a_wide_pool_is_found(check, store_connection, set_pool, add_dag):
    store_connection()
    set_pool("wolkvox_default")
    set_pool("wide", 4)
    add_dag("AuxCallOperator(task_id='call', pool='wide', **CALL)")

    assert "wide has 4 slots" in check()["task callbacks.call"]


def test_one_connection_in_two_lanes_is_found(check, store_connection, set_pool, add_dag):
    store_connection()
    set_pool("wolkvox_default")
    set_pool("shared")
    add_dag(f"{PLAIN}\nAuxCallOperator(task_id='shared', pool='shared', **CALL)")

    found = check()

    assert "its token is used in 2 lanes: shared, wolkvox_default" in found["connection wolkvox_default"]
    assert found["task callbacks.plain"] == found["task callbacks.shared"] == "ok"


def test_two_lanes_in_two_dags_are_found(check, store_connection, set_pool, add_dag):
    store_connection()
    set_pool("wolkvox_default")
    set_pool("shared")
    add_dag(PLAIN, "one")
    add_dag("AuxCallOperator(task_id='shared', pool='shared', **CALL)", "two")

    assert "2 lanes" in check()["connection wolkvox_default"]


def test_two_connections_with_one_token_and_two_pools_are_found(check, store_connection, sync):
    store_connection()
    store_connection("sales")
    store_connection("other", password=OTHER_TOKEN)
    sync()

    found = check()

    words = "connections sales, wolkvox_default hold one token, which is used in 2 lanes: sales, wolkvox_default"
    assert found == {"connection other": "ok", "connection sales": words, "connection wolkvox_default": words}


def test_two_connections_with_one_token_in_a_shared_pool_are_right(check, store_connection, set_pool, add_dag):
    store_connection()
    store_connection("sales")
    set_pool("shared")
    add_dag(
        "AuxCallOperator(task_id='one', pool='shared', **CALL)\n"
        "AuxCallOperator.partial(task_id='two', pool='shared', wolkvox_conn_id='sales').expand_kwargs([CALL])"
    )

    assert set(check().values()) == {"ok"}


def test_two_connections_of_the_environment_with_one_token_are_found(check, set_connection, set_pool):
    set_pool("one")
    set_pool("two")

    found = check("--conn-id", set_connection("one"), "--conn-id", set_connection("two"))

    assert all("hold one token" in finding for finding in found.values())
    assert len(found) == 2


def test_a_connection_that_a_dag_uses_is_looked_up_wherever_it_is(check, set_connection, set_pool, add_dag):
    add_dag("AuxCallOperator(task_id='call', wolkvox_conn_id='sales', **CALL)")
    set_pool("sales")
    assert check()["connection sales"] == "not found, or without a token"

    set_connection("sales")
    assert check()["connection sales"] == "ok"


def test_a_connection_without_token_is_found(check, store_connection, set_pool):
    store_connection(password=None)
    set_pool("wolkvox_default")

    assert check() == {"connection wolkvox_default": "not found, or without a token"}


def test_an_unknown_connection_that_was_named_is_found(check):
    assert check("--conn-id", "salse") == {"connection salse": "not found, or without a token"}


def test_a_templated_connection_is_judged_by_its_pool(check, set_pool, add_dag):
    add_dag("AuxCallOperator(task_id='call', wolkvox_conn_id='{{ params.conn }}', pool='shared', **CALL)")
    assert "shared is missing" in check()["task callbacks.call"]

    set_pool("shared")
    assert check() == {"task callbacks.call": "ok"}


def test_a_task_in_a_group_and_a_subclass_are_found(check, store_connection, set_pool, add_dag):
    store_connection("sales")
    set_pool("sales")
    add_dag(
        "class Mine(AuxCallOperator):\n"
        "    template_fields = (*AuxCallOperator.template_fields, 'note')\n"
        "    def __init__(self, note='', **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.note = note\n"
        "with TaskGroup('group', default_args={'wolkvox_conn_id': 'sales'}):\n"
        "    Mine(task_id='plain', **CALL)\n"
        "    Mine.partial(task_id='mapped').expand_kwargs([CALL])",
        before="from airflow.providers.common.compat.sdk import TaskGroup",
    )

    assert check() == {
        "connection sales": "ok",
        "task callbacks.group.mapped": "ok",
        "task callbacks.group.plain": "ok",
    }


STATION = """
WHICH = {**CALL, 'campaign_id': '40001', 'customer_id': '7'}
AT = '2027-01-04T10:00:00-05:00'
OURS = {
    'dial': (DialOperator, CALL),
    'transfer': (TransferOperator, CALL),
    'hang': (HangUpOperator, {'agent_id': '1'}),
    'disposition': (CallDispositionOperator, {'agent_id': '1', 'cod_act': '101', 'cod_act_2': '102'}),
    'status': (AgentStatusOperator, {'agent_id': '1', 'status': 'ready'}),
    'schedule': (ScheduleRecallOperator, {**WHICH, 'at': AT}),
    'edit': (EditRecallOperator, {**WHICH, 'at': AT}),
    'delete': (DeleteRecallOperator, WHICH),
}
for name, (ours, given) in OURS.items():
    ours(task_id=name, **given)
    ours.partial(task_id=f'{name}_mapped').expand_kwargs([given])
"""
OF_STATION = (
    "from airflow_provider_wolkvox.operators.agent import *\n"
    "from airflow_provider_wolkvox.operators.dial import *\n"
    "from airflow_provider_wolkvox.operators.recall import *\n"
    "from airflow_provider_wolkvox.operators.transfer import *"
)
STATION_TASKS = [
    f"task callbacks.{name}{mapped}"
    for name in ("dial", "transfer", "hang", "disposition", "status", "schedule", "edit", "delete")
    for mapped in ("", "_mapped")
]


def test_tasks_at_an_agents_station_are_found(check, store_connection, set_pool, add_dag):
    store_connection()
    add_dag(STATION, before=OF_STATION)
    found = check()
    assert all("wolkvox_default is missing" in found[task] for task in STATION_TASKS)

    set_pool("wolkvox_default")
    assert check() == {"connection wolkvox_default": "ok", **dict.fromkeys(STATION_TASKS, "ok")}


def test_tasks_of_others_are_none_of_our_business(check, add_dag):
    add_dag(
        "@task\ndef python(): pass\n"
        "python()\nBashOperator(task_id='bash', bash_command='true')\nBashOperator.partial(task_id='m').expand("
        "bash_command=['true'])",
        before=(
            f"from airflow.providers.common.compat.sdk import task\nfrom {BASH_OPERATORS_MODULE} import BashOperator\n"
        ),
    )
    assert check() == {}


def test_a_dag_that_is_gone_is_not_looked_at(check, add_dag, database):
    from airflow.models import DagModel
    from sqlalchemy import update

    add_dag(PLAIN)
    with database() as session:
        session.execute(update(DagModel).values(GONE))

    assert check() == {}


def test_a_dag_that_cannot_be_read_is_named_and_the_others_are_judged(
    check, add_dag, database, store_connection, set_pool
):
    from airflow.models.serialized_dag import SerializedDagModel
    from sqlalchemy import update

    store_connection()
    set_pool("wolkvox_default")
    add_dag(PLAIN, "bad")
    add_dag(PLAIN, "good")
    with database() as session:
        session.execute(
            update(SerializedDagModel).where(SerializedDagModel.dag_id == "bad").values(_data={"__version": 99})
        )

    assert check() == {
        "DAG bad": "cannot be read from the database",
        "connection wolkvox_default": "ok",
        "task good.plain": "ok",
    }


def test_no_remedy_advises_the_default_pool(check, store_connection, set_pool, add_dag):
    store_connection()
    set_pool("wolkvox_default")
    add_dag(f"{PLAIN}\nAuxCallOperator(task_id='moved', **CALL).pool = 'default_pool'")

    check()

    assert "default_pool" not in check.remedies["connection wolkvox_default"]


def test_one_token_pasted_with_a_line_break_is_still_one_token(check, store_connection, sync):
    store_connection()
    store_connection("sales", password=TOKEN + "\n")
    sync()

    assert all("hold one token" in finding for finding in check().values())


def test_the_connection_that_tasks_get_is_the_one_that_is_judged(check, store_connection, set_connection, sync):
    store_connection("sales", password=OTHER_TOKEN)
    store_connection()
    # From here on, tasks that use `sales` send the token of wolkvox_default.
    set_connection("sales")
    sync()

    assert "hold one token" in check()["connection sales"]


def test_a_connection_that_no_task_uses_does_not_spoil_a_shared_lane(check, store_connection, set_pool, add_dag):
    store_connection()
    store_connection("unused")
    set_pool("shared")
    add_dag("AuxCallOperator(task_id='one', pool='shared', **CALL)")

    assert check()["connection wolkvox_default"] == "ok"


def test_a_password_that_cannot_be_decrypted_is_a_finding(check, store_connection, spoil_password, set_pool):
    store_connection("broken")
    store_connection("sales")
    set_pool("broken")
    set_pool("sales")
    spoil_password("broken")

    found = check()

    assert found["connection sales"] == "ok"
    assert found["connection broken"] != "ok"


def test_a_subclass_with_other_template_fields_is_judged(check, store_connection, set_pool, add_dag):
    store_connection()
    set_pool("wolkvox_default")
    add_dag(
        "class Mine(AuxCallOperator):\n    template_fields = ('customer_phone',)\n"
        "Mine(task_id='call', **CALL).pool = 'default_pool'"
    )

    assert "default_pool" in check().get("task callbacks.call", "")


def test_an_operator_of_others_that_expands_over_connections_does_not_end_it(check, set_connection, set_pool, add_dag):
    set_connection("a")
    set_pool("a")
    add_dag(
        "class Theirs(BaseOperator):\n    template_fields = ('wolkvox_conn_id',)\n"
        "    def __init__(self, wolkvox_conn_id, **kwargs):\n"
        "        super().__init__(**kwargs)\n        self.wolkvox_conn_id = wolkvox_conn_id\n"
        "Theirs.partial(task_id='theirs').expand(wolkvox_conn_id=['a', 'b'])",
        before="from airflow.providers.common.compat.sdk import BaseOperator",
    )

    assert isinstance(check(), dict)


def test_a_task_mapped_over_each_agent_with_each_customer_is_found(check, store_connection, set_pool, add_dag):
    store_connection()
    set_pool("wolkvox_default")
    # Past what the operator itself rejects.
    add_dag(
        "ours = AuxCallOperator.partial(task_id='crossed')\n"
        "over = {'agent_id': ['10001', '10002'], 'customer_phone': [CALL['customer_phone']]}\n"
        "super(type(ours), ours)._expand(DictOfListsExpandInput(over), strict=False)\n"
        "one = AuxCallOperator.partial(task_id='one', agent_id='10001')\n"
        "one.expand(customer_phone=[CALL['customer_phone']])",
        before="from airflow_provider_wolkvox.mapping import DictOfListsExpandInput\n",
    )

    found = check()

    assert "rings each customer once for each agent" in found["task callbacks.crossed"]
    assert "expand_kwargs" in check.remedies["task callbacks.crossed"]
    assert found["task callbacks.one"] == "ok"


# check: what ran elsewhere


@pytest.fixture
def add_task_instance(database):
    """Give a task an instance, as the scheduler would: in whatever pool a cluster policy chose."""

    def add(task_id: str, pool: str, state: str, started: datetime | None, run: str = "r1") -> None:
        from airflow.models.dagrun import DagRun
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import select

        with database() as session:
            dag = SerializedDagModel.get_dag("callbacks", session=session)
            known = {} if HAS_TASK_SDK else {"execution_date": datetime(2026, 1, int(run[1:]) + 1, tzinfo=UTC)}
            if session.scalars(select(DagRun).where(DagRun.run_id == run)).one_or_none() is None:
                session.add(DagRun(dag_id="callbacks", run_id=run, run_type="manual", state="running", **known))
                session.flush()
            version = {}
            if HAS_TASK_SDK:
                from airflow.models.dag_version import DagVersion

                version = {"dag_version_id": DagVersion.get_latest_version("callbacks", session=session).id}
            ti = TaskInstance(dag.get_task(task_id), run_id=run, state=state, **version)
            ti.pool, ti.start_date = pool, started
            session.add(ti)

    return add


def test_a_task_instance_that_ran_in_another_pool_is_found(
    check, store_connection, set_pool, add_dag, add_task_instance
):
    now = datetime.now(UTC)
    store_connection()
    set_pool("wolkvox_default")
    add_dag(f"{PLAIN}\nAuxCallOperator(task_id='waiting', **CALL)\nAuxCallOperator(task_id='right', **CALL)")
    add_task_instance("plain", "default_pool", "success", now - timedelta(hours=20))
    add_task_instance("plain", "default_pool", "success", now - timedelta(hours=30), run="r0")
    add_task_instance("waiting", "default_pool", "queued", None)
    add_task_instance("right", "wolkvox_default", "success", now)

    found = check()

    assert {subject: finding for subject, finding in found.items() if finding != "ok"} == {
        f"task callbacks.{task}: its runs of the last day": "1 in pool default_pool instead of wolkvox_default: "
        "the token may have been used by several requests at once"
        for task in ("plain", "waiting")
    }


# check: the stop switch


@pytest.fixture
def set_switch(database):
    def set_(value: str) -> None:
        from airflow.models.variable import Variable

        with database() as session:
            Variable.set("wolkvox_stop", value, session=session)

    return set_


def test_check_shows_that_the_stop_switch_is_not_set(check):
    check()
    assert check.switch == ("stop switch wolkvox_stop: not set", "ok")


@pytest.mark.parametrize(
    ("value", "told", "finding"),
    [
        ("off", "off ('off')", "ok"),
        ("true", "set ('true')", "stops all calling"),
        ("another", "set ('another')", "ok"),
        ("another|wolkvox_default", "set ('another|wolkvox_default')", "stops calling with wolkvox_default"),
        ("anohter", "set ('anohter')", "stops all calling, since 'anohter' is no connection"),
    ],
)
def test_check_shows_what_the_stop_switch_does(
    check, store_connection, set_connection, set_switch, value, told, finding
):
    store_connection()
    set_connection("another")
    set_switch(value)
    check()
    assert check.switch == (f"stop switch wolkvox_stop: {told}", finding)


# check: server codes


@pytest.mark.parametrize("host", ["34", "wv34", "042"])
def test_a_server_code_that_lost_its_zeros_is_found(check, store_connection, set_pool, host):
    store_connection(host=host)
    set_pool("wolkvox_default")
    code = host.removeprefix("wv")
    assert check()["connection wolkvox_default, server code"] == (
        f"{code!r} has fewer than four digits: YAML reads 0042 without quotes as 34"
    )


# Forms of output


@pytest.mark.parametrize("output", ["table", "plain", "yaml", "json"])
def test_a_finding_is_shown_in_each_form(airflow, store_connection, output):
    store_connection()
    status, out = airflow("wolkvox", "check", "--output", output)

    assert status == 1
    assert "connection wolkvox_default" in out
    assert "airflow wolkvox sync-pools --conn-id wolkvox_default" in out


def test_nothing_is_an_empty_list_in_json(airflow):
    status, out = airflow("wolkvox", "sync-pools", "-o", "json")
    assert status == 0
    assert json.loads(out) == []


# As programs of their own


def run_program(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=os.environ["AIRFLOW_HOME"],
        env={**os.environ, "AIRFLOW__CORE__UNIT_TEST_MODE": "False", **variables},
    )
    assert TOKEN not in done.stdout + done.stderr
    return done


@pytest.fixture(
    params=[
        pytest.param(("airflow", "wolkvox"), marks=needs_provider_commands, id="airflow wolkvox"),
        pytest.param(("airflow_provider_wolkvox",), id="airflow_provider_wolkvox"),
    ]
)
def program(request):
    return lambda *arguments, **variables: run_program(*request.param, *arguments, **variables)


def test_both_programs_make_and_check_pools(program, store_connection, pools, add_dag):
    store_connection()
    add_dag(PLAIN)

    before = program("check")
    assert before.returncode == 1
    assert "pool wolkvox_default is missing" in before.stdout

    made = program("sync-pools", "-o", "json")
    assert made.returncode == 0
    # Airflow 3.2 itself logs to stdout.
    assert json.loads(made.stdout.splitlines()[-1]) == [
        {"connection": "wolkvox_default", "pool": "wolkvox_default", "done": "created"}
    ]
    assert pools() == {"wolkvox_default": 1}

    after = program("check", "--output", "plain")
    assert after.returncode == 0, after.stdout + after.stderr
    assert "ok" in after.stdout


def test_both_programs_take_a_connection_of_the_environment(program, set_connection, pools):
    set_connection("sales")

    assert program("sync-pools", "--conn-id", "sales").returncode == 0

    assert pools() == {"sales": 1}


@pytest.mark.parametrize(
    "arguments",
    [
        ("look-up", "--agent", AGENT, "--phone", PHONE, "--around", "2026-11-22T07:05:00-05:00"),
        ("plan", "--campaign", "32841", "--since", "2026-11-22T07:00:00-05:00", "--until", "2026-11-22T08:00:00-05:00"),
    ],
    ids=["look-up", "plan"],
)
def test_what_asks_wolkvox_finds_its_connection_in_the_database(program, store_connection, simulator, arguments):
    store_connection(extra=json.dumps({"base_url": simulator.base_url}))
    done = program(*arguments)
    assert "isn't defined" not in done.stderr, done.stderr
    assert simulator.stats().requests > 0


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["sync-pools", "--slots", "2"], ["check", "-o", "csv"]])
def test_wrong_arguments_are_told(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: python -m airflow_provider_wolkvox" in capsys.readouterr().err


def test_the_program_lists_its_commands(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    listed = capsys.readouterr().out
    assert all(command in listed for command in ("simulate", "sync-pools", "check", "release", "look-up"))


def test_the_simulator_needs_no_airflow():
    script = (
        "import runpy, sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('airflow', 'requests', 'pendulum', 'holidays'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "sys.argv = ['airflow_provider_wolkvox', 'simulate', '--help']\n"
        "runpy.run_module('airflow_provider_wolkvox', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "--port" in done.stdout


def test_the_definitions_of_the_commands_import_nothing_heavy():
    script = (
        "import sys, airflow.cli.cli_config\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_wolkvox.cli\n"
        "heavy = ('requests', 'holidays', 'sqlalchemy', 'airflow.models', 'airflow_provider_wolkvox.api')\n"
        "print('#' + ' '.join(name for name in heavy if name in sys.modules and name not in before))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.partition("#")[2].split() == []
