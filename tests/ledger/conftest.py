"""The three databases that a ledger can be kept in, each a real server of its own on loopback.

Needs no Airflow. `WOLKVOX_TEST_POSTGRESQL` and `WOLKVOX_TEST_MARIADB` name running servers to use instead, as
`dev/sqlalchemy_versions.py` does for other SQLAlchemys; their tables are dropped.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dev"))

from airflow_provider_wolkvox.ledger import schema
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.sql import SqlLedger

BACKENDS = ("sqlite", "postgresql", "mariadb")
# The last one tells which version there is.
TABLES = ("events", "calls", "customers", "leases", "deployments", "ledger")


@pytest.fixture(scope="session")
def server_url() -> Iterator[Callable[[str], str]]:
    """The URL of a server, which is started when it is first asked for, and ends with the session."""
    urls: dict[str, str] = {}
    with contextlib.ExitStack() as undo:

        def url_of(backend: str) -> str:
            if backend not in urls:
                given = os.environ.get(f"WOLKVOX_TEST_{backend.upper()}")
                urls[backend] = given or undo.enter_context(_started(backend))
            return urls[backend]

        yield url_of


@contextlib.contextmanager
def _started(backend: str) -> Iterator[str]:
    services = pytest.importorskip("services", reason="the servers are started by dev/services.py")
    if missing := services.missing_programs(backend):
        pytest.skip(f"this machine has no {', no '.join(missing)}")
    # Not below pytest's folder, which is its user's alone: the server's own user has to pass.
    with tempfile.TemporaryDirectory(prefix=f"wolkvox-{backend}-") as folder:
        Path(folder).chmod(0o755)
        with services.running_database(backend, Path(folder)) as url:
            yield url


@pytest.fixture(params=BACKENDS)
def url(request, server_url, tmp_path) -> str:
    """A database of each kind, without anybody's calls."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url = server_url(request.param)
    with engine_of(url).connect() as connection, connection.begin():
        if schema.installed(connection):
            # Tables take MariaDB a second or two to make.
            for table in TABLES[:-1]:
                connection.exec_driver_sql(f"DELETE FROM wolkvox_{table}")
            connection.exec_driver_sql("UPDATE wolkvox_ledger SET epoch = 1, restored_at = 0")
    return url


@pytest.fixture
def empty_url(url) -> Iterator[str]:
    """A database of each kind, without tables before and after."""
    _drop_tables(url)
    yield url
    _drop_tables(url)


def _drop_tables(url: str) -> None:
    engine = engine_of(url)
    with engine.connect() as connection, connection.begin():
        for table in inspect(connection).get_table_names():
            if table.startswith("wolkvox_"):
                connection.exec_driver_sql(f"DROP TABLE {table}")


@pytest.fixture
def ledger(url) -> Iterator[SqlLedger]:
    """A new ledger in each kind of database."""
    with contextlib.closing(SqlLedger(engine_of(url))) as ledger:
        ledger.init()
        yield ledger


@pytest.fixture
def other(url, ledger) -> Iterator[SqlLedger]:
    """The same ledger, as another process sees it."""
    with contextlib.closing(SqlLedger(engine_of(url))) as ledger:
        yield ledger
