"""`python -m airflow_provider_wolkvox`: the provider's commands where `airflow wolkvox` does not exist."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def main(argv: list[str]) -> int:
    """Run one command and return the exit status.

    :param argv: the command and its arguments, without the program's name
    :raises SystemExit: with the status of a command that ends with another one than 0; with 2 if it is none
    """
    if argv[:1] == ["simulate"]:
        # On its own path: the simulator runs where no Airflow is installed.
        from airflow_provider_wolkvox.simulator.command import main as simulate

        return simulate(argv[1:])

    from airflow_provider_wolkvox.cli import COMMANDS

    parser = argparse.ArgumentParser(prog="python -m airflow_provider_wolkvox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("simulate", help="Run a wolkvox server for this machine, with phones that count their rings")
    for command in COMMANDS:
        _add(commands, command)
    args = parser.parse_args(argv)
    args.func(args)
    return 0


def _add(commands: Any, command: Any) -> None:
    """Add a command, or a group of them, to a parser."""
    subparser = commands.add_parser(command.name, help=command.help, description=command.help)
    if hasattr(command, "subcommands"):
        group = subparser.add_subparsers(required=True, metavar="COMMAND")
        for each in command.subcommands:
            _add(group, each)
        return
    for arg in command.args:
        arg.add_to_parser(subparser)
    subparser.set_defaults(func=command.func)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
