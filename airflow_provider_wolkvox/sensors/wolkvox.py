"""Sensors that ask wolkvox, each in its token's lane and only for the moment of a poke."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseSensorOperator, PokeReturnValue

from airflow_provider_wolkvox.assets import campaign_finished, own_assets, tell
from airflow_provider_wolkvox.calling.lateness import instant
from airflow_provider_wolkvox.hooks.wolkvox import UsesHook
from airflow_provider_wolkvox.lane import DEFAULT_CONN_ID, InLane
from airflow_provider_wolkvox.validation import Checks, agent, campaign, choice, optional

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_wolkvox.api import ConnectedCall, UnconnectedCall, WolkvoxClient

# How far before the earliest call a record of it may begin, and after now: clocks differ.
_MARGIN = timedelta(minutes=10)
# Wide on purpose: of what a `conn_id` is made, only one sample is known [doc].
_CONN_ID = re.compile(r"[A-Za-z0-9._:-]+")


class WolkvoxSensor(UsesHook, InLane, BaseSensorOperator):
    """A sensor in its token's lane, which it gives back between two pokes: its mode is `reschedule`, always.

    A question that wolkvox did not answer (no connection, token in use, maintenance, an answer that got lost)
    is asked again at the next poke; a refusal fails the task at once.

    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param poke_interval: between two pokes, a timedelta or seconds; default 5 minutes: the vendor recommends at most
        one request for reports and real-time data in that time [doc]
    :param timeout: how long to wait in all, a timedelta or seconds; default 24 hours
    :param mode: `"reschedule"` (default), and no other
    :param pool: another lane than the one named after the connection

    :raises ValueError: when the DAG is parsed: another mode, or a lane that cannot be one
    :raises AirflowFailException: wolkvox refuses to answer
    """

    template_fields: Sequence[str] = ("wolkvox_conn_id",)
    acts = False
    # Any other would keep the lane for the whole wait; of a mapped task Airflow says so only later.
    checks: ClassVar[Checks] = {"mode": choice("reschedule")}
    ui_color = "#e7eef3"

    def __init__(
        self,
        *,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        poke_interval: timedelta | float = timedelta(minutes=5),
        timeout: timedelta | float = timedelta(hours=24),
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wolkvox_conn_id=wolkvox_conn_id, poke_interval=poke_interval, timeout=timeout, mode=mode, **kwargs
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once, in the lane."""
        from airflow_provider_wolkvox.api import ApiUnavailable, NotSent, OutcomeUnknown, TokenBusy

        self.begin(context)
        with self.hook.failing(repeatable=True):
            self.validate_rendered()
            try:
                return self.ask(self.hook.get_conn(), context)
            except (NotSent, TokenBusy, ApiUnavailable, OutcomeUnknown) as failure:
                self.log.warning("%s It is asked again at the next poke.", failure)
                return PokeReturnValue(is_done=False)

    @abstractmethod
    def ask(self, wolkvox: WolkvoxClient, context: Context) -> PokeReturnValue:
        """Return whether what is waited for has come, and what to return of it.

        :param wolkvox: the client to ask with, in the lane
        """


