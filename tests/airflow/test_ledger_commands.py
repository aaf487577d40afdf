"""`airflow wolkvox ledger ...`, and which ledger a task finds by Airflow's settings and connections."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from capabilities import HAS_PROVIDER_COMMANDS

from airflow_provider_wolkvox.__main__ import main
from airflow_provider_wolkvox.ledger import configuration
from airflow_provider_wolkvox.ledger.base import LedgerUnusable
from airflow_provider_wolkvox.ledger.entry import CallState, Claimed, Intent, Origin, Settlement

SETTING = "AIRFLOW__WOLKVOX__LEDGER_CONN_ID"
EMBEDDED = Path(os.environ["AIRFLOW_HOME"]) / "wolkvox-ledger.db"


@pytest.fixture
def command(migrated_database, capsys, monkeypatch):
    """Run `wolkvox ledger ...`; return its exit status or message, and what it printed."""
    monkeypatch.delenv(SETTING, raising=False)
    for file in EMBEDDED.parent.glob("wolkvox-ledger.db*"):
        file.unlink()

    def run(*arguments: str):
        said = None
        # What the test itself has made Airflow 2.11 log, which it does there.
        capsys.readouterr()
        try:
            main(["ledger", *arguments])
        except SystemExit as ended:
            said = ended.code
        return said, capsys.readouterr().out

    return run


@pytest.fixture
def ledger_file(tmp_path, set_connection, monkeypatch) -> Path:
    """A connection to a SQLite file, which the setting names."""
    file = tmp_path / "ledger.db"
    set_connection("wolkvox_ledger", conn_type="sqlite", host=str(file), password=None)
    monkeypatch.setenv(SETTING, "wolkvox_ledger")
    return file


def intent(key: str = "one") -> Intent:
    origin = Origin(dag_id="callbacks", run_id="r", task_id="ring", try_number=1)
    return Intent(key=(key,), action="aux_call", origin=origin, customer="3005550101", phone="***0101")


def connection(set_connection, **fields):
    from airflow.providers.common.compat.sdk import BaseHook

    return BaseHook.get_connection(
        set_connection("some_ledger", **{"host": "db", "login": "me", "password": "p@ss/word"} | fields)
    )


def test_without_a_setting_the_command_says_what_to_set_and_makes_nothing(command):
    for arguments in (["init"], ["status"], ["purge", "--older-than", "400d"], ["restored", "--yes"]):
        said, _ = command(*arguments)
        assert said.startswith("No ledger is configured: set [wolkvox] ledger_conn_id")
        assert "`airflow wolkvox ledger init --embedded`" in said
    assert not EMBEDDED.exists()


def test_on_one_machine_a_file_can_be_made_and_the_line_that_is_printed_turns_it_on(command, monkeypatch):
    said, printed = command("init", "--embedded")
    assert said is None
    line = printed.splitlines()[-1]
    assert line == f"export {SETTING}=sqlite:///{EMBEDDED.resolve()}"
    assert stat.S_IMODE(EMBEDDED.stat().st_mode) == 0o600
    assert configuration.configured_ledger() is None
    monkeypatch.setenv(SETTING, line.partition("=")[2])
    assert isinstance(configuration.configured_ledger().claim(intent()), Claimed)
    assert command("init") == (None, f"The ledger (sqlite {_sqlite()}) was right: version 1.\n")


@pytest.mark.parametrize("executor", ["CeleryExecutor", "LocalExecutor,KubernetesExecutor"])
def test_where_tasks_run_elsewhere_no_file_is_made(command, monkeypatch, executor):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    said, _ = command("init", "--embedded")
    assert said.endswith("Nothing was made.")
    assert "--embedded" not in command("init")[0]
    assert not EMBEDDED.exists()


def test_init_status_purge_and_restored_over_a_connection(command, ledger_file):
    assert "airflow wolkvox ledger init" in command("status")[0]
    assert command("init") == (None, f"The ledger (sqlite {_sqlite()}) made: version 1.\n")
    ledger = configuration.configured_ledger()
    ledger.settle(Settlement(claimed=ledger.claim(intent("1")), state=CallState.ACCEPTED))
    ledger.claim(intent("2"))
    _, printed = command("status", "--output", "json")
    told = {row["what"]: row["value"] for row in json.loads(printed)}
    assert (told["accepted"], told["intent"], told["epoch"]) == ("1", "1", "1")
    assert "callbacks r ring, try 1" in told["oldest in doubt"]
    assert command("purge", "--older-than", "400d") == (None, "0 calls deleted.\n")
    assert "400 days" not in command("purge", "--older-than", "9d")[0]
    assert "at least 30 days" in command("purge", "--older-than", "9d")[0]
    assert "such as 400d" in command("purge", "--older-than", "a year")[0]
    assert command("restored")[0].endswith("Nothing was changed.")
    assert command("restored", "--yes")[1].startswith("Epoch 2 has begun.")
    ledger.close()


def test_a_connection_that_does_not_exist_is_no_call(command, monkeypatch):
    monkeypatch.setenv(SETTING, "nowhere")
    with pytest.raises(LedgerUnusable, match="names the connection 'nowhere'"):
        configuration.configured_ledger()
    assert "names the connection 'nowhere', which cannot be read" in command("status")[0]


def test_a_database_that_is_not_there_is_told(command, set_connection, monkeypatch):
    set_connection("wolkvox_ledger", conn_type="sqlite", host="/nowhere/at/all.db", password=None)
    monkeypatch.setenv(SETTING, "wolkvox_ledger")
    assert "cannot be reached" in command("init")[0]


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"conn_type": "mysql"}, "mysql+pymysql://me:p%40ss%2Fword@db/wolkvox"),
        ({"conn_type": "mariadb", "port": 3307}, "mysql+pymysql://me:p%40ss%2Fword@db:3307/wolkvox"),
        (
            {"conn_type": "mysql", "extra": {"ssl": {"ca": "/ca.pem"}, "charset": "utf8mb4", "cursor": "x"}},
            "mysql+pymysql://me:p%40ss%2Fword@db/wolkvox?charset=utf8mb4&ssl_ca=%2Fca.pem",
        ),
        (
            {"conn_type": "postgres", "extra": {"sslmode": "verify-full", "iam": False, "connect_timeout": 3}},
            "{postgresql}://me:p%40ss%2Fword@db/wolkvox?connect_timeout=3&sslmode=verify-full",
        ),
        (
            {"conn_type": "generic", "extra": {"sqlalchemy_scheme": "postgresql+psycopg2"}},
            "postgresql+psycopg2://me:p%40ss%2Fword@db/wolkvox",
        ),
        ({"conn_type": "sqlite", "host": "/a/b.db"}, "sqlite:////a/b.db"),
    ],
)
def test_a_connections_fields_and_tls_options_reach_the_driver(set_connection, fields, address):
    import sqlalchemy

    fields = {"schema": "wolkvox"} | fields
    engine = configuration.ledger_of(connection(set_connection, **fields))._database._engine
    postgresql = "postgresql+psycopg2" if sqlalchemy.__version__.startswith("1.") else "postgresql+psycopg"
    assert engine.url.render_as_string(hide_password=False) == address.replace("{postgresql}", postgresql)


def test_the_key_of_the_hashes_may_stand_in_the_connection(set_connection, tmp_path):
    fields = {"conn_type": "sqlite", "host": str(tmp_path / "x.db"), "extra": {"hash_secret": "kept in a vault"}}
    ledger = configuration.ledger_of(connection(set_connection, **fields))
    ledger.init()
    assert isinstance(ledger.claim(intent()), Claimed)
    ledger.close()
    other = configuration.ledger_of(connection(set_connection, **{**fields, "extra": {}}))
    with pytest.raises(LedgerUnusable, match="hash_secret"):
        other.known([intent()])
    other.close()


def test_what_no_ledger_can_be_kept_in_is_told(set_connection):
    with pytest.raises(LedgerUnusable, match="PostgreSQL, MySQL, MariaDB or SQLite"):
        configuration.ledger_of(connection(set_connection, conn_type="mssql", extra={"sqlalchemy_scheme": "mssql"}))


def test_namespace_and_setting_are_declared_for_airflow(monkeypatch):
    assert configuration.namespace() == "default"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "north")
    assert configuration.namespace() == "north"


@pytest.mark.skipif(not HAS_PROVIDER_COMMANDS, reason="Airflow asks for them from 3.2 on")
def test_airflow_knows_the_group(migrated_database):
    from airflow.cli.cli_parser import get_parser

    given = get_parser().parse_args(["wolkvox", "ledger", "purge", "--older-than", "400d"])
    assert given.older_than == "400d"


def _sqlite() -> str:
    import sqlite3

    return sqlite3.sqlite_version
