"""`plan`: whom of a campaign's customers to call back, on paper."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand

from airflow_provider_wolkvox.cli.connections import arg, hook_of, token_in_use, used_ledger
from airflow_provider_wolkvox.cli.tables import logs_to_stderr, print_rows
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID


def plan(args: argparse.Namespace) -> None:
    """Print whom of a campaign's customers to call back now and, with --skips, why not the others. Rings nobody.

    :param args: `conn_id`, `campaign`, `since` and `until` in ISO 8601 with their zones (None for now); the rules by
        the names of `Rules`, None for its defaults; `no_cap`: lift the cap of attempts; `country`: whose law says who
        may be called now, None for any time; `prefix_in_reports`: as for `CampaignCallbacksOperator`; `skips`;
        `output`: the table's format
    :raises SystemExit: with 2 if an argument cannot be right, or wolkvox could not be read
    """
    from airflow_provider_wolkvox.api import arguments
    from airflow_provider_wolkvox.calling import Rules
    from airflow_provider_wolkvox.calling.lateness import instant
    from airflow_provider_wolkvox.ledger.entry import Origin
    from airflow_provider_wolkvox.phone import masked
    from airflow_provider_wolkvox.planning import KnownCallbacks, nobody, plan_callbacks

    now = datetime.now(UTC)
    with token_in_use():
        given = {name: value for name in _RULES if (value := getattr(args, name)) is not None}
        if args.no_cap:
            given |= {"max_attempts": None, "within": None}
        with logs_to_stderr():
            hook = hook_of(args.conn_id)
            rules = Rules(**given, hours=hook.calling_hours(args.country) if args.country else None)
        since = instant(args.since, "--since")
        until = instant(args.until, "--until") if args.until else now
        ledger = used_ledger()
        with logs_to_stderr(), hook.get_conn() as wolkvox, closing(ledger) if ledger else nullcontext():
            zone = arguments.zone(hook.extra("timezone")) if hook.extra("timezone") else wolkvox.zone
            chosen = plan_callbacks(
                wolkvox,
                args.campaign,
                since,
                until,
                rules,
                now,
                prefix_in_reports=args.prefix_in_reports,
                called_back=KnownCallbacks(ledger, hook, Origin(), rules.callbacks_per_call) if ledger else nobody,
            )

    def shown(at: datetime | None) -> str:
        return "" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"

    rows = [
        {
            "agent": callback.agent_id,
            "customer": masked(callback.phone),
            "call": shown(callback.attempt.at),
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
                "call": shown(skip.attempt.at),
                # The number stands in a column of its own.
                "why": skip.why.removeprefix(f"{masked(skip.attempt.phone)} is not called back: "),
                "next_allowed": shown(skip.next_allowed),
                "conn_id": skip.attempt.conn_id,
            }
            for skip in chosen.skips
        ]
    print_rows(rows, args.output, nothing="Nobody." if not args.skips else "Every attempt is called back.")
    counts = ", ".join(f"{count} {reason}" for reason, count in chosen.counts.items()) or "none"
    print(f"{len(chosen.callbacks)} callbacks. Not called back: {counts}.", file=sys.stderr)


# The rules that `plan` takes under the names of `Rules`: all but `hours`, which `--country` gives.
_RULES = (
    "results",
    "dispositions",
    "not_dispositions",
    "shorter_than",
    "hung_up_by",
    "max_attempts",
    "within",
    "least_interval",
    "callbacks_per_call",
    "phone_country",
    "default_zone",
    "priority",
    "newest_first",
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
            arg("--not-dispositions", nargs="+", help="None of these dispositions (default: no such rule)"),
            arg("--shorter-than", type=float, help="Only calls of less talk than this, in seconds"),
            arg("--hung-up-by", choices=("agent", "customer"), help="Only calls that they ended"),
            arg("--max-attempts", type=int, help="Attempts on a number, the callback among them (default: 2)"),
            arg("--within", type=_hours, help="... in any stretch of so many hours (default: 24)"),
            arg("--no-cap", action="store_true", help="Any number of attempts, instead of --max-attempts and --within"),
            arg("--least-interval", type=_hours, help="Hours since a number's latest attempt (default: 0)"),
            arg("--callbacks-per-call", type=int, help="Callbacks for one call, each after one in vain (default: 1)"),
            arg("--country", help="Leave out who may not be called now by this country's law"),
            arg(
                "--phone-country",
                help="With --country: in every time zone that a number dialled in this country may be in "
                "(needs the extra 'phones')",
            ),
            arg("--default-zone", help="With --phone-country: the time zone of a number of no known zone"),
            arg("--priority", nargs="+", help="Results and dispositions whose calls come first, in this order"),
            arg(
                "--newest-first",
                action="store_true",
                default=None,
                help="The latest first (default: the earliest)",
            ),
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
