"""`airflow wolkvox ...`, and the same as `python -m airflow_provider_wolkvox ...`.

Airflow loads command definitions at every start of `airflow`, so nothing here imports anything heavy; each command's
work imports what it needs.
"""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from airflow_provider_wolkvox.cli import calls, ledger, plan, pools

COMMANDS = [*pools.COMMANDS, *plan.COMMANDS, *calls.COMMANDS, *ledger.COMMANDS]


def get_wolkvox_cli_commands() -> list[GroupCommand]:
    """Return the provider's commands, as Airflow's parser takes them."""
    return [
        GroupCommand(
            name="wolkvox",
            help="Pools of wolkvox tokens, what became of calls, whom to call back",
            subcommands=COMMANDS,
        )
    ]
