"""The simulator as programs use it."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType

from airflow_provider_wolkvox.simulator.replies import Envelope, UndocumentedReplies
from airflow_provider_wolkvox.simulator.request import ConnIds
from airflow_provider_wolkvox.simulator.state.calls import (
    OUT_PRE,
    CallRecord,
    CallResult,
    CallResults,
    GivenResults,
    results_of,
)
from airflow_provider_wolkvox.simulator.state.campaigns import Campaign, new_state
from airflow_provider_wolkvox.simulator.state.directory import Directory
from airflow_provider_wolkvox.simulator.state.faults import LONGEST_WAIT, Fault, FaultKind, Faults
from airflow_provider_wolkvox.simulator.state.operation import (
    DEFAULT_AGENTS,
    LICENCES,
    REQUESTS_PER_LICENCE,
    SIMULTANEOUS_LIMIT,
    Agent,
    Call,
    Operation,
    Token,
    TokenStats,
)
from airflow_provider_wolkvox.simulator.state.predictive import PREDICTIVE
from airflow_provider_wolkvox.simulator.state.reporting import ReportLag, ReportPolicy, lag_by_report
from airflow_provider_wolkvox.simulator.state.stations import Command, Recall, Station
from airflow_provider_wolkvox.simulator.transport.limits import Limits
from airflow_provider_wolkvox.simulator.transport.server import Server, Settings


class Simulator:
    """A wolkvox server for one machine, with phones that count their rings.

    ```python
    with Simulator() as sim:
        client = WolkvoxClient("0001", sim.token, base_url=sim.base_url)
        client.aux_call("10001", "573001234567")
        assert sim.rings["573001234567"] == 1
    ```

    :param host: address to listen on; the loopback by default, since it has no protection at all.
    :param port: TCP port; 0 takes any free one.
    :param tokens: tokens of the operation, as texts or `Token`s; by default one made at random, `demo-...`.
    :param agents: agents, as ids (logged in, off the phone, with a cut call) or `Agent`s; by default five,
        10001 to 10005.
    :param daily_quota: counted requests per day, shared by all tokens; by default ten licences' (doc).
    :param latency: server time of every request to wolkvox, in seconds. The phone rings before it.
    :param replies: replies that nobody documents, by name (`UndocumentedReplies.names()`).
    :param conn_ids: how accepted calls tell their conn_id: given, as an empty text, or not at all.
    :param simultaneous_limit: requests that one token may have under way (doc: 2).
    :param clock: returns Unix seconds, for conn_ids, calls' times, reports and the quota's day.
    :param call_results: what becomes of each call: a result for all (`"BUSY"`, `CallResult.of(...)`), a
        mapping phone -> result (others answer), a function of phone, agent_id and rings before, or a seed.
        By default all are answered and talk for 20 seconds.
    :param report_lag: seconds from a call until reports tell of it, for all reports or by their names.
    :param report_policy: what the facts leave open about reports.
    :param cut_calls: whether the predictive call that has to precede an aux_call (doc) is in the reports:
        same agent and phone, up to a minute before, with a conn_id of its own.
    :param directory: agents' names, dispositions, the do-not-call list and what is kept for Law 2300.
    :param one_call_at_a_time: whether an agent that is on a call which it made itself is refused another (doc,
        of an older API). Off by default: a call that is made twice by mistake then rings twice, and is seen.
    :param record_limit: records that all campaigns may have together (`None`: any number).
    :param limits: what clients may take of the server: connections, idle time, bodies.
    :param log: gets one line per request, token hidden and phone masked.
    :raises ValueError: for a latency or lag that is no number of seconds from 0 up, an empty or repeated token, an
        unknown name of a reply, report or result, or another way to tell conn_ids.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Iterable[str | Token] | None = None,
        agents: Iterable[str | Agent] | None = None,
        daily_quota: int = LICENCES * REQUESTS_PER_LICENCE,
        latency: float = 0.0,
        replies: Mapping[str, Envelope] | None = None,
        conn_ids: ConnIds | str = ConnIds.GIVEN,
        simultaneous_limit: int = SIMULTANEOUS_LIMIT,
        clock: Callable[[], float] = time.time,
        call_results: GivenResults = None,
        report_lag: ReportLag = 0.0,
        report_policy: ReportPolicy = ReportPolicy(),  # noqa: B008 - frozen
        cut_calls: bool = True,
        directory: Directory = Directory(),  # noqa: B008 - frozen
        record_limit: int | None = None,
        one_call_at_a_time: bool = False,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        log: Callable[[str], None] | None = None,
    ) -> None:
        if tokens is None:
            tokens = [_random_token()]
        self._operation = Operation(
            tokens=[Token(token) if isinstance(token, str) else token for token in tokens],
            agents=[
                Agent(agent) if isinstance(agent, str) else agent
                for agent in (DEFAULT_AGENTS if agents is None else agents)
            ],
            daily_quota=daily_quota,
            simultaneous_limit=simultaneous_limit,
            replies=UndocumentedReplies().changed(replies or {}),
            clock=clock,
            call_results=results_of(call_results),
            report_lag=lag_by_report(report_lag),
            report_policy=report_policy,
            cut_calls=cut_calls,
            directory=directory,
            record_limit=record_limit,
            one_call_at_a_time=one_call_at_a_time,
        )
        self._faults = Faults()
        self._settings = Settings()
        self._host = host
        self._port = port
        self._limits = limits
        self._log = log
        self._server: Server | None = None
        self.latency = latency
        self.conn_ids = ConnIds(conn_ids)

    # Starting and stopping

    def start(self) -> Simulator:
        """Listen, and return this simulator.

        :raises OSError: if the address can't be had.
        :raises RuntimeError: if it is running already, or no thread can be started.
        """
        if self._server is not None:
            raise RuntimeError("the simulator is running already")
        self._server = Server(
            self._operation,
            self._faults,
            self._settings,
            host=self._host,
            port=self._port,
            limits=self._limits,
            log=self._log,
        )
        # Started again, it is found where it was.
        self._port = self._server.port
        return self

    def stop(self) -> None:
        """Close every connection and end every thread. What was counted can still be read."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Where it is

    @property
    def port(self) -> int:
        """The port listened on; 0 before the first start if none was asked for."""
        return self._port

    @property
    def base_url(self) -> str:
        """What stands before `/api/v2/...`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def token(self) -> str:
        """The first token."""
        return self.tokens[0]

    @property
    def tokens(self) -> tuple[str, ...]:
        """All tokens of the operation."""
        return tuple(token.text for token in self._operation.tokens)

    def add_token(self, token: str | Token | None = None) -> str:
        """Add a token to the operation, and return its text.

        :param token: the token, as a text or with its limit; by default one made at random, `demo-...`.
        :raises ValueError: for an empty one, or one there is already.
        """
        added = _random_token() if token is None else Token(token) if isinstance(token, str) else token
        self._operation.add_token(added)
        return added.text

    # What happened

    @property
    def rings(self) -> Counter[str]:
        """How often each phone rang, by the number exactly as received: a snapshot, 0 for all others."""
        return self._operation.rings

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every ring in order: a snapshot."""
        return self._operation.calls

    def station(self, agent_id: str) -> Station:
        """Return the station of the agent `agent_id` as it is now: its status, its call, hold and mute.

        :raises KeyError: if there is no such agent.
        """
        return self._operation.station(agent_id)

    @property
    def stations(self) -> tuple[Station, ...]:
        """Every agent's station as it is now."""
        return self._operation.stations

    @property
    def commands(self) -> tuple[Command, ...]:
        """What the agent API was asked and has done, in order, rings among it: a snapshot.

        Tones, dispositions and states are in the commands' `values`.
        """
        return self._operation.commands

    @property
    def recalls(self) -> tuple[Recall, ...]:
        """The recalls that are scheduled, as edited, without the deleted: a snapshot. Nothing dials them."""
        return self._operation.recalls

    def stats(self, token: str | None = None) -> TokenStats:
        """Return what was seen of a token since the last reset.

        :param token: its text, by default the first token's. Any that is none of the operation's stands for all of
            these together, and `none` or an empty text for the requests without one.
        """
        return self._operation.stats(self.token if token is None else token)

    @property
    def drops_before_reading(self) -> int:
        """Requests dropped unread, which no token's stats can hold."""
        return self._operation.drops_before_reading

    def wait_for(self, condition: Callable[[Simulator], object], timeout: float = 60.0) -> bool:
        """Wait until a condition on this simulator holds; return whether it does.

        :param condition: gets the simulator; asked anew whenever something happens, and may send requests itself.
        :param timeout: how many seconds to wait at most; default 60.
        """
        return self._operation.wait_for(lambda: bool(condition(self)), timeout)

    def reset(self) -> None:
        """Forget rings, calls, history, campaigns, stations, recalls, stats and used quota; clear the faults.

        Reports are held back no more. Agents, replies and settings stay.
        """
        self._faults.clear()
        self._operation.reset()

    # What to change

    @property
    def latency(self) -> float:
        """Server time of every request to wolkvox, in seconds; may be set while it runs.

        :raises ValueError: if it is set to less than 0, or more than a day.
        """
        return self._settings.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_WAIT:
            raise ValueError(f"latency must be a number of seconds from 0 to {LONGEST_WAIT}, not {seconds!r}")
        self._settings.latency = seconds

    @property
    def conn_ids(self) -> ConnIds:
        """How accepted calls tell their conn_id."""
        return self._settings.conn_ids

    @conn_ids.setter
    def conn_ids(self, conn_ids: ConnIds) -> None:
        self._settings.conn_ids = conn_ids

    @property
    def maintenance(self) -> bool:
        """Whether the APIs are switched off, as during the server's backups (doc); the text is a guess."""
        return self._operation.maintenance

    @maintenance.setter
    def maintenance(self, off: bool) -> None:
        self._operation.maintenance = off

    def set_reply(self, name: str, envelope: Envelope) -> None:
        """Change one undocumented reply.

        :param name: one of `UndocumentedReplies.names()`.
        :param envelope: what to answer instead.
        :raises ValueError: for another name; tells those there are.
        """
        with self._operation.lock:
            self._operation.replies = self._operation.replies.changed({name: envelope})

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The agents as they are now."""
        return self._operation.agents

    def add_agent(
        self, agent_id: str, *, logged_in: bool = True, has_cut_call: bool = True, on_call: bool = False
    ) -> Agent:
        """Add an agent, or put one in exactly this state, and return it.

        :param agent_id: as for `Agent`, and so are the others.
        :param logged_in: default true.
        :param has_cut_call: default true.
        :param on_call: default false.
        """
        agent = Agent(agent_id, logged_in, has_cut_call, on_call)
        self._operation.set_agent(agent)
        return agent

    def change_agent(
        self,
        agent_id: str,
        *,
        logged_in: bool | None = None,
        has_cut_call: bool | None = None,
        on_call: bool | None = None,
    ) -> Agent:
        """Change what is given of an agent's state, leave the rest, and return the agent.

        :param agent_id: as for `Agent`, and so are the others; one there is not yet is added.
        :param logged_in: left as it is by default.
        :param has_cut_call: likewise.
        :param on_call: likewise.
        """
        return self._operation.change_agent(agent_id, logged_in=logged_in, has_cut_call=has_cut_call, on_call=on_call)

    def remove_agent(self, agent_id: str) -> None:
        """Take the agent `agent_id` away.

        :raises KeyError: if there is none.
        """
        self._operation.remove_agent(agent_id)

    # Campaigns

    def add_campaign(
        self,
        campaign_id: str,
        *,
        name: str = "",
        records: Iterable[Mapping[str, str]] = (),
        agents: Iterable[str] | None = None,
        seed: int = 0,
        call_results: GivenResults = None,
        kind: str = PREDICTIVE,
        started: bool = False,
        strategy: str = "Progressive",
        refuse_duplicates: bool = False,
    ) -> Campaign:
        """Add a campaign, and return it as it is then.

        :param campaign_id: its id, a text of digits.
        :param name: its name, by default `CAMPAIGN` and the id.
        :param records: customers as flat mappings of texts with customer_id, tel1 to tel10 (at least one),
            customer_name, opt1 to opt12.
        :param agents: ids of the agents who take its calls; by default all of the operation.
        :param seed: decides what becomes of each dial, unless `call_results` does, and the time between dials;
            default 0.
        :param call_results: what becomes of each dial, as for `Simulator`; a function gets phone, agent_id and
            the dials of this record before. It may be asked again for a dial that has not begun.
        :param kind: `predictive`, the default, or `preview`.
        :param started: whether it dials at once, without being started by a request; by default it waits for one.
        :param strategy: what real time shows after its name, by default `Progressive`; it dials alike with any.
        :param refuse_duplicates: whether a customer_id can be loaded once only (guess: it can again).
        :raises CampaignError: for an id that is taken, and for what can't be.
        """
        state = new_state(
            campaign_id,
            name=name,
            kind=kind,
            strategy=strategy,
            agents=agents,
            seed=seed,
            call_results=call_results,
            cod_acts=[code.cod_act for code in self.directory.activity_codes],
            refuse_duplicates=refuse_duplicates,
        )
        self._operation.add_campaign(state, records, started=started)
        return self.campaign(campaign_id)

    def campaign(self, campaign_id: str) -> Campaign:
        """Return the campaign `campaign_id` as it is now: a snapshot.

        :raises KeyError: if there is none.
        """
        return self._operation.campaign(campaign_id)

    @property
    def campaigns(self) -> tuple[str, ...]:
        """The ids of all campaigns."""
        with self._operation.lock:
            return tuple(state.campaign_id for state in self._operation.campaigns)

    @property
    def directory(self) -> Directory:
        """Names, dispositions and lists of the operation; set another to change them."""
        return self._operation.directory

    @directory.setter
    def directory(self, directory: Directory) -> None:
        self._operation.directory = directory

    # What reports tell of calls

    @property
    def history(self) -> tuple[CallRecord, ...]:
        """Every call by the time it began, the predictive ones too, whatever reports show of them: a snapshot."""
        return self._operation.history

    def add_past_call(
        self,
        phone: str,
        agent_id: str,
        *,
        seconds_ago: float = 60.0,
        at: datetime | None = None,
        type_interaction: str = OUT_PRE,
        conn_id: str | None = None,
        campaign_id: str = "",
        customer_id: str = "",
        skill_id: str = "",
        result: str | CallResult = "ANSWER",
        **of_result: object,
    ) -> CallRecord:
        """Put any call into the history, by default a predictive one of a minute ago; return its record.

        It rings no phone and is never held back. What an empty text means is told by `CallRecord`.

        :param phone: exactly as it was dialled.
        :param agent_id: the agent who had it.
        :param seconds_ago: how many seconds ago it began by the simulator's clock; default 60.
        :param at: when it began instead, aware.
        :param type_interaction: who dialled it (doc), by default a predictive campaign: `out_pre`.
        :param conn_id: its conn_id, by default a new one.
        :param campaign_id: the campaign that dialled it; by default none.
        :param customer_id: the customer's id; by default none.
        :param skill_id: the skill it came in by; by default none.
        :param result: what became of it, a word or a `CallResult`; default `ANSWER`.
        :param of_result: `CallResult`'s fields, such as `talk_seconds=5`.
        :raises CallError: for a call or a result that can't be; tells what can.
        """
        return self._operation.add_past_call(
            phone,
            agent_id,
            CallResult.of(result, **of_result),
            begun=self._operation.now() - timedelta(seconds=seconds_ago) if at is None else at,
            type_interaction=type_interaction,
            conn_id=conn_id,
            campaign_id=campaign_id,
            customer_id=customer_id,
            skill_id=skill_id,
        )

    def add_past_calls(
        self,
        number: int,
        *,
        seconds_ago: float = 3600.0,
        campaign_id: str = "",
        result: str | CallResult = "ANSWER",
        **of_result: object,
    ) -> None:
        """Put many predictive calls into the history at once, evenly spread until now.

        Each has a phone of its own (573000000000 and up) and the next of the agents: enough for a report as
        long as one can be.

        :param number: how many.
        :param seconds_ago: how many seconds ago the first began; default 3600.
        :param campaign_id: the campaign that dialled them; by default none.
        :param result: what became of each, as for `add_past_call`.
        :param of_result: likewise.
        :raises CallError: for a result that can't be; tells what can.
        """
        what = CallResult.of(result, **of_result)
        agents = [agent.agent_id for agent in self.agents] or [""]
        with self._operation.lock:
            first = self._operation.now() - timedelta(seconds=seconds_ago)
            for place in range(number):
                self._operation.add_past_call(
                    f"57300{place:07}",
                    agents[place % len(agents)],
                    what,
                    begun=first + timedelta(seconds=seconds_ago * place / number),
                    campaign_id=campaign_id,
                )

    def hold_reports(self) -> None:
        """Keep calls that are rung from now on out of the reports, until `release_reports` or `reset`.

        It concerns calls by hand alone: what campaigns dial appears as `report_lag` says.
        """
        self._operation.hold_reports()

    def release_reports(self) -> None:
        """Let reports tell of the calls that were held back, once their lag is over, and hold no more."""
        self._operation.release_reports()

    @property
    def reports_held(self) -> bool:
        """Whether calls that are rung now are kept out of the reports."""
        return self._operation.reports_held

    @property
    def call_results(self) -> CallResults:
        """What becomes of each call, as a function; set it as the parameter is given.

        :raises CallError: if it is set to what can be none.
        """
        return self._operation.call_results

    @call_results.setter
    def call_results(self, given: GivenResults) -> None:
        self._operation.call_results = results_of(given)

    @property
    def report_lag(self) -> Mapping[str, float]:
        """Seconds from a call until each report tells of it; a mapping that is set changes the named ones.

        :raises ReportError: if it is set to what can't be.
        """
        return dict(self._operation.report_lag)

    @report_lag.setter
    def report_lag(self, given: ReportLag) -> None:
        self._operation.report_lag = lag_by_report(given, self._operation.report_lag)

    @property
    def report_policy(self) -> ReportPolicy:
        """What the facts leave open about reports; set a `ReportPolicy` to change it."""
        return self._operation.report_policy

    @report_policy.setter
    def report_policy(self, policy: ReportPolicy) -> None:
        self._operation.report_policy = policy

    @property
    def one_call_at_a_time(self) -> bool:
        """Whether an agent on a call that it made itself is refused another."""
        return self._operation.one_call_at_a_time

    @one_call_at_a_time.setter
    def one_call_at_a_time(self, strict: bool) -> None:
        self._operation.one_call_at_a_time = strict

    @property
    def cut_calls(self) -> bool:
        """Whether each aux_call's predictive call is in the reports."""
        return self._operation.cut_calls

    @cut_calls.setter
    def cut_calls(self, shown: bool) -> None:
        self._operation.cut_calls = shown

    # What to let go wrong

    def fault(self, kind: FaultKind | str, *, times: int | None = 1, after: int = 0, **options: object) -> Fault:
        """Arm a fault, and return it.

        :param kind: what goes wrong, or its name, such as `stall`.
        :param times: how many matching requests it hits, `None` for all until cleared; default 1.
        :param after: how many matching requests it lets pass before; default 0.
        :param options: which requests match (`api`, `token`, `agent_id`, `phone`, `campaign_id`; by default all), and
            what else the kind takes: it is in `faults.OPTIONS`.
        :raises FaultError: for what can't be; tells what can.
        """
        fault = Fault.of(kind, times=times, after=after, **options)
        self._faults.arm(fault)
        return fault

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that still wait for requests."""
        return self._faults.armed

    def clear_faults(self) -> None:
        """Disarm every fault; one that is being suffered goes on."""
        self._faults.clear()


def _random_token() -> Token:
    return Token(f"demo-{secrets.token_hex(8)}", description="demo")