class CampaignFinishedSensor(WolkvoxSensor):
    """Wait until a predictive campaign has dialled all its records; returns its numbers.

    Finished is a campaign with records of which none is left and that has dialled as often as it has
    records: what wolkvox calls its status often stays `started` [seen]. One that an answer lacks is not finished.

    With `outlets=[campaign_finished("0042", "32841")]` (see `assets`) other DAGs can be scheduled on it, and find the
    numbers in the event's `extra`.

    :param campaign_id: the campaign's id, digits (templated)

    The rest is as for `WolkvoxSensor`.

    :raises AirflowFailException: the operation has no such campaign, or wolkvox refuses to answer
    """

    template_fields: Sequence[str] = ("campaign_id", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {"campaign_id": campaign}

    def __init__(self, *, campaign_id: str | int, wolkvox_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.campaign_id = campaign_id
        self.validate(vars(self))

    def ask(self, wolkvox: WolkvoxClient, context: Context) -> PokeReturnValue:
        """Read the campaign's numbers of this moment."""
        wanted = str(self.campaign_id).strip()
        assets = own_assets(self.outlets, campaign_finished(self.hook.connection.host, wanted).uri)
        now = next((each for each in wolkvox.real_time_campaigns(wanted) if each.campaign_id == wanted), None)
        if now is None:
            # A list of none, or of what cannot be read, proves nothing.
            known = {campaign.campaign_id for campaign in wolkvox.campaigns()} - {""}
            if known and wanted not in known:
                raise AirflowFailException(f"This operation has no campaign {wanted}: correct campaign_id.")
            self.log.info("wolkvox's answer lacks campaign %s: not finished.", wanted)
            return PokeReturnValue(is_done=False)
        self.log.info(
            "Campaign %s (%s): %s of %s records left, %s dialled, %s answered.",
            wanted,
            now.status,
            now.clean,
            now.records,
            now.dial,
            now.answer,
        )
        numbers = {"records": now.records, "dial": now.dial, "answer": now.answer, "no_answer": now.no_answer}
        numbers_of_campaign = {"campaign_id": wanted, **numbers}
        tell(assets, numbers_of_campaign, context)
        return PokeReturnValue(is_done=now.is_finished, xcom_value=numbers_of_campaign)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage which campaign was waited for.

        :param task_instance: not needed
        """
        from airflow_provider_wolkvox.lineage import campaign, lineage_of

        return lineage_of(self, reads=[campaign(self.campaign_id)], writes={})


class AgentReadySensor(WolkvoxSensor):
    """Wait until an agent is ready for a call.

    That an agent is ready now does not keep them ready until a later task calls.

    :param agent_id: the agent's extension (templated)

    The rest is as for `WolkvoxSensor`.
    """

    template_fields: Sequence[str] = ("agent_id", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {"agent_id": agent}

    def __init__(self, *, agent_id: str | int, wolkvox_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.agent_id = agent_id
        self.validate(vars(self))

    def ask(self, wolkvox: WolkvoxClient, context: Context) -> PokeReturnValue:
        """Read the agents' states of this moment."""
        from airflow_provider_wolkvox.api.arguments import agent_id

        wanted = agent_id(self.agent_id)
        status = next((agent.status for agent in wolkvox.real_time_agents() if agent.agent_id == wanted), None)
        self.log.info("Agent %s: %s.", wanted, status or "not logged in")
        return PokeReturnValue(is_done=(status or "").upper() == "READY")


class CallOutcomeSensor(WolkvoxSensor):
    """Wait until the reports tell what became of a call, or of several; returns it.

    Of each call: `conn_id`, `agent_id`, `customer_phone` (masked), `connected` (true or false), `result`,
    `seconds` (of talk), `disposition`, `disposition_2`, `hang_up` (`agent` or `customer`) and `at` (ISO
    8601). Records appear late: some only once the agent has done with the call [doc].

    :param conn_id: the call's `conn_id`; or a list of them, such as a mapped task's output, which is waited for
        with the same two requests a poke and gives a list in its order (templated)
    :param agent_id: whose call it must have been; default None, not checked (templated)
    :param since: where in the reports to begin, an aware datetime or its ISO 8601 text (templated); default
        ten minutes before the earliest call's own time, which `conn_id` holds

    The rest is as for `WolkvoxSensor`.

    :raises AirflowFailException: a `conn_id` is empty: such a call cannot be followed
    """

    template_fields: Sequence[str] = ("conn_id", "agent_id", "since", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {"agent_id": optional(agent), "since": optional(instant)}

    def __init__(
        self,
        *,
        conn_id: str | Iterable[str],
        agent_id: str | int | None = None,
        since: datetime | str | None = None,
        wolkvox_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(wolkvox_conn_id=wolkvox_conn_id, **kwargs)
        self.conn_id = conn_id
        self.agent_id = agent_id
        self.since = since
        self.validate(vars(self))

    def ask(self, wolkvox: WolkvoxClient, context: Context) -> PokeReturnValue:
        """Read the reports of connected and of not-connected calls."""
        wanted = self._wanted()
        since = self._since(wanted, context)
        outcomes: dict[str, dict[str, Any]] = {}
        until = datetime.now(UTC) + _MARGIN
        calls: Iterable[ConnectedCall | UnconnectedCall] = ()
        if wanted:
            calls = chain(wolkvox.cdr_1(since, until), wolkvox.cdr_5(since, until))
        for call in calls:
            if call.conn_id in wanted:
                outcomes[call.conn_id] = self._outcome(call)
        self.log.info("%d of %d calls are in the reports.", len(outcomes), len(set(wanted)))
        if len(outcomes) < len(set(wanted)):
            return PokeReturnValue(is_done=False)
        found = [outcomes[conn_id] for conn_id in wanted]
        return PokeReturnValue(is_done=True, xcom_value=found[0] if isinstance(self.conn_id, str) else found)

    def _wanted(self) -> list[str]:
        given = [self.conn_id] if self.conn_id is None or isinstance(self.conn_id, str) else list(self.conn_id)
        wanted = ["" if conn_id is None else str(conn_id).strip() for conn_id in given]
        if "" in wanted:
            raise AirflowFailException(
                f"conn_id is empty (number {wanted.index('') + 1} of {len(wanted)}): wolkvox gave none, or the call's "
                "task pushed none. A call without it cannot be followed in the reports."
            )
        for conn_id in wanted:
            if conn_id == "None" or not _CONN_ID.fullmatch(conn_id):
                raise AirflowFailException(
                    "conn_id is no id of a call, but the text that a template made of something else: give it the "
                    "task's output (`calls.output`), or set render_template_as_native_obj=True on the DAG."
                )
        return wanted

    def _since(self, wanted: Sequence[str], context: Context) -> datetime:
        from airflow_provider_wolkvox.api import began

        if self.since is not None:
            return instant(self.since, "since")
        run: Any = context["dag_run"]
        return min([datetime.now(UTC), *(began(conn_id) or run.start_date for conn_id in wanted)]) - _MARGIN

    def _outcome(self, call: ConnectedCall | UnconnectedCall) -> dict[str, Any]:
        from airflow_provider_wolkvox.api import ConnectedCall
        from airflow_provider_wolkvox.phone import masked, shown_extension

        if self.agent_id and call.agent_id != str(self.agent_id):
            raise AirflowFailException(
                f"Call {call.conn_id} was agent {shown_extension(call.agent_id)}'s, not agent "
                f"{shown_extension(str(self.agent_id))}'s: conn_id or agent_id is of another call."
            )
        # Each report lacks what the other one is about.
        return {
            "conn_id": call.conn_id,
            "agent_id": call.agent_id,
            "customer_phone": masked(call.phone),
            "connected": isinstance(call, ConnectedCall),
            "result": getattr(call, "result", "ANSWER"),
            "seconds": getattr(call, "seconds", 0),
            "disposition": getattr(call, "cod_act", ""),
            "disposition_2": getattr(call, "cod_act_2", ""),
            "hang_up": getattr(call, "hang_up", ""),
            "at": call.at.isoformat() if call.at else None,
        }
