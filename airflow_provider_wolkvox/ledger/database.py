"""The connection behind a ledger in SQL: its driver, its transactions, and what a database's errors mean for a call.

Knows no Airflow and no table. Runs on SQLAlchemy 1.4, 2.0 and 2.1, and behind PgBouncer in transaction mode: nothing
outlives a transaction on the server.
"""

from __future__ import annotations

import functools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import __version__ as sqlalchemy_version
from sqlalchemy import bindparam, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from airflow_provider_wolkvox.ledger.base import LedgerError, LedgerUnreachable, LedgerUnusable

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine
    from sqlalchemy.sql.elements import TextClause

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS: Final = 5
LOCK_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 15

# How often a transaction is begun anew that lost against another one.
_ATTEMPTS: Final = 10

# By backend: SQLAlchemy's name of a driver, and its module, the better one first.
_DRIVERS: Final = {
    "postgresql": {"psycopg": "psycopg", "psycopg2": "psycopg2"},
    "mysql": {"mysqldb": "MySQLdb", "pymysql": "pymysql", "mysqlconnector": "mysql.connector"},
}
_NOW: Final = {
    # Not now(): that is when the transaction began, and it may have waited for a lock since.
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "sqlite": "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)",
    # In UTC, since an hour comes twice in a year in a zone with summer time.
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000",
}
# In the transaction, so that nothing of it outlives it behind PgBouncer.
_LIMITS: Final = text(
    f"SELECT set_config('statement_timeout', '{STATEMENT_SECONDS}s', true), "
    f"set_config('lock_timeout', '{LOCK_SECONDS}s', true), "
    f"set_config('idle_in_transaction_session_timeout', '{STATEMENT_SECONDS}s', true)"
)


# By SQLSTATE, by MySQL's number, or by SQLite's name: another transaction went first, so this one did nothing.
_LOST_RACE: Final = {"40001", "40P01", 1213, 1020}
_BUSY: Final = {"55P03", "57014", "53300", 1205, 1040, 1203, 1969, 3024, "SQLITE_BUSY", "SQLITE_LOCKED"}
_NO_SUCH_TABLE: Final = "no such table"
_NO_TABLES: Final = {"42P01", "3F000", 1146, _NO_SUCH_TABLE}
_READ_ONLY: Final = {"25006", 1290, 1792, 1836, "SQLITE_READONLY"}
_FULL: Final = {"53100", 1021, 1114, 3, "SQLITE_FULL"}
_NO_PERMISSION: Final = {"42501", 1044, 1142, 1143}


NOT_INITIALIZED: Final = (
    "The ledger's database has no tables of a ledger. Make them: `airflow wolkvox ledger init`. No call was made."
)


class LostRace(Exception):
    """Another transaction changed a row first; the work begins anew."""


def engine_of(url: str | URL) -> Engine:
    """Return an engine for a ledger: no pool, bounded waits, nothing that outlives a transaction.

    :param url: SQLAlchemy's. If it names no driver, an installed one is used; what its query says (`sslmode`,
        `connect_timeout`) goes before our defaults
    :raises LedgerUnusable: there is no driver for it, or it is no database that a ledger can be kept in
    """
    try:
        url = _with_driver(make_url(url))
        backend = url.get_backend_name()
        if backend not in _NOW:
            raise LedgerUnusable(
                f"The ledger cannot be kept in {backend!r}: use PostgreSQL, MySQL, MariaDB or SQLite. No call was made."
            )
        options: dict[str, Any] = {} if backend == "sqlite" else {"isolation_level": "READ COMMITTED"}
        defaults = _connect_arguments(backend, url.get_driver_name())
        engine = create_engine(
            url,
            poolclass=NullPool,
            # An error's text would hold them.
            hide_parameters=True,
            connect_args={name: value for name, value in defaults.items() if name not in url.query},
            **options,
        )
    except (ImportError, NoSuchModuleError) as failure:
        raise LedgerUnusable(
            f"The ledger's connection cannot be used: there is no driver for it here ({failure}). No call was made."
        ) from None
    except ArgumentError:
        # Its text may hold the password.
        raise LedgerUnusable("The ledger's address is not one of SQLAlchemy's. No call was made.") from None
    if backend == "sqlite":
        _prepare_sqlite(engine)
    return engine


