"""The connections that a command uses, wherever they are kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import Arg

if TYPE_CHECKING:
    from airflow.models.connection import Connection
    from sqlalchemy.orm import Session

    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
    from airflow_provider_wolkvox.ledger.sql import SqlLedger


def arg(name: str, **options: Any) -> Arg:
    """Return an argument of a command.

    :param name: its name or option
    :param options: the rest, as `argparse` takes it
    """
    return Arg((name,), **options)  # type: ignore[no-untyped-call]


ARG_CONN_IDS = arg(
    "--conn-id",
    action="append",
    default=[],
    metavar="CONN_ID",
    help="A connection that is not in the database (environment variable, secrets backend); may be repeated",
)


def listed(session: Session) -> list[str]:
    """Return the ids of the wolkvox connections in the database.

    :param session: of Airflow's database
    """
    from airflow.models.connection import Connection
    from sqlalchemy import select

    return list(session.scalars(select(Connection.conn_id).where(Connection.conn_type == "wolkvox")))


def hook_of(conn_id: str) -> WolkvoxHook:
    """Return the hook of a connection, wherever it is kept.

    On 3.2 and later a hook itself looks into the database only within a server's or a task's process, not in a
    command's [ran on 3.3].

    :param conn_id: the connection's id
    :raises AirflowException: there is none
    """
    from airflow.models.connection import Connection

    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

    hook = WolkvoxHook(conn_id)
    hook.connection = Connection.get_connection_from_secrets(conn_id)
    return hook


def used_ledger() -> SqlLedger | None:
    """Return the ledger in SQL that tasks use, None if none is configured; its connection may be kept anywhere.

    :raises LedgerError: it cannot be used
    """
    from airflow.models.connection import Connection

    from airflow_provider_wolkvox.ledger.configuration import configured_ledger

    return configured_ledger(Connection.get_connection_from_secrets)


@contextmanager
def token_in_use() -> Iterator[None]:
    """Announce that a command uses a token outside of its pool, and end the command where it cannot go on.

    :raises SystemExit: with 2 and the reason: an argument is invalid, or wolkvox or the ledger could not be read
    """
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_wolkvox.api import WolkvoxError
    from airflow_provider_wolkvox.ledger.base import LedgerError

    print("The token is used now, outside of its pool: run this while no call is under way.", file=sys.stderr)
    try:
        yield
    except (ValueError, ImportError, WolkvoxError, AirflowException, LedgerError) as wrong:
        print(wrong, file=sys.stderr)
        raise SystemExit(2) from None


def connection_of(conn_id: str) -> Connection | None:
    """Return the connection that a task would get, wherever it is kept; None if there is none that can be read.

    :param conn_id: the connection's id
    """
    from airflow.models.connection import Connection

    try:
        # Looks where a task's hook does, in the same order: secrets backends, environment, database.
        connection = Connection.get_connection_from_secrets(conn_id)
        # Decrypted here, which may fail.
        connection.password  # noqa: B018
    except Exception:
        # "Not found", and "cannot be decrypted", have other classes in other versions and backends.
        return None
    return connection


def token_in(connection: Connection | None) -> str | None:
    """Return a connection's token; None if there is none.

    :param connection: the connection, None for one that was not found
    """
    return ((connection.password if connection else None) or "").strip() or None
