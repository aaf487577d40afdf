"""What a command shows: rows in the format that was asked for, and nothing else on stdout."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def print_rows(rows: list[dict[str, Any]], output: str, *, nothing: str) -> None:
    """Print a table.

    :param rows: its rows, by the names of their columns
    :param output: its format: `table`, `plain`, `json` or `yaml`
    :param nothing: what a table of no rows says instead
    """
    from airflow.cli.simple_table import AirflowConsole

    if not rows and output == "table":
        print(nothing)
        return
    AirflowConsole().print_as(rows, output=output)


def logs_to_stderr() -> AbstractContextManager[Any]:
    """Keep stdout for what a command shows: Airflow 2.11 logs there, and JSON with a log before it is none."""
    return redirect_stdout(sys.stderr)