def _with_driver(url: URL) -> URL:
    """Return a URL that names its backend in one way, and a driver that is installed."""
    backend, _, driver = url.drivername.partition("+")
    backend = {"postgres": "postgresql", "mariadb": "mysql"}.get(backend, backend)
    if not driver:
        known = _DRIVERS.get(backend, {})
        if backend == "postgresql" and sqlalchemy_version.startswith("1."):
            # It knows psycopg 2 only.
            known = {"psycopg2": "psycopg2"}
        driver = next((name for name, module in known.items() if _is_installed(module)), "")
    return url.set(drivername=f"{backend}+{driver}" if driver else backend)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # Not even the package that it is in.
        return False


def _connect_arguments(backend: str, driver: str) -> dict[str, Any]:
    """Return what bounds waiting for the database, by driver; an unknown driver gets nothing."""
    if driver in ("psycopg", "psycopg2"):
        # The server's own limits are set in each transaction. These end the wait for a server that is gone.
        found: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": STATEMENT_SECONDS * 1000}
        found |= {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
        found["application_name"] = "wolkvox ledger"
        # A prepared statement lives on one of PgBouncer's connections, and the next transaction is on another.
        return {**found, "prepare_threshold": None} if driver == "psycopg" else found
    if driver in ("pymysql", "mysqldb"):
        found = {"connect_timeout": CONNECT_SECONDS, "read_timeout": STATEMENT_SECONDS}
        found["write_timeout"] = STATEMENT_SECONDS
        found["init_command"] = f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}"
        return found
    if backend == "sqlite":
        # The look-ahead of a batch runs in a thread; a lock of ours keeps the two apart.
        return {"timeout": LOCK_SECONDS, "check_same_thread": False}
    return {}


