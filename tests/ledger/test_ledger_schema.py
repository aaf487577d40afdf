"""The tables come by numbered migrations; a program works with its own version only, and says so of others."""

from __future__ import annotations

import contextlib
import threading

import pytest
from intents import intent
from sqlalchemy import inspect

from airflow_provider_wolkvox.ledger import schema
from airflow_provider_wolkvox.ledger.base import LedgerUnusable
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import Claimed, InDoubt
from airflow_provider_wolkvox.ledger.sql import SqlLedger

# What later versions might bring.
LATER = [
    ("ALTER TABLE wolkvox_calls ADD COLUMN mood VARCHAR(16)",),
    ("CREATE TABLE wolkvox_moods (mood {digest} NOT NULL PRIMARY KEY){table}",),
]


@pytest.fixture
def opened(empty_url):
    with contextlib.ExitStack() as undo:
        yield lambda: undo.enter_context(contextlib.closing(SqlLedger(engine_of(empty_url))))


@pytest.fixture
def later(monkeypatch):
    """A program that knows two more versions."""
    return lambda: monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS[:1], *LATER])


def test_without_tables_every_question_says_how_to_make_them(opened):
    ledger = opened()
    for ask in (
        lambda: ledger.claim(intent()),
        lambda: ledger.known([intent()]),
        lambda: ledger.take_lease("token", "me", 60),
        ledger.status,
    ):
        with pytest.raises(LedgerUnusable, match="airflow wolkvox ledger init"):
            ask()
    assert ledger.init() == (0, 1)
    assert isinstance(ledger.claim(intent()), Claimed)


def test_init_changes_nothing_where_nothing_is_to_be_done(opened):
    ledger = opened()
    ledger.init()
    ledger.claim(intent())
    assert opened().init() == (1, 1)
    assert isinstance(opened().claim(intent()), InDoubt)


@pytest.mark.parametrize("version", [1, 2])
def test_tables_of_an_earlier_version_are_upgraded_and_keep_what_they_hold(opened, later, monkeypatch, version):
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, *LATER][:version])
    opened().init()
    opened().claim(intent())
    later()
    ledger = opened()
    with pytest.raises(LedgerUnusable, match=rf"have version {version}, and this provider needs 3"):
        ledger.claim(intent())
    assert ledger.init() == (version, 3)
    assert isinstance(ledger.claim(intent()), InDoubt)
    assert ledger.status()["version"] == 3


def test_a_newer_version_is_rejected_by_an_older_program_even_while_it_runs(opened, later, monkeypatch):
    running = opened()
    running.init()
    running.claim(intent("1"))
    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, *LATER])
        opened().init()
    for ledger in (running, opened()):
        with pytest.raises(LedgerUnusable, match="version 3, and this provider knows versions up to 1"):
            ledger.claim(intent("2"))
        with pytest.raises(LedgerUnusable, match="Upgrade the provider"):
            ledger.init()


def test_an_upgrade_that_broke_off_is_finished_by_the_next_one(opened, later, empty_url):
    opened().init()
    later()
    with engine_of(empty_url).connect() as connection, connection.begin():
        if connection.dialect.name != "mysql":
            pytest.skip("the others roll such statements back")
        connection.exec_driver_sql(LATER[0][0])
    assert opened().init() == (1, 3)


def test_several_that_initialize_at_once_make_one_ledger(opened):
    ledgers = [opened() for _ in range(4)]
    failures = []

    def init(ledger):
        try:
            ledger.init()
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=init, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert isinstance(ledgers[0].claim(intent()), Claimed)
    assert [type(ledger.claim(intent())) for ledger in ledgers[1:]] == [InDoubt] * 3


def test_every_table_and_column_is_used_and_every_index_is_there(opened, empty_url):
    opened().init()
    with engine_of(empty_url).connect() as connection:
        found = inspect(connection)
        indices = {index["name"] for index in found.get_indexes("wolkvox_calls")}
    assert {
        *("wolkvox_calls_customer", "wolkvox_calls_at", "wolkvox_calls_state", "wolkvox_calls_dag"),
        *("wolkvox_calls_campaign", "wolkvox_calls_agent", "wolkvox_calls_conn_id"),
    } <= indices
