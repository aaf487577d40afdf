"""`plan`: whom of a campaign's customers to call back, on paper."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand

from airflow_provider_wolkvox.cli.connections import arg, hook_of
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID


def plan(args: argparse.Namespace) -> None:
    """Print whom of a campaign's customers to call back now and, with --skips, why not the others. Rings nobody.

    :param args: `conn_id`, `campaign`, `since` and `until` in ISO 8601 with their zones (None for now); the rules by
        the names of `Rules`, None for its defaults; `country`: whose law says who may be called now, None for any time;
        `prefix_in_reports`: as for `CampaignCallbacksOperator`; `skips`; `output`: the table's format
    :raises SystemExit: with 2 if an argument cannot be right, or wolkvox could not be read
    """
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_wolkvox.api import WolkvoxError
    from airflow_provider_wolkvox.calling import Rules
    from airflow_provider_wolkvox.calling.lateness import instant
    from airflow_provider_wolkvox.calling.phone import masked
    from airflow_provider_wolkvox.planning import plan_callbacks

    print("The token is used now, outside of its pool: run this while no call is under way.", file=sys.stderr)
    now = datetime.now(UTC)
    try:
        given = {name: value for name in _RULES if (value := getattr(args, name)) is not None}
        with logs_to_stderr():
            hook = hook_of(args.conn_id)
            rules = Rules(**given, hours=hook.calling_hours(args.country) if args.country else None)
        since = instant(args.since, "--since")
        until = instant(args.until, "--until") if args.until else now
        with logs_to_stderr(), hook.get_conn() as wolkvox:
            chosen = plan_callbacks(
                wolkvox, args.campaign, since, until, rules, now, prefix_in_reports=args.prefix_in_reports
            )
    except (ValueError, ImportError, WolkvoxError, AirflowException) as wrong:
        print(wrong, file=sys.stderr)
        raise SystemExit(2) from None
    rows = [
        {
            "agent": callback.agent_id,
            "customer": masked(callback.phone),
            "call": f"{callback.attempt.at:%Y-%m-%d %H:%M:%S %Z}",
            "result": callback.attempt.result,
            "seconds": "" if callback.attempt.seconds is None else callback.attempt.seconds,
            "disposition": callback.attempt.cod_act,
            "conn_id": callback.attempt.conn_id,
        }
        for callback in chosen.callbacks
    ]
    if args.skips:
        rows = [
            {
                "reason": skip.reason.value,
                "customer": masked(skip.attempt.phone),
                "call": f"{skip.attempt.at:%Y-%m-%d %H:%M:%S %Z}",
                "why": skip.why,
                "next_allowed": "" if skip.next_allowed is None else f"{skip.next_allowed:%Y-%m-%d %H:%M:%S %Z}",
                "conn_id": skip.attempt.conn_id,
            }
            for skip in chosen.skips
        ]
    print_rows(rows, args.output, nothing="Nobody." if not args.skips else "Every attempt is called back.")
    counts = ", ".join(f"{count} {reason}" for reason, count in chosen.counts.items()) or "none"
    print(f"{len(chosen.callbacks)} callbacks. Not called back: {counts}.", file=sys.stderr)


# The rules that `plan` takes, by the names of `Rules`.
_RULES = (
    "results",
    "dispositions",
    "shorter_than",
    "hung_up_by",
    "max_attempts",
    "within",
    "least_interval",
    "limit",
)


def _hours(text: str) -> timedelta:
    try:
        return timedelta(hours=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours") from None


COMMANDS = [
    ActionCommand(
        name="plan",
        help="Show whom of a campaign's customers to call back now, as CampaignCallbacksOperator would; rings nobody",
        func=plan,
        args=(
            arg("--conn-id", default=DEFAULT_CONN_ID, help=f"The connection (default: {DEFAULT_CONN_ID})"),
            arg("--campaign", required=True, help="The campaign's id"),
            arg("--since", required=True, help="The calls from when on, such as 2026-11-22T07:00:00-05:00"),
            arg("--until", help="The calls until when (default: now)"),
            arg("--results", nargs="+", help="Which results are called back (default: ANSWER)"),
            arg("--dispositions", nargs="+", help="Only these dispositions (default: any)"),
            arg("--shorter-than", type=float, help="Only calls of less talk than this, in seconds"),
            arg("--hung-up-by", choices=("agent", "customer"), help="Only calls that they ended"),
            arg("--max-attempts", type=int, help="Attempts on a number, the callback among them (default: 2)"),
            arg("--within", type=_hours, help="... in any stretch of so many hours (default: 24)"),
            arg("--least-interval", type=_hours, help="Hours since a number's latest attempt (default: 0)"),
            arg("--country", help="Leave out who may not be called now by this country's law"),
            arg("--limit", type=int, help="At most so many callbacks (default: all)"),
            arg(
                "--no-prefix-in-reports",
                dest="prefix_in_reports",
                action="store_false",
                help="wolkvox's reports show numbers without the connection's dial prefix",
            ),
            arg("--skips", action="store_true", help="Show who is not called back instead, and why"),
            ARG_OUTPUT,
        ),
    ),
]