def _prepare_sqlite(engine: Engine) -> None:
    """Have SQLite's transactions begin as writers, so that none fails half-way because another one writes."""

    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # A commit is on the disk when it returns; WAL's usual "normal" may lose the last ones with the power.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    def begins(connection: Connection) -> None:
        reads = connection.get_execution_options().get("wolkvox_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begins)


class Transaction:
    """Runs statements, in which `{now}` stands for the database's clock in milliseconds and `:name` for a value.

    :param connection: in a transaction
    :param lengths: how many characters the columns take, by name; longer texts are cut
    """

    def __init__(self, connection: Connection, lengths: Mapping[str, int]) -> None:
        self.connection = connection
        self._lengths = lengths
        self._dialect = connection.dialect.name

    def rows(self, statement: str, **given: Any) -> list[Any]:
        """Return what a query finds.

        :param statement: the query
        :param given: its values
        """
        return list(self._run(statement, given))

    def row(self, statement: str, **given: Any) -> Any:
        """Return the one row that a query finds, None if there is none; as for `rows`."""
        return next(iter(self.rows(statement, **given)), None)

    def change(self, statement: str, **given: Any) -> int:
        """Return how many rows a statement changed; of an `INSERT` that says nothing.

        :param statement: the statement
        :param given: its values
        """
        return int(self._run(statement, given).rowcount)

    def upsert(self, table: str, key: Sequence[str], given: Mapping[str, Any], always: str) -> None:
        """Insert a row, or change the one that is there, and lock it until the transaction ends.

        :param table: the table
        :param key: the columns of its primary key
        :param given: the values of some columns
        :param always: the column that becomes the present instant, whether the row is new or not
        """
        names = ", ".join([*given, always])
        values = ", ".join([*(f":{name}" for name in given), "{now}"])
        conflict = "ON DUPLICATE KEY UPDATE"
        if self._dialect != "mysql":
            conflict = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET"
        # Names of ours; every value is bound.
        self.change(f"INSERT INTO {table} ({names}) VALUES ({values}) {conflict} {always} = {{now}}", **given)  # noqa: S608

    def _run(self, statement: str, given: Mapping[str, Any]) -> Any:
        values = {name: self._storable(name, value) for name, value in given.items()}
        return self.connection.execute(_prepared(statement, self._dialect), values)

    def _storable(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # No database takes a lone surrogate, and PostgreSQL no NUL.
        return value.encode("utf-8", "replace").decode().replace("\0", "")[: self._lengths.get(name)]


class Database:
    """One connection, opened when it is first needed, and the transactions on it.

    May be used by several threads, which wait for one another.

    :param engine: as `engine_of` makes it
    :param lengths: as for `Transaction`
    """

    def __init__(self, engine: Engine, lengths: Mapping[str, int]) -> None:
        self._engine = engine
        self._lengths = lengths
        self._connection: Connection | None = None
        self._lock = threading.RLock()

    def transact(self, work: Callable[[Transaction], T], *, reads: bool = False) -> T:
        """Run some work in one transaction, and again if it lost against another one or the connection was lost.

        A connection may be lost during the commit, so the work must come to the same whether it is done once or twice.

        :param work: may run several times
        :param reads: whether it only reads
        :raises LedgerUnreachable: it was not done; later it may be
        :raises LedgerUnusable: it was not done, and a person has to act
        """
        lost = False
        last: Exception | None = None
        with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    with self._transaction(reads=reads) as transaction:
                        return work(transaction)
                except (LostRace, IntegrityError) as failure:
                    last = failure
                except DBAPIError as failure:
                    last = failure
                    code = _code_of(failure, self._engine.dialect.name)
                    if failure.connection_invalidated and not lost:
                        lost = True
                    elif code not in _LOST_RACE:
                        raise _error_of(failure, code) from None
                # Who lost comes back a little later than who won.
                time.sleep(secrets.randbelow(1 + 5 * attempt) / 1000)
        raise LedgerUnreachable(
            "The ledger is too busy: other transactions went first, again and again. No call was made."
        ) from last

    def close(self) -> None:
        """Close the connection; the next transaction opens another one."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                try:
                    connection.close()
                except DBAPIError:
                    # It is gone, which is what was asked for.
                    log.debug("The ledger's connection could not be closed.", exc_info=True)

    @contextmanager
    def _transaction(self, *, reads: bool) -> Iterator[Transaction]:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            connection = self._connection.execution_options(wolkvox_reads=reads)
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(_LIMITS)
                yield Transaction(connection, self._lengths)
        except (LostRace, IntegrityError, LedgerError, ValueError):
            # Rolled back, and as good as before.
            raise
        except BaseException:
            # Whatever came in between (a signal's exception too): what state the connection is in is not known.
            self._abandon()
            raise

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception:
                log.debug("The ledger's connection could not be closed.", exc_info=True)


@functools.lru_cache(maxsize=256)
def _prepared(statement: str, dialect: str) -> TextClause:
    """Return a statement that the database understands; made once, since SQLAlchemy remembers how it compiles."""
    made = text(statement.replace("{now}", _NOW[dialect]))
    return made.bindparams(bindparam("keys", expanding=True)) if ":keys" in statement else made


def _code_of(failure: DBAPIError, dialect: str) -> str | int | None:
    """Return what tells errors apart: PostgreSQL's SQLSTATE, MySQL's number, SQLite's name."""
    orig: Any = failure.orig
    if dialect == "mysql":
        number = next(iter(getattr(orig, "args", ())), None)
        return number if isinstance(number, int) else None
    if dialect == "sqlite":
        # `SQLITE_READONLY_DIRECTORY` is a kind of `SQLITE_READONLY`.
        name = "_".join(getattr(orig, "sqlite_errorname", "").split("_")[:2])
        return _NO_SUCH_TABLE if str(orig).startswith("no such table") else name
    return getattr(orig, "sqlstate", None) or getattr(orig, "pgcode", None)


def _error_of(failure: DBAPIError, code: str | int | None) -> LedgerError:
    """Return what a database's error means for a call."""
    said = " ".join(str(failure.orig).split())[:200]
    if code in _NO_TABLES:
        return LedgerUnusable(NOT_INITIALIZED)
    if code in _READ_ONLY:
        return LedgerUnusable(
            "The ledger's database is read-only: a replica, a file without write permission, or a server that is being "
            f"moved. Let the connection lead to the primary. No call was made. ({said})"
        )
    if code in _FULL:
        return LedgerUnusable(f"The ledger's database is full. Make room. No call was made. ({said})")
    if code in _NO_PERMISSION:
        return LedgerUnusable(
            "The ledger's user may not read or write its tables: grant SELECT, INSERT, UPDATE and DELETE on them. No "
            f"call was made. ({said})"
        )
    if code in _BUSY:
        return LedgerUnreachable(
            "The ledger's database is too slow or too busy: it did not answer within "
            f"{LOCK_SECONDS} to {STATEMENT_SECONDS} seconds. No call was made. ({said})"
        )
    return LedgerUnreachable(
        f"The ledger's database cannot be reached or failed ({type(failure).__name__}). No call was made. ({said})"
    )
