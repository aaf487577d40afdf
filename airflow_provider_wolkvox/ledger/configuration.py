"""Which ledger this Airflow uses: `[wolkvox] ledger_conn_id` and the connection that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_provider_wolkvox.ledger.base import LedgerUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_wolkvox.ledger.sql import SqlLedger

SECTION: Final = "wolkvox"
EMBEDDED: Final = "sqlite:///"
"""How a setting begins that names a file instead of a connection."""

# What is passed on of a connection's extras: the drivers' own options for TLS and the way to the server.
_PASSED_ON: Final = {
    "postgresql": (
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "options", "connect_timeout", "gssencmode"),
        *("channel_binding", "target_session_attrs"),
    ),
    "mysql": ("charset", "unix_socket", "connect_timeout", "ssl_ca", "ssl_cert", "ssl_key", "ssl_mode"),
}
_ONE_SPELLING: Final = {"postgres": "postgresql", "mariadb": "mysql"}


def ledger_conn_id() -> str:
    """Return the setting `[wolkvox] ledger_conn_id`; empty if there is none."""
    return _setting("ledger_conn_id")


def namespace() -> str:
    """Return the setting `[wolkvox] namespace`: what tells the DAGs of deployments apart that share a ledger."""
    return _setting("namespace") or "default"


def configured_ledger(find: Callable[[str], Any] | None = None) -> SqlLedger | None:
    """Return the SQL ledger that this Airflow uses, None if none is configured. Nothing is connected to yet.

    :param find: returns the connection of an id; default as a task finds it
    :raises LedgerUnusable: the connection does not exist, or cannot be used
    """
    conn_id = ledger_conn_id()
    if not conn_id:
        return None
    if conn_id.startswith(EMBEDDED):
        return ledger_at(conn_id)
    if "://" in conn_id:
        # Not repeated: it may hold a password.
        raise LedgerUnusable(
            "[wolkvox] ledger_conn_id is an address, and must be the id of a connection. Create one with that address, "
            "and set ledger_conn_id to its id. No call was made."
        )
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        connection = (find or BaseHook.get_connection)(conn_id)
    except Exception as failure:
        # Each version and secrets backend has a class of its own for "not found".
        raise LedgerUnusable(
            f"[wolkvox] ledger_conn_id names the connection {conn_id!r}, which cannot be read "
            f"({type(failure).__name__}). Create it, or correct its id. No call was made."
        ) from None
    return ledger_of(connection)


def ledger_of(connection: Any) -> SqlLedger:
    """Return the ledger behind one of Airflow's connections.

    Login, password, host, port, schema and the drivers' TLS options in the extras are used, with the driver that is
    installed or that the extra `sqlalchemy_scheme` names. The extra `hash_secret` is the key of the ledger's hashes.

    :param connection: the connection
    :raises LedgerUnusable: it cannot be used
    """
    extras = connection.extra_dejson
    backend, _, driver = str(extras.get("sqlalchemy_scheme") or connection.conn_type or "").partition("+")
    backend = _ONE_SPELLING.get(backend, backend)
    if backend == "sqlite":
        return ledger_at(f"{EMBEDDED}{connection.host or connection.schema or ''}", extras.get("hash_secret"))
    given = {name: extras[name] for name in _PASSED_ON.get(backend, ()) if extras.get(name) not in (None, "")}
    if backend == "mysql" and isinstance(extras.get("ssl"), dict):
        # As Airflow's own MySQL hook takes them.
        given |= {f"ssl_{name}": value for name, value in extras["ssl"].items() if name in ("ca", "cert", "key")}
    try:
        from sqlalchemy.engine import URL

        url = URL.create(
            f"{backend}+{driver}" if driver else backend,
            username=connection.login or None,
            password=connection.password or None,
            host=connection.host or None,
            port=connection.port,
            database=connection.schema or None,
            query={name: str(value) for name, value in given.items()},
        )
    except ImportError:
        raise LedgerUnusable(_NO_SQLALCHEMY) from None
    return ledger_at(url, extras.get("hash_secret"))


def ledger_at(url: Any, hash_secret: str | None = None) -> SqlLedger:
    """Return the ledger at an address.

    :param url: SQLAlchemy's
    :param hash_secret: the key of its hashes, if it is kept elsewhere than in the ledger; default none
    :raises LedgerUnusable: it cannot be used
    """
    try:
        from airflow_provider_wolkvox.ledger.database import engine_of
        from airflow_provider_wolkvox.ledger.sql import SqlLedger
    except ImportError:
        raise LedgerUnusable(_NO_SQLALCHEMY) from None
    return SqlLedger(engine_of(url), hash_secret)


_NO_SQLALCHEMY: Final = (
    "The ledger needs SQLAlchemy, which is not installed here: install `airflow-provider-wolkvox[ledger]` wherever "
    "tasks run. No call was made."
)


def _setting(name: str) -> str:
    from airflow.providers.common.compat.sdk import conf

    return str(conf.get(SECTION, name, fallback="") or "").strip()
