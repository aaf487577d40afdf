"""The state of one wolkvox operation: tokens, agents, phones, quota and who is being served.

Pure of sockets and safe for threads. What an API answers is in `endpoints`; this module only knows and counts.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain

from airflow_provider_wolkvox.simulator.replies import UndocumentedReplies
from airflow_provider_wolkvox.simulator.request import Request
from airflow_provider_wolkvox.simulator.state.calls import (
    OUT_PRE,
    OUTBOUND_MA,
    TRANSFERRED,
    CallError,
    CallRecord,
    CallResult,
    CallResults,
    check_moment,
)
from airflow_provider_wolkvox.simulator.state.campaigns import Campaign, Campaigns, State
from airflow_provider_wolkvox.simulator.state.directory import Directory
from airflow_provider_wolkvox.simulator.state.history import History, cut_call, cut_call_begun
from airflow_provider_wolkvox.simulator.state.predictive import Dial
from airflow_provider_wolkvox.simulator.state.reporting import GMT_5, ReportPolicy, Sight
from airflow_provider_wolkvox.simulator.state.stations import (
    HOLD,
    LOGOUT,
    MUTE,
    READY,
    Command,
    Recall,
    Station,
    Stations,
)

SIMULTANEOUS_LIMIT = 2
"""Requests that one token may have under way; the next gets a 403 (doc)."""

LICENCES = 10
REQUESTS_PER_LICENCE = 1_000
"""A day's quota per licence, shared by all tokens of the operation (doc)."""

DEFAULT_AGENTS = ("10001", "10002", "10003", "10004", "10005")
"""Extensions of five digits, as in the vendor's samples (doc)."""

AUX_CALL = "aux_call"
DIAL = "dial"
TRANSFER = "transfer"
"""The APIs that ring a phone."""

_LOOK_AGAIN = 0.02

UNKNOWN_TOKEN = "unknown"  # noqa: S105 - the name under which strangers' requests are counted
NO_TOKEN_SENT = "none"  # noqa: S105 - likewise for requests without the header


