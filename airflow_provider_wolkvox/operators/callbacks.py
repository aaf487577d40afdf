"""CampaignCallbacksOperator: whom of a campaign's customers to call back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_wolkvox.calling.lateness import instant
from airflow_provider_wolkvox.files import require_writable, write
from airflow_provider_wolkvox.hooks.wolkvox import UsesHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, InLane
from airflow_provider_wolkvox.running_task import due, origin_of
from airflow_provider_wolkvox.validation import Checks, campaign, instant_or_length, optional, path, rules, switch

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_wolkvox.calling.callbacks import Plan, Rules
    from airflow_provider_wolkvox.planning import KnownCallbacks


class CampaignCallbacksOperator(UsesHook, InLane, BaseOperator):
    """Read what a campaign's calls came to, choose whom to call back, and return the callbacks. Rings nobody.

    The list is ready for calls::

        callbacks = CampaignCallbacksOperator(
            task_id="callbacks",
            campaign_id="32841",
            since=timedelta(hours=24),
            rules=Rules(shorter_than=20, hung_up_by="customer"),
        )
        AuxCallOperator.partial(task_id="call").expand_kwargs(callbacks.output)

    With a ledger in SQL, each callback carries the `idempotency_key` of the campaign's call that it answers, so that
    call is called back once, by whatever DAG, run or deployment; and what the ledger knows to have been called back, or
    to be in doubt, is not chosen again.

    How many attempts are not called back is logged and pushed to XCom under the key `skips`, by reason.

    Airflow maps at most `[core] max_map_length` tasks, 1,024 if nobody changed it: `Rules(limit=...)` keeps to that.

    :param campaign_id: the campaign's id, digits (templated)
    :param since: the first instant of the calls in question: an aware datetime or its ISO 8601 text (templated), or a
        timedelta before the run was due (the later of its `data_interval_end` and `run_after`)
    :param until: the last one; default None, now (templated)
    :param rules: which calls are called back, and what keeps a number from being called; default `Rules()`: answered
        calls, two attempts on a number in 24 hours. Give them `hours` to leave out who may not be called at the moment
        of choosing; the calls themselves wait for their own `calling_hours`
    :param do_not_call: whether to leave out who is on wolkvox's do-not-call list; default True
    :param prefix_in_reports: whether wolkvox's reports show a number with the connection's `dial_prefix` before it, as
        it was dialled; default True, which is a GUESS: look at a plan, or `airflow wolkvox plan`, before you rely on it
    :param plan_path: where to write the whole plan as JSON lines, one for each attempt, any path that Airflow's object
        storage knows; it holds whole numbers; default None, not written (templated)
    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param pool: another lane than the one named after the connection

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: an argument cannot be right that only the run knows, or wolkvox said no
    :raises AirflowException: wolkvox did not answer, and a retry may help
    """

    template_fields: Sequence[str] = ("campaign_id", "since", "until", "plan_path", "wolkvox_conn_id")
    acts = False
    checks: ClassVar[Checks] = {
        "campaign_id": campaign,
        "since": instant_or_length,
        "until": optional(instant),
        "rules": optional(rules),
        "do_not_call": switch,
        "prefix_in_reports": switch,
        "plan_path": optional(path),
    }
    ui_color = "#e7eef3"

    chooses_callbacks: ClassVar[bool] = True
    """Lets lineage tell that the calls of later tasks come from here."""
    chosen: int | None = None
    """How many callbacks the running task has chosen; None before it has."""

    def __init__(
        self,
        *,
        campaign_id: str | int,
        since: datetime | timedelta | str,
        until: datetime | str | None = None,
        rules: Rules | None = None,
        do_not_call: bool = True,
        prefix_in_reports: bool = True,
        plan_path: str | None = None,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.campaign_id = campaign_id
        self.since = since
        self.until = until
        self.rules = rules
        self.do_not_call = do_not_call
        self.prefix_in_reports = prefix_in_reports
        self.plan_path = plan_path
        self.validate(vars(self))

    def execute(self, context: Context) -> list[dict[str, str]]:
        """Read, choose, log, write the plan, and return the callbacks."""
        self.begin(context)
        with self.hook.failing(repeatable=True):
            self.validate_rendered()
            if self.plan_path:
                require_writable(self.plan_path, "plan_path")
            with self._known_callbacks(context) as known:
                plan = self._plan(datetime.now(UTC), context, known)
                if known:
                    known.record(plan.skips)
        counts = {reason.value: count for reason, count in plan.counts.items()}
        self.chosen = len(plan.callbacks)
        self.log.info("%d callbacks. Not called back: %s.", len(plan.callbacks), _in_words(counts))
        if plan.callbacks:
            self.log.info("The first of them:\n%s", _head(plan))
        if self.plan_path:
            self._write(plan)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="skips", value=counts)
            context["ti"].xcom_push(key="chosen", value=self.chosen)
        return [
            {
                "agent_id": callback.agent_id,
                "customer_phone": callback.phone,
                # The same in every DAG, run and deployment: whoever calls back this call does so once.
                **({"idempotency_key": known.key(callback.attempt)} if known else {}),
            }
            for callback in plan.callbacks
        ]

    @contextmanager
    def _known_callbacks(self, context: Context) -> Iterator[KnownCallbacks | None]:
        """Yield what the ledger in SQL knows of callbacks, None if none is configured.

        :raises AirflowException: it does not answer, and a retry may help
        """
        from airflow_provider_wolkvox.ledger.base import LedgerError
        from airflow_provider_wolkvox.ledger.configuration import configured_ledger
        from airflow_provider_wolkvox.planning import KnownCallbacks

        try:
            ledger = configured_ledger()
            if ledger is None:
                yield None
                return
            with closing(ledger):
                per_call = self.rules.callbacks_per_call if self.rules else 1
                yield KnownCallbacks(ledger, self.hook, origin_of(context), per_call)
        except LedgerError as wrong:
            raise AirflowException(str(wrong)) from None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage of which campaign callbacks were chosen.

        :param task_instance: not needed
        """
        from airflow_provider_wolkvox.lineage import callbacks_of, campaign, lineage_of

        return lineage_of(self, reads=[campaign(self.campaign_id)], writes={callbacks_of(self): self.chosen})

    def _since(self, context: Context) -> datetime:
        if not isinstance(self.since, timedelta):
            return instant(self.since, "since")
        until = due(context)
        if until is None:
            raise ValueError("since is a timedelta, and nothing tells when this run was due: give an instant")
        return until - self.since

    def _plan(self, now: datetime, context: Context, known: KnownCallbacks | None) -> Plan:
        from airflow_provider_wolkvox.calling.callbacks import Rules
        from airflow_provider_wolkvox.planning import nobody, plan_callbacks

        return plan_callbacks(
            self.hook.get_conn(),
            self.campaign_id,
            self._since(context),
            instant(self.until, "until") if self.until is not None else now,
            self.rules or Rules(),
            now,
            do_not_call=self.do_not_call,
            prefix_in_reports=self.prefix_in_reports,
            called_back=known or nobody,
        )

    def _write(self, plan: Plan) -> None:
        lines = (json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in _lines(plan))
        write(self.plan_path, lines)
        self.log.info("The whole plan stands in %s.", self.plan_path)


def _head(plan: Plan) -> str:
    """Return the first callbacks as a table, their numbers masked, and how many more there are."""
    from airflow_provider_wolkvox.phone import masked, shown_extension

    rows = [("agent", "customer", "call", "result", "seconds")]
    for callback in plan.callbacks[:_SHOWN]:
        attempt = callback.attempt
        seconds = "" if attempt.seconds is None else str(attempt.seconds)
        at = f"{attempt.at:%Y-%m-%d %H:%M:%S %Z}"
        rows.append((shown_extension(callback.agent_id), masked(callback.phone), at, attempt.result, seconds))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    more = len(plan.callbacks) - _SHOWN
    return "\n".join([*lines, f"and {more} more"] if more > 0 else lines)


_SHOWN = 10


def _lines(plan: Plan) -> Iterator[dict[str, Any]]:
    for callback in plan.callbacks:
        yield {
            "callback": {"agent_id": callback.agent_id, "customer_phone": callback.phone},
            **asdict(callback.attempt),
        }
    for skip in plan.skips:
        next_allowed = skip.next_allowed and skip.next_allowed.isoformat()
        yield {"skip": skip.reason.value, "why": skip.why, "next_allowed": next_allowed, **asdict(skip.attempt)}


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "none"
