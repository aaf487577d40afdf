"""Hypothesis looks for an order of agent calls that puts an agent on two calls, or that a toggle does not survive."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from simulator_testing import Caller

from airflow_provider_wolkvox.simulator import CallResult, Simulator

HANDS = ("10001", "10002")
"""Agents whose calls are all their own, so that the model knows each."""
BUSY = "10003"
"""An agent that a campaign gives calls to: only that it never has two is known of it."""
PHONES = st.sampled_from(("573000000001", "573000000002"))
RING, TALK, ACW = 3, 40, 10
CODES = {"cod_act": "101", "cod_act_2": "102"}
ANY = {
    "dial": {"customer_phone": "573000000003"},
    "aux_call": {"customer_phone": "573000000003"},
    "transfer": {"customer_phone": "573000000004"},
    "hang": {},
    "hang_type_ready": {"cod_act": "101"},
    "change_status": {"status": "ready"},
    "type": CODES,
}


@dataclass
class Known:
    """What the test knows of one agent, by its own reckoning."""

    over: float = 0.0
    held: bool = False
    muted: bool = False
    status: str = "ready"
    had_call: bool = False

    def on_call(self, now: float) -> bool:
        return now < self.over

    def hang_up(self, now: float) -> None:
        self.over = min(self.over, now)
        self.held = self.muted = False


class Stations(RuleBasedStateMachine):
    """Two agents by hand and one in a campaign, commanded in any order while time goes by."""

    @initialize(strict=st.booleans())
    def begin(self, strict: bool) -> None:
        self.now = 1_800_000_000.0
        self.strict = strict
        result = CallResult.of("ANSWER", ring_seconds=RING, talk_seconds=TALK, acw_seconds=ACW)
        self.sim = Simulator(
            agents=[*HANDS, BUSY],
            clock=lambda: self.now,
            call_results=result,
            one_call_at_a_time=strict,
            # They are of the past, where anything may have been.
            cut_calls=False,
        ).__enter__()
        customers = [{"customer_id": f"c{place}", "tel1": f"57310{place:07}"} for place in range(200)]
        self.sim.add_campaign("40001", records=customers, agents=[BUSY], call_results=result, started=True)
        self.caller = Caller(self.sim)
        self.known = {agent: Known() for agent in HANDS}
        self.rings: Counter[str] = Counter()

    def teardown(self) -> None:
        if hasattr(self, "sim"):
            self.sim.__exit__(None, None, None)

    def asked(self, api: str, agent: str, expected: bool, **parameters: str) -> Known:
        """Send a command, assert that it is done or refused as expected, and return what is known of the agent."""
        got = self.caller.command(api, agent, **parameters)
        assert (got.status == 200) == expected, (api, got.json)
        return self.known[agent]

    def logged_in(self, agent: str) -> bool:
        return self.known[agent].status != "logout"

    def talks(self, agent: str) -> bool:
        return self.logged_in(agent) and self.known[agent].on_call(self.now)

    @rule(seconds=st.sampled_from((1.0, 2.5, 7.0, 30.0, 60.0)))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        for known in self.known.values():
            if not known.on_call(self.now):
                known.hang_up(self.now)

    @rule(api=st.sampled_from(("dial", "aux_call")), agent=st.sampled_from(HANDS), phone=PHONES)
    def an_agent_rings_a_customer(self, api: str, agent: str, phone: str) -> None:
        may = self.logged_in(agent) and not (self.strict and self.talks(agent))
        known = self.asked(api, agent, may, customer_phone=phone)
        if may:
            self.rings[phone] += 1
            known.hang_up(self.now)
            known.over, known.had_call = self.now + RING + TALK, True

    @rule(agent=st.sampled_from(HANDS), phone=PHONES)
    def an_agent_hands_its_call_on(self, agent: str, phone: str) -> None:
        if may := self.talks(agent):
            self.rings[phone] += 1
        known = self.asked("transfer", agent, may, customer_phone=phone)
        if may:
            known.hang_up(self.now)

    @rule(agent=st.sampled_from(HANDS), api=st.sampled_from(("hang", "hang_type_ready")))
    def an_agent_hangs_up(self, agent: str, api: str) -> None:
        may = self.talks(agent)
        known = self.asked(api, agent, may, **({"cod_act": "101"} if api == "hang_type_ready" else {}))
        if may:
            known.hang_up(self.now)
            known.status = "ready" if api == "hang_type_ready" else known.status

    @rule(agent=st.sampled_from(HANDS))
    def a_call_is_put_on_hold_or_taken_off(self, agent: str) -> None:
        may = self.talks(agent)
        known = self.asked("hold", agent, may)
        known.held ^= may

    @rule(agent=st.sampled_from(HANDS))
    def a_microphone_is_muted_or_opened(self, agent: str) -> None:
        may = self.talks(agent)
        known = self.asked("mute", agent, may)
        known.muted ^= may

    @rule(agent=st.sampled_from(HANDS), status=st.sampled_from(("ready", "2", "logout")))
    def an_agents_status_is_changed(self, agent: str, status: str) -> None:
        may = self.logged_in(agent)
        known = self.asked("change_status", agent, may, status=status)
        if may:
            known.status = status
            if status == "logout":
                known.hang_up(self.now)

    @rule(agent=st.sampled_from(HANDS))
    def an_agent_logs_in(self, agent: str) -> None:
        if not self.logged_in(agent):
            self.sim.change_agent(agent, logged_in=True)
            self.known[agent].status = "ready"

    @rule(agent=st.sampled_from(HANDS))
    def a_call_gets_its_dispositions(self, agent: str) -> None:
        may = self.logged_in(agent) and self.known[agent].had_call
        self.asked("type", agent, may, **CODES)
        if may:
            mine = [
                call for call in self.sim.history if call.agent_id == agent and call.type_interaction == "outbound_ma"
            ]
            assert mine[-1].what.cod_act == "101"

    @rule(api=st.sampled_from(sorted(ANY)))
    def the_campaigns_agent_does_anything(self, api: str) -> None:
        got = self.caller.command(api, BUSY, **ANY[api])
        if got.status == 200 and api in ("dial", "aux_call", "transfer"):
            self.rings[ANY[api]["customer_phone"]] += 1

    @invariant()
    def stations_are_as_they_must_be(self) -> None:
        if hasattr(self, "sim"):
            for agent, known in self.known.items():
                station = self.sim.station(agent)
                seen = (station.on_call, station.on_hold, station.muted, station.status)
                assert seen == (known.on_call(self.now), known.held, known.muted, known.status), agent
            assert self.sim.rings == self.rings

    @invariant()
    def nobody_is_on_two_calls(self) -> None:
        """A call by hand may end the wait for a campaign's, but no agent has two at an instant."""
        if hasattr(self, "sim") and self.strict:
            for agent in (*HANDS, BUSY):
                calls = [call for call in self.sim.history if call.agent_id == agent and call.at_station]
                calls.sort(key=lambda call: (call.taken, call.over))
                for one, next_ in pairwise(calls):
                    assert one.over <= next_.taken, (agent, one, next_)


Stations.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStations = Stations.TestCase
