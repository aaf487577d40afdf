"""`ledger init`, `status`, `purge` and `restored`: the ledger as a whole."""

from __future__ import annotations

import argparse
import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, GroupCommand

from airflow_provider_wolkvox.cli.connections import arg, used_ledger
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows

if TYPE_CHECKING:
    from airflow_provider_wolkvox.ledger.sql import SqlLedger

# Executors whose tasks run where the scheduler does, so that a file is the same file for all.
_ONE_MACHINE = ("LocalExecutor", "SequentialExecutor", "DebugExecutor")
_AGE = re.compile(r"([0-9]{1,6})d")


def init(args: argparse.Namespace) -> None:
    """Make the ledger's tables, or upgrade them to this provider's version.

    :param args: `embedded`: make a SQLite file in AIRFLOW_HOME, for one machine, and print the line that turns it on
    :raises SystemExit: nothing was made, and the message says why
    """
    from airflow_provider_wolkvox.ledger.base import LedgerError
    from airflow_provider_wolkvox.ledger.configuration import EMBEDDED, ledger_at

    file = None
    if args.embedded:
        _require_one_machine()
        file = _embedded_file()
        # It holds no whole number, and is nobody else's all the same.
        file.touch(mode=0o600)
    try:
        with logs_to_stderr(), closing(ledger_at(f"{EMBEDDED}{file}") if file else _ledger()) as ledger:
            before, after = ledger.init()
            backend = ledger.status()["backend"]
    except LedgerError as wrong:
        raise SystemExit(str(wrong)) from None
    done = "was right" if before == after else "made" if before == 0 else f"upgraded from version {before}"
    print(f"The ledger ({backend}) {done}: version {after}.")
    if file:
        print("This line turns it on, for the scheduler and for whatever else runs Airflow:")
        print(f"export AIRFLOW__WOLKVOX__LEDGER_CONN_ID={EMBEDDED}{file}")


def status(args: argparse.Namespace) -> None:
    """Print what stands behind the ledger and what it holds.

    :param args: `output`: the table's format
    :raises SystemExit: it cannot be read, and the message says why
    """
    from airflow_provider_wolkvox.ledger.base import LedgerError

    try:
        with logs_to_stderr(), closing(_ledger()) as ledger:
            found = ledger.status()
    except LedgerError as wrong:
        raise SystemExit(str(wrong)) from None
    restored, oldest = found["restored_at"], found["oldest_open"]
    rows = {
        "backend": found["backend"],
        "version": str(found["version"]),
        "epoch": f"{found['epoch']}, since {restored:%Y-%m-%d %H:%M:%S} UTC" if restored else str(found["epoch"]),
        **{state: str(count) for state, count in found["counts"].items()},
        "oldest in doubt": str(oldest or "none"),
    }
    print_rows([{"what": name, "value": value} for name, value in rows.items()], args.output, nothing="")


def purge(args: argparse.Namespace) -> None:
    """Delete settled calls and their history; calls in doubt stay.

    :param args: `older_than`: their age, such as `400d`
    :raises SystemExit: nothing was deleted, and the message says why
    """
    from airflow_provider_wolkvox.ledger.base import LedgerError

    age = _AGE.fullmatch(args.older_than)
    if not age:
        raise SystemExit(f"--older-than takes a number of days, such as 400d, not {args.older_than!r}.")
    try:
        with logs_to_stderr(), closing(_ledger()) as ledger:
            deleted = ledger.purge(timedelta(days=int(age[1])))
    except (LedgerError, ValueError) as wrong:
        raise SystemExit(str(wrong)) from None
    print(f"{deleted} calls deleted.")


def restored(args: argparse.Namespace) -> None:
    """Begin a new epoch, after the ledger's database was restored from a backup.

    :param args: `yes`: do it; without it, only say what it does
    :raises SystemExit: nothing was changed, and the message says why
    """
    from airflow_provider_wolkvox.ledger.base import LedgerError

    if not args.yes:
        raise SystemExit(
            "After a restore the ledger does not know the calls that were made since the backup. With --yes, runs that "
            "were due until now make no call any more. Nothing was changed."
        )
    try:
        with logs_to_stderr(), closing(_ledger()) as ledger:
            epoch = ledger.restored()
    except LedgerError as wrong:
        raise SystemExit(str(wrong)) from None
    print(f"Epoch {epoch} has begun. Runs that were due before make no call; later ones do.")


def _ledger() -> SqlLedger:
    """Return the configured ledger.

    :raises SystemExit: none is configured
    :raises LedgerError: it cannot be used
    """
    ledger = used_ledger()
    if ledger is None:
        offer = " On one machine: `airflow wolkvox ledger init --embedded`." if _is_one_machine() else ""
        raise SystemExit(
            "No ledger is configured: set [wolkvox] ledger_conn_id (AIRFLOW__WOLKVOX__LEDGER_CONN_ID) to a connection "
            f"to PostgreSQL, MySQL or MariaDB.{offer}"
        )
    return ledger


def _executors() -> list[str]:
    from airflow.providers.common.compat.sdk import conf

    named = str(conf.get("core", "executor", fallback="")).split(",")
    return [each.rpartition(":")[2].rpartition(".")[2].strip() for each in named]


def _is_one_machine() -> bool:
    return all(executor in _ONE_MACHINE for executor in _executors())


def _require_one_machine() -> None:
    if not _is_one_machine():
        raise SystemExit(
            f"Under {', '.join(_executors())} tasks run on several machines or pods, where a file is not one ledger. "
            "Use a connection to PostgreSQL, MySQL or MariaDB. Nothing was made."
        )


def _embedded_file() -> Path:
    from airflow.configuration import AIRFLOW_HOME

    return Path(AIRFLOW_HOME).resolve() / "wolkvox-ledger.db"


COMMANDS = [
    GroupCommand(
        name="ledger",
        help="The ledger in SQL: what every task, run and deployment knows of all intended calls",
        subcommands=[
            ActionCommand(
                name="init",
                help="Make the ledger's tables, or upgrade them",
                func=init,
                args=(arg("--embedded", action="store_true", help="A SQLite file in AIRFLOW_HOME; one machine only"),),
            ),
            ActionCommand(name="status", help="Show what the ledger holds", func=status, args=(ARG_OUTPUT,)),
            ActionCommand(
                name="purge",
                help="Delete old settled calls; those in doubt stay",
                func=purge,
                args=(arg("--older-than", required=True, metavar="DAYS", help="Their age, such as 400d"),),
            ),
            ActionCommand(
                name="restored",
                help="Let runs that were due before now make no call, after the database came from a backup",
                func=restored,
                args=(arg("--yes", action="store_true", help="Do it; without this, only say what it does"),),
            ),
        ],
    )
]
