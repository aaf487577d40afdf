"""The calls of an operation as plain records, from which each report selects. No locks and no clock here."""

from __future__ import annotations

from bisect import bisect_right, insort_right
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_provider_wolkvox.simulator.state.calls import OUT_PRE, CallRecord, CallResult

# GUESS: aux_call wants a predictive call that has been cut (doc); how soon after it comes, nobody says.
_RECENT = timedelta(seconds=60)
_LEAST_LEAD = 20
_CUT_CALL = CallResult.of("ANSWER", ring_seconds=2, talk_seconds=5, acw_seconds=4, hang_up="customer")
"""What became of the predictive call before an aux_call: answered, and cut at once."""

_CAMPAIGN = "32841"
"""The campaign of cut calls that nobody has put into the history."""


class History:
    """Every call, in the order in which it was noted. `shown` is what reports may tell of."""

    def __init__(self) -> None:
        self.shown: list[CallRecord] = []
        self.held: list[CallRecord] = []
        self.holding = False
        self._predictive: dict[tuple[str, str], CallRecord] = {}
        self._of_agent: dict[str, list[CallRecord]] = {}

    @property
    def all(self) -> tuple[CallRecord, ...]:
        """Shown and held calls alike: a snapshot, by the time they began."""
        return tuple(sorted([*self.shown, *self.held], key=lambda record: record.begun))

    def note_past(self, record: CallRecord) -> None:
        """Note a call that no request has made: holding reports back does not concern it."""
        self.shown.append(record)
        self._note_of_agent(record)
        if record.type_interaction == OUT_PRE:
            pair = (record.agent_id, record.phone)
            last = self._predictive.get(pair)
            if last is None or last.begun <= record.begun:
                self._predictive[pair] = record

    def note(self, record: CallRecord) -> None:
        """Note a call that has just been rung."""
        (self.held if self.holding else self.shown).append(record)
        self._note_of_agent(record)

    def tied(self, record: CallRecord, dialled: CallRecord | None) -> CallRecord:
        """Return a call that has just been rung, tied to its predictive call's record, thus to campaign and customer.

        To what a campaign has dialled, or else to a call of the past.
        """
        cut = dialled or self._predictive.get((record.agent_id, record.phone))
        if cut is not None and cut.begun <= record.begun:
            record = replace(record, campaign_id=cut.campaign_id, customer_id=cut.customer_id)
        return record

    def put(self, before: CallRecord, after: CallRecord) -> None:
        """Put a call that went another way in the place of what was noted of it."""
        for calls in (self.shown, self.held, self._of_agent[before.agent_id]):
            for place in range(len(calls) - 1, -1, -1):
                if calls[place] is before:
                    calls[place] = after
                    break
        pair = (before.agent_id, before.phone)
        if self._predictive.get(pair) is before:
            self._predictive[pair] = after

    def last_at_station(self, agent_id: str, now: datetime) -> CallRecord | None:
        """Return the last call that began at an agent's station, `None` if there is none."""
        calls = self._of_agent.get(agent_id, ())
        place = bisect_right(calls, now, key=lambda record: record.begun)
        return calls[place - 1] if place else None

    def _note_of_agent(self, record: CallRecord) -> None:
        if record.agent_id and record.at_station:
            insort_right(self._of_agent.setdefault(record.agent_id, []), record, key=lambda each: each.begun)

    def has_recent_predictive(self, agent_id: str, phone: str, now: datetime) -> bool:
        """Return whether the history holds the predictive call that an aux_call of now would follow."""
        last = self._predictive.get((agent_id, phone))
        return last is not None and now - _RECENT <= last.begun <= now

    def release(self) -> None:
        """Let reports tell of what was held back, and of what comes."""
        self.holding = False
        self.shown += self.held
        self.held.clear()


def cut_call_begun(now: datetime, number: int) -> datetime:
    """Return when the cut call before the `number`-th aux_call began: 20 to 59 s before, now this, now that.

    Late enough that it was over, with the agent's work after it.
    """
    return now - timedelta(seconds=_LEAST_LEAD + number * 7 % 40)


def cut_call(phone: str, agent_id: str, conn_id: str, begun: datetime) -> CallRecord:
    """Return the record of a predictive call that an agent had and that was cut."""
    return CallRecord(
        phone=phone,
        agent_id=agent_id,
        conn_id=conn_id,
        begun=begun,
        what=_CUT_CALL,
        type_interaction=OUT_PRE,
        campaign_id=_CAMPAIGN,
        customer_id=f"1{phone[-9:]:0>9}",
    )
