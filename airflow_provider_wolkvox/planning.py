"""From wolkvox's reports to callbacks: reads what was attempted, and has `calling` choose.

Rings nobody. Used by `CampaignCallbacksOperator` and by `airflow wolkvox plan`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_wolkvox.calling.callbacks import NEVER_CONNECTED, Attempt, Reason, choose
from airflow_provider_wolkvox.ledger.entry import Entry, Intent, NotCalled, authors_key
from airflow_provider_wolkvox.phone import masked

if TYPE_CHECKING:
    from airflow_provider_wolkvox.api import ConnectedCall, Dial, ReportedCall, UnconnectedCall, WolkvoxClient
    from airflow_provider_wolkvox.calling.callbacks import Plan, Rules, Skip
    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
    from airflow_provider_wolkvox.ledger.entry import Origin
    from airflow_provider_wolkvox.ledger.sql import SqlLedger

log = logging.getLogger(__name__)

PREDICTIVE = "out_pre"
"""The type of a call that a predictive campaign dialled [doc]."""


def nobody(attempts: Sequence[Attempt], history: Sequence[Attempt]) -> Collection[Attempt]:
    """Return none of a campaign's calls: without a ledger in SQL, only the reports show who was called back.

    :param attempts: the campaign's calls
    :param history: whatever else the reports show
    """
    return ()


def plan_callbacks(
    wolkvox: WolkvoxClient,
    campaign_id: str | int,
    since: datetime,
    until: datetime,
    rules: Rules,
    now: datetime,
    *,
    do_not_call: bool = True,
    prefix_in_reports: bool = True,
    called_back: Callable[[Sequence[Attempt], Sequence[Attempt]], Collection[Attempt]] = nobody,
) -> Plan:
    """Return whom of a campaign's customers to call back now, and whom not, each with its reason.

    Costs three requests of the daily quota for every 31 days (`campaign_3`, `cdr_1`, `cdr_5`), one for the last ten
    minutes, and one for the do-not-call list.

    :param wolkvox: who is asked
    :param campaign_id: the campaign's id, digits
    :param since: the first instant of the campaign's calls in question, aware
    :param until: the last one, aware
    :param rules: which calls are called back, and what keeps a number from being called
    :param now: the present instant, aware: attempts up to it count for caps, intervals and "already called back"
    :param do_not_call: whether to leave out who is on wolkvox's do-not-call list
    :param prefix_in_reports: whether reports show a number with the connection's dial prefix before it, as it was
        dialled; nobody documents it
    :param called_back: tells which of the campaign's attempts were called back, or may have been, from these and from
        whatever else the reports show; default none
    :raises ValueError: the range ends before it begins, or the operation has no such campaign
    :raises WolkvoxError: a report could not be read
    """
    wanted = str(campaign_id).strip()
    if now.astimezone(UTC) < since.astimezone(UTC):
        raise ValueError(f"since ({since.isoformat()}) lies in the future")
    if until.astimezone(UTC) < since.astimezone(UTC):
        raise ValueError(f"until ({until.isoformat()}) is before since ({since.isoformat()})")
    read_from = min(since, now - rules.within) if rules.within else since
    attempts = read_attempts(wolkvox, read_from, now, wolkvox.dial_prefix if prefix_in_reports else "")
    # What an agent dialled for the campaign by hand, an earlier callback above all, counts but is not called back.
    of_campaign = [
        each
        for each in attempts
        if each.campaign_id == wanted and each.type_interaction == PREDICTIVE and since <= each.at <= until
    ]
    if not of_campaign:
        known = {campaign.campaign_id for campaign in wolkvox.campaigns()} - {""}
        if known and wanted not in known:
            raise ValueError(f"this operation has no campaign {wanted}")
    listed = [entry.phone for entry in wolkvox.get_dnc("outbound")] if do_not_call else []
    log.info(
        "%d calls of campaign %s since %s; %d calls count towards limits; %d numbers on the do-not-call list.",
        len(of_campaign),
        wanted,
        f"{since:%Y-%m-%d %H:%M:%S %Z}",
        len(attempts),
        len(listed),
    )
    done = called_back(of_campaign, attempts)
    return choose(of_campaign, rules, now, history=attempts, do_not_call=listed, called_back=done)


def key_of_cut_call(server: str, attempt: Attempt, callback: int = 1) -> str:
    """Return the idempotency key of a callback for a campaign's call, the same in every DAG, run and deployment.

    :param server: wolkvox's server code
    :param attempt: the campaign's call
    :param callback: which of its callbacks, from 1; default 1
    """
    # Without an id of wolkvox's, what tells it is number and instant; the number is kept out of the key.
    told = attempt.conn_id or hashlib.sha256(f"{attempt.phone} {attempt.at.timestamp()}".encode()).hexdigest()[:16]
    return f"wolkvox/{server}/{attempt.campaign_id}/{told}/{callback}"


class KnownCallbacks:
    """What the ledger knows of callbacks, by the campaign's calls that they answer.

    :param ledger: the ledger
    :param hook: the connection's
    :param origin: who asks
    :param per_call: how many callbacks one call may have; default 1
    """

    def __init__(self, ledger: SqlLedger, hook: WolkvoxHook, origin: Origin, per_call: int = 1) -> None:
        self._ledger = ledger
        self._hook = hook
        self._origin = origin
        self._per_call = per_call
        self._next: dict[Attempt, int] = {}

    def key(self, attempt: Attempt) -> str:
        """Return the idempotency key of a call's next callback.

        :param attempt: the campaign's call
        """
        return key_of_cut_call(self._hook.server_code(), attempt, self._next.get(attempt, 1))

    def __call__(self, attempts: Sequence[Attempt], history: Sequence[Attempt]) -> list[Attempt]:
        """Return which of a campaign's calls were called back as often as they may be, or may have been, by whomever.

        A callback that no report shows yet counts as answered.

        :param attempts: the campaign's calls
        :param history: whatever else the reports show
        :raises LedgerError: the ledger does not answer
        """
        in_vain = {other.conn_id for other in history if other.conn_id and other.result in NEVER_CONNECTED}
        server = self._hook.server_code()
        asked = [(attempt, number) for attempt in attempts for number in range(1, self._per_call + 1)]
        # Whichever agent, number or kind of call stands there: it was called back.
        found = self._ledger.known(
            [
                Intent(key=authors_key(key_of_cut_call(server, *each)), action="aux_call", origin=self._origin)
                for each in asked
            ]
        )
        done: dict[Attempt, None] = {}
        self._next = dict.fromkeys(attempts, 1)
        for (attempt, number), known in zip(asked, found, strict=True):
            entry = known if known is None or isinstance(known, Entry) else known.entry
            if entry is None or not entry.state.may_have_rung:
                continue
            self._next[attempt] = number + 1
            if number == self._per_call or entry.conn_id not in in_vain:
                done[attempt] = None
        return list(done)

    def record(self, skips: Iterable[Skip]) -> int:
        """Record why calls that the rules ask for are not called back now; return how many are new.

        :param skips: the plan's
        :raises LedgerError: the ledger does not answer
        """
        return self._ledger.skip_all(
            NotCalled(
                Intent(
                    key=authors_key(self.key(skip.attempt)),
                    action="aux_call",
                    origin=self._origin,
                    customer=self._hook.customer_key(skip.attempt.phone),
                    phone=masked(skip.attempt.phone),
                    agent_id=skip.attempt.agent_id.strip(),
                    campaign_id=skip.attempt.campaign_id,
                    server=self._hook.server_code(),
                ),
                skip.reason.value,
                skip.why,
                skip.next_allowed,
            )
            for skip in skips
            if skip.reason not in _NOT_ASKED_FOR
        )


# Calls that the rules never meant: nobody asks why these are not called back.
_NOT_ASKED_FOR = frozenset({Reason.RESULT, Reason.DISPOSITION, Reason.LENGTH, Reason.HUNG_UP_BY})


def read_attempts(wolkvox: WolkvoxClient, since: datetime, until: datetime, prefix: str = "") -> list[Attempt]:
    """Return every attempt to reach a customer, of all campaigns and by hand, as the reports show it.

    The reports complete each other: real time tells first, for ten minutes; `campaign_3` holds every dial of the
    predictive campaigns, but no agent; `cdr_1` and `cdr_5` the calls that were and were not connected, with their
    agents. A predictive call that was connected, and of which `campaign_3` does not tell yet, may have been a
    machine's: its result is UNKNOWN.

    :param wolkvox: who is asked
    :param since: the first instant, aware
    :param until: the last one, aware
    :param prefix: what numbers in the reports have before them, and a call puts there again
    :raises WolkvoxError: a report could not be read
    """
    attempts: dict[tuple[str, ...], Attempt] = {}
    for attempt in _read(wolkvox, since, until, prefix):
        key = (attempt.conn_id,) if attempt.conn_id else (attempt.phone[-10:], attempt.at.isoformat())
        seen = attempts.get(key)
        # What a later report knows comes first; what it leaves empty, an earlier one told.
        attempts[key] = attempt if seen is None else _completed(attempt, seen)
    return [each if each.result else replace(each, result=_connected(each)) for each in attempts.values()]


def _connected(attempt: Attempt) -> str:
    return "UNKNOWN" if attempt.type_interaction == PREDICTIVE else "ANSWER"


def _read(wolkvox: WolkvoxClient, since: datetime, until: datetime, prefix: str) -> Iterator[Attempt]:
    reports: tuple[Callable[[], Iterable[Any]], ...] = (
        wolkvox.calls_last_10,
        lambda: wolkvox.campaign_3("all", since, until),
        lambda: wolkvox.cdr_5(since, until),
        lambda: wolkvox.cdr_1(since, until),
    )
    for report in reports:
        for record in report():
            # Without its time an attempt counts for no rule; wolkvox always gives one [seen].
            if record.at is not None:
                yield _attempt(record, record.at, prefix)


def _attempt(record: ReportedCall | Dial | ConnectedCall | UnconnectedCall, at: datetime, prefix: str) -> Attempt:
    names = ["seconds", "cod_act", "cod_act_2", "hang_up"]
    if hasattr(record, "campaign_id"):
        # Real time names no agent: that the first part of a predictive call's `conn_id` is one, nobody documents.
        names.append("agent_id")
    of_report = {name: getattr(record, name) for name in names if hasattr(record, name)}
    # `campaign_3` holds the dials of predictive campaigns, and does not say so in each row [doc].
    type_interaction = getattr(record, "type_interaction", PREDICTIVE)
    of_campaign = type_interaction.strip().lower() == PREDICTIVE
    return Attempt(
        phone=record.phone.removeprefix(prefix),
        at=at,
        # Of a predictive call that was connected, only `campaign_3` tells whether it was a person's or a machine's.
        result=getattr(record, "result", "" if of_campaign else "ANSWER"),
        conn_id=record.conn_id,
        campaign_id=getattr(record, "campaign_id", ""),
        customer_id=getattr(record, "customer_id", ""),
        type_interaction=type_interaction,
        **of_report,
    )


def _completed(attempt: Attempt, by: Attempt) -> Attempt:
    empty = {name: getattr(by, name) for name in Attempt.__slots__ if getattr(attempt, name) in ("", None)}
    return replace(attempt, **empty)
