"""Whatever is wrong with the database is "no call", with what to do; nothing is half done, nothing waits for ever."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading

import pytest
from intents import intent, settled
from sqlalchemy import event, text
from sqlalchemy.engine import make_url

from airflow_provider_wolkvox.ledger import database
from airflow_provider_wolkvox.ledger.base import LedgerError, LedgerUnreachable, LedgerUnusable
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import CallState, Claimed, InDoubt
from airflow_provider_wolkvox.ledger.sql import SqlLedger

SERVERS = ("postgresql", "mysql")


def backend_of(url: str) -> str:
    return make_url(url).get_backend_name()


@contextlib.contextmanager
def opened(url: str):
    with contextlib.closing(SqlLedger(engine_of(url))) as ledger:
        yield ledger


def test_a_server_that_is_not_there_is_no_call(url):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if backend_of(url) == "sqlite":
            gone = "sqlite:////nowhere/at/all/ledger.db"
        else:
            gone = make_url(url).set(port=place.getsockname()[1]).render_as_string(hide_password=False)
        with opened(gone) as ledger, pytest.raises(LedgerUnreachable, match="No call was made"):
            ledger.claim(intent())


def test_neither_a_password_nor_a_value_is_in_an_error(url):
    if backend_of(url) == "sqlite":
        pytest.skip("it has no password")
    wrong = make_url(url).set(password="wrong-secret").render_as_string(hide_password=False)
    with opened(wrong) as ledger, pytest.raises(LedgerError) as failure:
        ledger.claim(intent())
    assert "wrong-secret" not in f"{failure.value!r} {failure.value.__cause__}"


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(url, ledger):
    if backend_of(url) == "sqlite":
        pytest.skip("it has no server")
    claimed = ledger.claim(intent())
    kill(ledger, url)
    assert ledger.settle(settled(claimed, CallState.ACCEPTED, conn_id="7.1"))
    kill(ledger, url)
    assert isinstance(ledger.claim(intent("2")), Claimed)


def kill(ledger: SqlLedger, url: str) -> None:
    """End the ledger's connection on the server."""
    postgresql = backend_of(url) == "postgresql"
    with ledger._database._transaction(reads=True) as transaction:
        number = transaction.row("SELECT pg_backend_pid() AS id" if postgresql else "SELECT connection_id() AS id").id
    with engine_of(url).connect() as connection, connection.begin():
        statement = f"SELECT pg_terminate_backend({number})" if postgresql else f"KILL {number}"
        connection.execute(text(statement))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_is_lost_in_a_commit_leaves_no_call_in_doubt(url, ledger, when):
    """Whether the commit came to pass or not, the same claim is made again, and recognizes its own attempt."""
    if backend_of(url) == "sqlite":
        pytest.skip("it has no server")
    ledger.known([intent()])
    commits = []
    engine = ledger._database._engine
    commit = engine.dialect.do_commit

    def lossy(connection):
        commits.append(when)
        if len(commits) > 1:
            return commit(connection)
        if when == "after":
            commit(connection)
        connection.close()
        raise engine.dialect.dbapi.OperationalError(2013, "Lost connection to server: connection is closed")

    engine.dialect.do_commit = lossy
    engine.dialect.is_disconnect = lambda error, connection, cursor: "connection is closed" in str(error)
    claimed = ledger.claim(intent())
    assert isinstance(claimed, Claimed)
    assert len(commits) == 2
    assert [each.attempt_id for each in ledger.events(claimed.intent_key)] == [claimed.attempt_id]
    assert ledger.settle(settled(claimed, CallState.ACCEPTED))


def test_a_row_that_somebody_holds_is_waited_for_within_bounds(url, ledger, other, monkeypatch):
    """Another session holds the customer's row and does not go on."""
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    monkeypatch.setattr(database, "_LIMITS", text("SELECT set_config('lock_timeout', '1s', true)"))
    ledger.claim(intent())
    if backend_of(url) == "sqlite":
        holder = sqlite3.connect(make_url(url).database, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
    else:
        holder = engine_of(url).connect()
        holder.begin()
        holder.execute(text("UPDATE wolkvox_customers SET seen_at = seen_at + 1"))
    try:
        with opened(url) as waiting, pytest.raises(LedgerUnreachable, match="too slow or too busy"):
            waiting.claim(intent("2"))
    finally:
        holder.close()
    assert isinstance(other.claim(intent("2")), Claimed)


def test_a_read_only_database_is_told_as_such(url, ledger):
    backend = backend_of(url)
    if backend == "sqlite":
        path = make_url(url).database
        read_only = f"sqlite:///file:{path}?mode=ro&uri=true"
    elif backend == "postgresql":
        # What a replica answers.
        read_only = f"{url}?options=-c%20default_transaction_read_only%3Don"
    else:
        pytest.skip("only its administrator can have it so")
    with opened(read_only) as replica, pytest.raises(LedgerUnusable, match="read-only"):
        replica.claim(intent())
    assert ledger.known([intent()]) == [None]


def test_a_full_disk_is_told_as_such(tmp_path):
    url = f"sqlite:///{tmp_path / 'small.db'}"
    engine = engine_of(url)
    with opened(url) as ledger:
        ledger.init()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))

    def fill(ledger: SqlLedger) -> None:
        for number in range(2000):
            ledger.claim(intent(f"{number}", what="x" * 250))

    with contextlib.closing(SqlLedger(engine)) as ledger, pytest.raises(LedgerUnusable, match="is full"):
        fill(ledger)


