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
    AirflowConsole().print_as(
        [{name: _shown(value, output) for name, value in row.items()} for row in rows], output=output
    )


def _shown(value: Any, output: str) -> Any:
    """Return a value that neither the terminal nor the table takes for a command: others' words are among them."""
    from rich.markup import escape

    from airflow_provider_wolkvox.api.values import cleaned

    if not isinstance(value, str):
        return value
    text = "\n".join(map(cleaned, value.splitlines()))
    return escape(text) if output == "table" else text


def logs_to_stderr() -> AbstractContextManager[Any]:
    """Keep stdout for what a command shows: Airflow 2.11 logs there, and JSON with a log before it is none."""
    return redirect_stdout(sys.stderr)