def masked(secret: str) -> str:
    """Return the last four characters only, as tokens and phones may be shown."""
    return f"...{secret[-4:]}"


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the operation.

    :param text: what requests show
    :param limit: counted requests that it may send a day (`None`, the default: the operation's whole quota)
    :param description: its description in `token_info`
    """

    text: str = field(repr=False)
    limit: int | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent. `aux_call` wants it logged in, off the phone, and with a cut predictive call (doc).

    :param agent_id: its extension, digits as a text
    :param logged_in: whether it is logged in to the wolkvox Agent; default true
    :param has_cut_call: whether it is said to have had a predictive call that has been cut, beside those that
        campaigns of the simulator have dialled; default true
    :param on_call: whether it is said to be on a call, of which nothing else is known; default false
    """

    agent_id: str
    logged_in: bool = True
    has_cut_call: bool = True
    on_call: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One ring.

    :param phone: the phone that rang, exactly as the server received it
    :param agent_id: the agent for whom it rang
    :param conn_id: the call's conn_id, even if the answer was made to leave it out
    :param token: the token of the request, masked to its last four characters
    :param at: when it rang by the simulator's clock, aware in UTC
    :param api: what made it ring: `aux_call`, `dial` or `transfer`
    """

    phone: str
    agent_id: str
    conn_id: str
    token: str
    at: datetime
    api: str


@dataclass(frozen=True, slots=True)
class TokenStats:
    """What one token was seen doing since the last reset.

    :param token: the token, masked to its last four characters; `unknown` for all unknown ones, `none` for no token
    :param requests: every request whose head was read
    :param greatest_simultaneous: the most of them under way at one instant, refused ones too
    :param refusals: the refusals by their `msg`
    :param unanswered: the requests whose answer was never completely written
    :param used_today: requests that count against the daily quota
    """

    token: str
    requests: int
    greatest_simultaneous: int
    refusals: Mapping[str, int]
    unanswered: int
    used_today: int


class InFlight:
    """One request under way, from its head being read until its answer is written or its connection dead."""

    __slots__ = ("admitted", "era", "name", "over", "still_open", "token")

    def __init__(
        self, *, name: str, token: Token | None, admitted: bool, era: int, still_open: Callable[[], bool]
    ) -> None:
        self.name = name
        self.token = token
        self.admitted = admitted
        self.era = era
        self.still_open = still_open
        self.over = False


class _Tally:
    """The running numbers behind a `TokenStats`."""

    __slots__ = ("greatest", "refusals", "requests", "unanswered")

    def __init__(self, under_way: int = 0) -> None:
        self.requests = 0
        self.greatest = under_way
        self.refusals: Counter[str] = Counter()
        self.unanswered = 0


class Operation:
    """Tokens, agents, phones, quota and history of calls of one operation. What it is given is as for `Simulator`.

    :param report_lag: seconds by the name of each report
    :raises ValueError: for an empty or repeated token
    """

    def __init__(
        self,
        *,
        tokens: Sequence[Token],
        agents: Iterable[Agent],
        daily_quota: int,
        simultaneous_limit: int,
        replies: UndocumentedReplies,
        clock: Callable[[], float],
        call_results: CallResults,
        report_lag: Mapping[str, float],
        report_policy: ReportPolicy,
        cut_calls: bool,
        directory: Directory,
        record_limit: int | None,
        one_call_at_a_time: bool,
    ) -> None:
        if not tokens or any(not token.text for token in tokens):
            raise ValueError("an operation needs at least one token, and no token may be empty")
        self._tokens = {token.text: token for token in tokens}
        if len(self._tokens) != len(tokens):
            raise ValueError("the same token was given twice")
        self._agents = {agent.agent_id: agent for agent in agents}
        self._clock = clock
        self._logged_since = dict.fromkeys(self._agents, self.now())
        self.daily_quota = daily_quota
        self.simultaneous_limit = simultaneous_limit
        self.replies = replies
        self.call_results = call_results
        self.report_lag = report_lag
        self.report_policy = report_policy
        self.cut_calls = cut_calls
        self.directory = directory
        self.record_limit = record_limit
        self.one_call_at_a_time = one_call_at_a_time
        self.maintenance = False
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._under_way: dict[str, set[InFlight]] = {}
        self._era = 0
        self._version = 0
        self._sequence = 0
        self._day: date | None = None
        self._forget()

    def _forget(self) -> None:
        self._tallies = {name: _Tally(len(in_flight)) for name, in_flight in self._under_way.items()}
        self._calls: list[Call] = []
        self._history = History()
        self._campaigns = Campaigns()
        self._stations = Stations()
        self._busy_until: dict[str, datetime] = {}
        self._rings: Counter[str] = Counter()
        self._used: Counter[str] = Counter()
        self._dropped_unread = 0

    def reset(self) -> None:
        """Forget rings, the history, campaigns, stations, counts and used quota; reports are held back no more.

        Requests under way stay under way, for the new counts too.
        """
        with self._changed:
            self._era += 1
            self._forget()
            self._note_change()

    # Requests coming and going

    def arrive(self, token_text: str | None, still_open: Callable[[], bool]) -> InFlight:
        """Count a request whose head has just been read.

        `still_open` tells, at any later time, whether the request's connection lives: a client that hung up
        on a stalled request is not using its token any more, even if nobody has noticed yet.
        """
        token = self._tokens.get(token_text) if token_text else None
        name = token.text if token else (UNKNOWN_TOKEN if token_text else NO_TOKEN_SENT)
        with self._changed:
            in_flight = self._under_way.setdefault(name, set())
            for other in [entry for entry in in_flight if not entry.still_open()]:
                self.leave(other, answered=False)
            admitted = sum(entry.admitted for entry in in_flight) < self.simultaneous_limit
            entry = InFlight(name=name, token=token, admitted=admitted, era=self._era, still_open=still_open)
            in_flight.add(entry)
            tally = self._tally(name)
            tally.requests += 1
            tally.greatest = max(tally.greatest, len(in_flight))
            self._note_change()
        return entry

    def leave(self, entry: InFlight, *, answered: bool) -> None:
        """Count a request as over; a second time does nothing."""
        with self._changed:
            if entry.over:
                return
            entry.over = True
            self._under_way[entry.name].discard(entry)
            if not answered and entry.era == self._era:
                self._tally(entry.name).unanswered += 1
            self._note_change()

    def leave_with(self, entry: InFlight, last_action: Callable[[], bool], *, answered: bool) -> bool:
        """Do the last thing that the client can see of a request, and count it as over in one go.

        Under the lock, since a client that has its answer may send the next request before this thread
        runs again, which would then look simultaneous. `last_action` must not block; it returns whether it
        is done, and so does this.
        """
        with self._changed:
            done = last_action()
            if done:
                self.leave(entry, answered=answered)
            return done

    def refused(self, entry: InFlight, msg: str) -> None:
        """Count a refusal by its text."""
        with self._changed:
            if entry.era == self._era:
                self._tally(entry.name).refusals[msg] += 1
                self._note_change()

    def dropped_unread(self) -> None:
        """Count a connection that was reset with its request unread: whose token it was is unknown."""
        with self._changed:
            self._dropped_unread += 1
            self._note_change()

    def _tally(self, name: str) -> _Tally:
        return self._tallies.setdefault(name, _Tally())

    def add_token(self, token: Token) -> None:
        """Add a token.

        :raises ValueError: for an empty one, or one there is already
        """
        with self._changed:
            if not token.text or token.text in self._tokens:
                raise ValueError("a token can't be empty, nor be added twice")
            self._tokens[token.text] = token
            self._note_change()

    # The quota

    def quota_left(self, token: Token) -> int:
        """Return how many counted requests this token may still send today."""
        with self.lock:
            self._begin_day()
            own = self.limit_of(token) - self._used[token.text]
            return min(own, self.daily_quota - self._used.total())

    def charge(self, token: Token) -> None:
        """Count one request against the quota."""
        with self.lock:
            self._begin_day()
            self._used[token.text] += 1

    def limit_of(self, token: Token) -> int:
        """Return the token's own daily limit."""
        return self.daily_quota if token.limit is None else token.limit

    def used_by(self, token: Token) -> int:
        """Return what this token has used of the quota today."""
        with self.lock:
            self._begin_day()
            return self._used[token.text]

    def used_by_all(self) -> int:
        """Return what all tokens together have used of the quota today."""
        with self.lock:
            self._begin_day()
            return self._used.total()

    def _begin_day(self) -> None:
        # GUESS: at midnight GMT-5, the one zone the vendor names anywhere.
        today = datetime.fromtimestamp(self._clock(), GMT_5).date()
        if today != self._day:
            self._day = today
            self._used.clear()

    # Agents and phones

    def agent(self, agent_id: str) -> Agent | None:
        """Return an agent, or `None` if the operation has no such agent."""
        with self.lock:
            return self._agents.get(agent_id)

    def set_agent(self, agent: Agent) -> None:
        """Add an agent, or put another state in its place."""
        with self._changed:
            before = self._agents.get(agent.agent_id)
            if before is None or agent.logged_in != before.logged_in:
                self._logged_since[agent.agent_id] = self.now()
                self._stations.log_in_anew(agent.agent_id)
            elif agent.on_call != before.on_call:
                self._stations.switch_off(agent.agent_id)
            self._agents[agent.agent_id] = agent
            self.campaigns_changed()

    def change_agent(
        self,
        agent_id: str,
        *,
        logged_in: bool | None = None,
        has_cut_call: bool | None = None,
        on_call: bool | None = None,
    ) -> Agent:
        """Change what is given of an agent's state; an agent not there yet is added in the usual state."""
        with self.lock:
            before = self._agents.get(agent_id) or Agent(agent_id)
            agent = Agent(
                agent_id,
                logged_in=before.logged_in if logged_in is None else logged_in,
                has_cut_call=before.has_cut_call if has_cut_call is None else has_cut_call,
                on_call=before.on_call if on_call is None else on_call,
            )
            self.set_agent(agent)
            return agent

    def remove_agent(self, agent_id: str) -> None:
        """Take an agent away.

        :raises KeyError: if there is none
        """
        with self._changed:
            del self._agents[agent_id]
            self.campaigns_changed()

    def new_conn_id(self, agent_id: str, phone: str, at: datetime | None = None) -> str:
        """Return a conn_id never given before, of a call of now or of another time.

        Agent, four digits, Unix time, sequence (doc: one sample). That the four digits are the phone's last
        is a guess, and so is that calls of every type have a conn_id of this form.
        """
        with self.lock:
            self._sequence += 1
            epoch = int(self._clock() if at is None else at.timestamp())
            return f"{agent_id or 0}.{phone[-4:]:0>4}.{epoch}.{10_000 + self._sequence}"

    def ring(self, phone: str, agent_id: str, token: Token, api: str, *, customer_id: str = "") -> str:
        """Ring a phone, and return the call's conn_id. Again and again if asked: protecting is the client's job.

        Only an aux_call follows a predictive call and stays tied to its record (doc).
        """
        with self._changed:
            now = self.now()
            # First, since it may be a test's own function: if that fails, nothing has rung.
            what = CallResult.of(self.call_results(phone, agent_id, self._rings[phone]))
            dialled = self._campaigns.last_dial(agent_id, phone, now) if api == AUX_CALL else None
            if api == AUX_CALL and self.cut_calls and not dialled:
                self._note_cut_call(phone, agent_id, now)
            conn_id = self.new_conn_id(agent_id, phone)
            self._rings[phone] += 1
            self._calls.append(Call(phone, agent_id, conn_id, masked(token.text), now, api))
            record = CallRecord(
                phone,
                agent_id,
                conn_id,
                now,
                what,
                {AUX_CALL: self.report_policy.aux_call_type, DIAL: OUTBOUND_MA, TRANSFER: TRANSFERRED}[api],
                customer_id=customer_id,
                at_station=api != TRANSFER,
            )
            self._history.note(self._history.tied(record, dialled) if api == AUX_CALL else record)
            if record.at_station:
                self._busy_until[agent_id] = max(record.finished, self._busy_until.get(agent_id, now))
            self.campaigns_changed()
            return conn_id

    def _note_cut_call(self, phone: str, agent_id: str, now: datetime) -> None:
        if not self._history.has_recent_predictive(agent_id, phone, now):
            begun = cut_call_begun(now, len(self._calls))
            self._history.note_past(cut_call(phone, agent_id, self.new_conn_id(agent_id, phone, begun), begun))

    def logged_since(self, agent_id: str) -> datetime:
        """Return since when an agent has been logged in, or out."""
        return self._logged_since[agent_id]

    def is_on_call(self, agent: Agent) -> bool:
        """Return whether an agent is on a call that forbids it another.

        By its given state, or on a campaign's; on one that it made itself only if `one_call_at_a_time`.
        """
        if agent.on_call or self._campaigns.is_talking(agent.agent_id, self.now()):
            return True
        return self.one_call_at_a_time and self._call_of(agent.agent_id) is not None

    def has_cut_call(self, agent: Agent) -> bool:
        """Return whether an agent has had a cut call: by its given state, or a campaign's."""
        return agent.has_cut_call or self._campaigns.has_cut_call(agent.agent_id, self.now())

    def now(self) -> datetime:
        """Return the clock's time, aware in UTC."""
        return datetime.fromtimestamp(self._clock(), UTC)

    # Calls and stations

    @property
    def stations_kept(self) -> Stations:
        """What stations are set to, the commands and the recalls; to be used under the lock."""
        return self._stations

    def last_call(self, agent_id: str) -> CallRecord | None:
        """Return the call that began last at an agent's station, over or not; `None` if there was none."""
        now = self.now()
        found = (self._history.last_at_station(agent_id, now), self._campaigns.last_call(agent_id, now))
        return max((call for call in found if call is not None), key=lambda call: call.taken, default=None)

    def _call_of(self, agent_id: str) -> CallRecord | None:
        """Return the call that an agent is on, ringing or talking: the last one, if it is not over."""
        call = self.last_call(agent_id)
        return call if call is not None and self.now() < call.over else None

    def has_call(self, agent_id: str) -> bool:
        """Return whether an agent is on a call, by its given state or on any other."""
        return self._agents[agent_id].on_call or self._call_of(agent_id) is not None

    def call_meant(self, agent_id: str) -> CallRecord | None:
        """Return the call that an agent is on, or else its last; `None` if that is a call of which nothing is known."""
        return self._call_of(agent_id) or (None if self._agents[agent_id].on_call else self.last_call(agent_id))

    def station(self, agent_id: str) -> Station:
        """Return an agent's station as it is now.

        :raises KeyError: if there is no such agent
        """
        with self.lock:
            agent, kept, call = self._agents[agent_id], self._stations, self._call_of(agent_id)
            conn_id = call.conn_id if call else ""
            on_call = self.has_call(agent_id)
            return Station(
                agent_id=agent_id,
                status=kept.state(agent_id)[0] if agent.logged_in else LOGOUT,
                on_call=on_call,
                call=call,
                on_hold=on_call and kept.is_on(HOLD, agent_id, conn_id),
                muted=on_call and kept.is_on(MUTE, agent_id, conn_id),
                hidden=kept.hidden(agent_id),
            )

    def note_command(self, request: Request, token: Token, call: CallRecord | None) -> None:
        """Note a request of the agent API that was carried out, and the call that it found."""
        with self._changed:
            values = {name: value for name, value in request.parameters.items() if name != "agent_id"}
            agent_id, conn_id = request.parameters["agent_id"], call.conn_id if call else ""
            command = Command(request.api, agent_id, conn_id, values, masked(token.text), self.now())
            self._stations.commands.append(command)
            self._note_change()

    def toggle(self, switch: str, agent_id: str) -> None:
        """Put the call that an agent is on on hold or mute, or take it off."""
        with self.lock:
            call = self._call_of(agent_id)
            self._stations.toggle(switch, agent_id, call.conn_id if call else "")

    def hang_up(self, agent_id: str) -> None:
        """End the call that an agent is on, also one that was only said to be."""
        with self._changed:
            call = self._call_of(agent_id)
            if call is not None:
                self._put(call, call.hung_up(self.now()))
            if self._agents[agent_id].on_call:
                self.change_agent(agent_id, on_call=False)

    def codify(self, agent_id: str, cod_act: str, cod_act_2: str, comment: str) -> None:
        """Give the call that an agent is on, or else its last, its dispositions."""
        with self._changed:
            call = self.call_meant(agent_id)
            if call is not None:
                self._put(call, call.codified(cod_act, cod_act_2, comment))

    def set_state(self, agent_id: str, state: str) -> None:
        """Make an agent ready, or put it into a state of the operation's own; its work after a call is done."""
        with self._changed:
            now, call = self.now(), self.last_call(agent_id)
            if call is not None and call.over <= now < call.finished:
                self._put(call, call.worked_off(now))
            self._stations.set_state(agent_id, state, now)
            self.campaigns_changed()

    def log_out(self, agent_id: str) -> None:
        """End the call that an agent is on, and log it out."""
        with self._changed:
            self.hang_up(agent_id)
            self.change_agent(agent_id, logged_in=False)

    def _put(self, before: CallRecord, after: CallRecord) -> None:
        if isinstance(before, Dial) and isinstance(after, Dial):
            self._campaigns.put(before, after)
        else:
            self._history.put(before, after)
            self._busy_until[after.agent_id] = after.finished
        self.campaigns_changed()

    # Campaigns

    def knows_campaign(self, campaign_id: str) -> bool:
        """Return whether a campaign exists. GUESS: it was added, or any call in the history is one of its."""
        if self._campaigns.get(campaign_id) is not None:
            return True
        return any(call.campaign_id == campaign_id for call in self.sight().calls)

    @property
    def campaigns(self) -> Campaigns:
        """The campaigns; to be used under the lock, and `campaigns_changed` called after changing one."""
        return self._campaigns

    def add_campaign(self, state: State, rows: Iterable[Mapping[str, str]], *, started: bool) -> None:
        """Add a campaign with its first records.

        :raises CampaignError: if there is one of this id, or a record is none
        """
        with self._changed:
            self._campaigns.add(state, rows)
            state.since = self.now() if started else None
            self.campaigns_changed()

    def campaign(self, campaign_id: str) -> Campaign:
        """Return a campaign as it is now.

        :raises KeyError: if there is none
        """
        with self.lock:
            state = self._campaigns.get(campaign_id)
            if state is None:
                raise KeyError(campaign_id)
            policy = self.report_policy
            return self._campaigns.seen(state, self.now(), self.directory.hits, policy.status_when_done)

    def campaigns_changed(self) -> None:
        """Plan anew what campaigns dial from now on."""
        with self._changed:
            if self._campaigns:
                self._campaigns.plan_from(self.now(), self._available())
            self._note_change()

    def _available(self) -> dict[str, datetime]:
        """Return the agents that campaigns can have, each with the time from when."""
        found = {}
        for agent in self._agents.values():
            state, since = self._stations.state(agent.agent_id)
            if agent.logged_in and not agent.on_call and state == READY:
                times = (self._logged_since[agent.agent_id], self._busy_until.get(agent.agent_id), since)
                found[agent.agent_id] = max(time for time in times if time is not None)
        return found

    # What reports tell of

    @property
    def history(self) -> tuple[CallRecord, ...]:
        """Every call by the time it began, held back or not, the campaigns' too: a snapshot."""
        with self.lock:
            every = chain(self._history.all, self._campaigns.dials(self.now()))
            return tuple(sorted(every, key=lambda record: record.begun))

    def add_past_call(
        self,
        phone: str,
        agent_id: str,
        what: CallResult,
        *,
        begun: datetime,
        type_interaction: str = OUT_PRE,
        conn_id: str | None = None,
        campaign_id: str = "",
        customer_id: str = "",
        skill_id: str = "",
    ) -> CallRecord:
        """Put a call into the history that no request has made.

        :raises CallError: for one that can't be
        """
        texts = (phone, agent_id, type_interaction, conn_id or "", campaign_id, customer_id, skill_id)
        if not all(isinstance(text, str) for text in texts) or not phone or not type_interaction:
            raise CallError("a past call has texts, and needs a phone and a type_interaction")
        check_moment(begun)
        with self._changed:
            if conn_id is None:
                conn_id = self.new_conn_id(agent_id, phone, begun)
            record = CallRecord(
                phone, agent_id, conn_id, begun, what, type_interaction, campaign_id, customer_id, skill_id
            )
            self._history.note_past(record)
            self._note_change()
            return record

    def hold_reports(self) -> None:
        """Keep calls that are rung from now on out of the reports."""
        with self._changed:
            self._history.holding = True
            self._note_change()

    def release_reports(self) -> None:
        """Let reports tell of the calls that were held back, and hold back no more."""
        with self._changed:
            self._history.release()
            self._note_change()

    @property
    def reports_held(self) -> bool:
        """Whether calls that are rung now are kept out of the reports."""
        with self.lock:
            return self._history.holding

    def sight(self) -> Sight:
        """Return what reports may see now; to be used under the lock."""
        now = self.now()
        calls = [*self._history.shown, *self._campaigns.dials(now)]
        return Sight(calls, now, self.report_lag, self.report_policy, self.replies, self.directory)

    # Looking in

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The operation's tokens."""
        with self.lock:
            return tuple(self._tokens.values())

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The agents as they are now."""
        with self.lock:
            return tuple(self._agents.values())

    @property
    def rings(self) -> Counter[str]:
        """How often each phone has rung: a snapshot."""
        with self.lock:
            return Counter(self._rings)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls in the order they rang: a snapshot."""
        with self.lock:
            return tuple(self._calls)

    @property
    def stations(self) -> tuple[Station, ...]:
        """Every agent's station as it is now."""
        with self.lock:
            return tuple(self.station(agent_id) for agent_id in self._agents)

    @property
    def commands(self) -> tuple[Command, ...]:
        """The requests of the agent API that were carried out, in order: a snapshot."""
        with self.lock:
            return tuple(self._stations.commands)

    @property
    def recalls(self) -> tuple[Recall, ...]:
        """The recalls as they stand now: a snapshot."""
        with self.lock:
            return tuple(self._stations.recalls)

    @property
    def drops_before_reading(self) -> int:
        """Connections that were reset with their request unread."""
        with self.lock:
            return self._dropped_unread

    def stats(self, token_text: str | None) -> TokenStats:
        """Return what was seen of a token; of all unknown ones together if it is none of ours.

        `None` and `""` stand for the requests that carried no token.
        """
        if not token_text or token_text == NO_TOKEN_SENT:
            name = shown = NO_TOKEN_SENT
        elif token_text in self._tokens:
            name, shown = token_text, masked(token_text)
        else:
            name = shown = UNKNOWN_TOKEN
        with self.lock:
            self._begin_day()
            tally = self._tallies.get(name) or _Tally()
            return TokenStats(
                token=shown,
                requests=tally.requests,
                greatest_simultaneous=tally.greatest,
                refusals=dict(tally.refusals),
                unanswered=tally.unanswered,
                used_today=self._used[name],
            )

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition on this operation holds; return whether it does.

        The condition is asked without the lock, so it may itself send requests.

        :param timeout: how many seconds to wait at most
        """
        until = time.monotonic() + timeout
        while True:
            with self.lock:
                seen = self._version
            if condition():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                # What campaigns do comes with the clock, of which nobody is told.
                longest = min(left, _LOOK_AGAIN) if self._campaigns else left
                self._changed.wait_for(partial(self._is_newer_than, seen), longest)

    def _is_newer_than(self, version: int) -> bool:
        return self._version != version

    def _note_change(self) -> None:
        self._version += 1
        self._changed.notify_all()