def test_a_user_without_permission_is_told_what_it_needs(url, ledger):
    if backend_of(url) != "postgresql":
        pytest.skip("the test's user may not make others on MariaDB, and SQLite has none")
    engine = engine_of(url)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text("CREATE ROLE reader LOGIN PASSWORD 'reader'"))
    reader = make_url(url).set(username="reader", password="reader").render_as_string(hide_password=False)
    with opened(reader) as ledger, pytest.raises(LedgerUnusable, match="grant SELECT"):
        ledger.claim(intent())


def test_what_interrupts_a_transaction_leaves_nothing_half_done(url, ledger, other):
    """Airflow's timeout of a task is an exception that a signal raises anywhere."""

    class Timeout(BaseException):
        pass

    def interrupted(*_):
        raise Timeout

    append = ledger._append
    ledger._append = interrupted
    with pytest.raises(Timeout):
        ledger.claim(intent())
    ledger._append = append
    assert other.known([intent()]) == [None]
    assert isinstance(ledger.claim(intent()), Claimed)
    assert isinstance(other.claim(intent()), InDoubt)


def test_threads_that_share_a_ledger_wait_for_one_another(ledger):
    failures = []

    def claim(number: int) -> None:
        try:
            for turn in range(10):
                claimed = ledger.claim(intent(f"{number} {turn}"))
                assert ledger.settle(settled(claimed, CallState.ACCEPTED))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert ledger.status()["counts"]["accepted"] == 40


def test_a_running_task_holds_one_connection(url, ledger):
    if backend_of(url) != "postgresql":
        pytest.skip("counted on PostgreSQL")
    for number in range(3):
        ledger.settle(settled(ledger.claim(intent(str(number))), CallState.ACCEPTED))
    with engine_of(url).connect() as connection:
        counted = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wolkvox ledger'")
        # Itself is the second.
        assert connection.execute(counted).scalar() == 2


def test_no_state_is_left_on_a_connection_behind_pgbouncer(url, ledger):
    """In transaction mode each transaction may run on another of the server's connections."""
    if backend_of(url) != "postgresql":
        pytest.skip("PgBouncer is PostgreSQL's")
    ledger.settle(settled(ledger.claim(intent()), CallState.ACCEPTED))
    with ledger._database._connection.begin():
        show = ledger._database._connection.execute
        assert show(text("SHOW statement_timeout")).scalar() == "0"
        assert show(text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
        assert show(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar() == 0


@pytest.mark.parametrize("given", ["oracle://host/db", "postgresql+nothing://host/db", "no url", "mysql+asyncmy://h/d"])
def test_what_no_ledger_can_be_kept_in_is_told_before_any_call(given):
    with pytest.raises(LedgerUnusable, match="No call was made"):
        engine_of(given)


@pytest.mark.parametrize("given", ["postgres", "postgresql", "mysql", "mariadb"])
def test_the_usual_spellings_of_a_database_find_an_installed_driver(given):
    assert engine_of(f"{given}://me@127.0.0.1/x").dialect.name == {"postgres": "postgresql", "mariadb": "mysql"}.get(
        given, given
    )


def test_what_the_connection_says_goes_before_our_defaults(url):
    if backend_of(url) != "postgresql":
        pytest.skip("its query")
    engine = engine_of(f"{url}?sslmode=disable&connect_timeout=3&application_name=mine")
    with engine.connect() as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == "mine"


def test_the_files_of_an_embedded_ledger_survive_the_process(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with opened(url) as ledger:
        ledger.init()
        ledger.claim(intent())
    assert os.path.exists(tmp_path / "ledger.db")  # noqa: PTH110
    with opened(url) as ledger:
        assert isinstance(ledger.claim(intent()), InDoubt)
