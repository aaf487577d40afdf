"""The database behind a ledger in SQL, as a history treats it: lost, slow, restarted, backed up, restored, aged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

from sqlalchemy import event, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import OperationalError

from airflow_provider_wolkvox.ledger import database
from airflow_provider_wolkvox.ledger.sql import SqlLedger

# By table, its instants in milliseconds.
INSTANTS = {
    "events": ("at",),
    "calls": ("created_at", "intent_at", "settled_at", "next_allowed"),
    "customers": ("seen_at",),
    "leases": ("deadline", "since"),
    "deployments": ("last_seen",),
    "ledger": ("restored_at", "created_at"),
}
# What a lock holds up long enough; in seconds.
LOCKED = 0.01
LIMITS = text("SELECT set_config('lock_timeout', '10ms', true)")

Backup = dict[str, list[dict[str, Any]]]
Passes = Callable[[str, str], None]

engine_of = database.engine_of


class LedgerDatabase:
    """A ledger's database, with tables. What is done here waits for no lock.

    :param url: SQLAlchemy's
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with mock.patch.object(database, "LOCK_SECONDS", LOCKED):
            self._engine = _hasty(engine_of(url))
        self.ledger = SqlLedger(self._engine)
        self.ledger.init()
        self._trouble = ""
        self._blocker: Connection | None = None

    def as_connection(self) -> dict[str, Any]:
        """Return it as one of Airflow's connections."""
        url = make_url(self.url)
        if url.get_backend_name() == "sqlite":
            return {"conn_type": "sqlite", "host": url.database}
        named = {"login": url.username, "password": url.password, "host": url.host, "port": url.port}
        return {"conn_type": url.get_backend_name(), "schema": url.database, **named}

    def close(self) -> None:
        """Close what is open."""
        self.ledger.close()

    # What happens to it while a task runs

    @contextmanager
    def watched(self, passes: Passes) -> Iterator[None]:
        """Have the connections, statements and commits of a task be steps, at which it may be lost or slow.

        :param passes: called before and after each step
        """

        def watched_engine(url: Any) -> Engine:
            engine = _hasty(engine_of(url))
            # Its own, and no other engine's.
            dialect: Any = engine.dialect
            dialect.connect = self._connecting(dialect.connect, dialect.dbapi, passes)
            dialect.do_execute = self._working(dialect.do_execute, "ledger: statement", passes)
            dialect.do_commit = self._working(dialect.do_commit, "ledger: commit", passes)
            return engine

        with (
            mock.patch.object(database, "LOCK_SECONDS", LOCKED),
            mock.patch.object(database, "_LIMITS", LIMITS),
            mock.patch.object(database, "engine_of", watched_engine),
        ):
            try:
                yield
            finally:
                self._trouble = ""
                if self._blocker is not None:
                    self._blocker.close()
                    self._blocker = None

    def go_down(self) -> None:
        """Lose all connections, and take none until the task's process has ended."""
        self._trouble = "down"

    def restart(self) -> None:
        """Lose all connections, and take new ones."""
        self._trouble = "restarted"

    def slow_down(self) -> None:
        """Have everything wait for a lock, longer than it may, until the task's process has ended."""
        blocker = engine_of(self.url).connect()
        try:
            # On SQLite, beginning a transaction locks all of it.
            blocker.begin()
            if blocker.dialect.name == "postgresql":
                blocker.execute(LIMITS)
                blocker.exec_driver_sql("LOCK TABLE wolkvox_leases, wolkvox_customers, wolkvox_calls")
        except OperationalError:
            # The task itself is writing at this moment, and holds up others.
            blocker.close()
        else:
            self._blocker = blocker

    def _connecting(self, connect: Callable[..., Any], dbapi: Any, passes: Passes) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            passes("ledger: connect", "before")
            if self._trouble == "down":
                raise dbapi.OperationalError("the database is down")
            connection = connect(*args, **options)
            passes("ledger: connect", "after")
            return connection

        return watched

    def _working(self, work: Callable[..., Any], name: str, passes: Passes) -> Callable[..., Any]:
        def watched(of: Any, *args: Any) -> None:
            connection = getattr(of, "dbapi_connection", None) or getattr(of, "connection", of)
            with _ending_with_its_process(connection):
                passes(name, "before")
            self._lose(connection)
            work(of, *args)
            with _ending_with_its_process(connection):
                passes(name, "after")
            if self._lose(connection) and name == "ledger: commit":
                # Done, but its answer never comes; what the driver says of a closed connection comes instead.
                work(of, *args)

        return watched

    def _lose(self, connection: Any) -> bool:
        """Close a connection of the driver's, if the database has dropped it."""
        if not self._trouble:
            return False
        if self._trouble == "restarted":
            self._trouble = ""
        with contextlib.suppress(Exception):
            # Closed alone, it would go on as long as a traceback keeps one of its statements.
            connection.rollback()
        connection.close()
        return True

    # What happens to it between tasks

    def backup(self) -> Backup:
        """Return all that is in it."""
        with self._at_once() as connection:
            rows = {name: connection.execute(text(f"SELECT * FROM wolkvox_{name}")) for name in INSTANTS}
            return {name: [dict(row._mapping) for row in found] for name, found in rows.items()}

    def restore(self, backup: Backup) -> None:
        """Put a backup in the place of all that is in it."""
        with self._at_once() as connection:
            for name, rows in backup.items():
                connection.execute(text(f"DELETE FROM wolkvox_{name}"))
                if rows:
                    columns = rows[0]
                    values = ", ".join(f":{column}" for column in columns)
                    connection.execute(
                        text(f"INSERT INTO wolkvox_{name} ({', '.join(columns)}) VALUES ({values})"), rows
                    )

    @contextmanager
    def _at_once(self) -> Iterator[Connection]:
        """A transaction that waits for no lock."""
        with self._engine.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(LIMITS)
            yield connection

    def age(self, by: timedelta, tables: Iterable[str] = INSTANTS) -> None:
        """Let time pass: move its instants into the past."""
        milliseconds = by // timedelta(milliseconds=1)
        with self._at_once() as connection:
            for name in tables:
                moved = ", ".join(f"{column} = {column} - :by" for column in INSTANTS[name])
                connection.execute(text(f"UPDATE wolkvox_{name} SET {moved}"), {"by": milliseconds})


@contextmanager
def _ending_with_its_process(connection: Any) -> Iterator[None]:
    """Have a transaction end with its process, although here a traceback keeps its connection open."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            connection.rollback()
        raise


def _hasty(engine: Engine) -> Engine:
    """Have SQLite not wait for the disk: a power cut is none of the faults here."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    return engine
