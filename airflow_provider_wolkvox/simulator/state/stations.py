"""Agents' stations: what they are set to, what was asked of them, and the recalls. No locks and no clock here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from airflow_provider_wolkvox.simulator.state.calls import CallRecord

READY = "ready"
LOGOUT = "logout"
"""The two states that `change_status` knows by a word (doc); all others have an id."""

HOLD = "hold"
MUTE = "mute"
"""What can be on or off during a call; both APIs toggle (doc)."""

BUTTONS = frozenset({"hungup", "disposition", "dial"})
"""What `agent_display` shows and hides (doc, with this spelling)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One request of the agent API that was carried out.

    :param api: its name, such as `hang`
    :param agent_id: the agent whose station did it
    :param conn_id: of the call that the agent was on as it came, or else of the agent's last; empty if there was none
    :param values: its parameters as they came, without agent_id
    :param token: its token, masked to its last four characters
    :param at: when, by the simulator's clock, aware in UTC
    """

    api: str
    agent_id: str
    conn_id: str
    values: Mapping[str, str] = field(repr=False)
    token: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Recall:
    """A customer to be called again.

    :param campaign_id: the campaign that is to do it
    :param customer_id: the customer's id, as it came
    :param phone: the phone, as it came
    :param style: whether the campaign dials by itself, `auto`, or an agent does, `manual` (doc)
    :param name: what the recall is called; may be empty
    :param agent_id: the agent for whom it was asked
    :param due: when, aware
    """

    campaign_id: str
    customer_id: str
    phone: str = field(repr=False)
    style: str
    name: str
    agent_id: str
    due: datetime

    def is_of(self, other: Recall) -> bool:
        """Return whether `other` is for the same customer's phone in the same campaign."""
        return all(getattr(self, name) == getattr(other, name) for name in ("campaign_id", "customer_id", "phone"))

    def fits(self, other: Recall) -> bool:
        """Return whether `other` describes this one; one without a name fits any name (guess)."""
        return self.is_of(other) and self.style == other.style and other.name in ("", self.name)

    def edited(self, wanted: Recall) -> Recall:
        """Return it with the date, the agent and the style of `wanted`, and its name if it has one."""
        return replace(wanted, name=wanted.name or self.name)


@dataclass(frozen=True, slots=True)
class Station:
    """An agent's station: a snapshot.

    :param agent_id: the agent
    :param status: `ready`, `logout`, or the id of a state of the operation's own (`Directory.agent_states`)
    :param on_call: whether the agent is on a call; without `call`, on one that was only said to be (`Agent.on_call`)
    :param call: the call that the agent is on, ringing or talking
    :param on_hold: whether that call is on hold; ends with it
    :param muted: whether the microphone is off; ends with the call
    :param hidden: the buttons that the agent does not see
    """

    agent_id: str
    status: str
    on_call: bool
    call: CallRecord | None
    on_hold: bool
    muted: bool
    hidden: frozenset[str]


class Stations:
    """What each station is set to. GUESS: hold and mute are of one call, and the next begins without."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.recalls: list[Recall] = []
        self._switched_on: dict[tuple[str, str], str] = {}
        self._states: dict[str, tuple[str, datetime]] = {}
        self._hidden: dict[str, frozenset[str]] = {}

    def log_in_anew(self, agent_id: str) -> None:
        """Forget the state and the switches of an agent who has come or gone."""
        self._states.pop(agent_id, None)
        self.switch_off(agent_id)

    # Hold and mute

    def toggle(self, switch: str, agent_id: str, conn_id: str) -> None:
        """Switch something on for one call, or off again."""
        if self.is_on(switch, agent_id, conn_id):
            del self._switched_on[switch, agent_id]
        else:
            self._switched_on[switch, agent_id] = conn_id

    def is_on(self, switch: str, agent_id: str, conn_id: str) -> bool:
        """Return whether something is switched on for this call."""
        return self._switched_on.get((switch, agent_id)) == conn_id

    def switch_off(self, agent_id: str) -> None:
        """Take an agent's call off hold, and the microphone off mute."""
        for switch in (HOLD, MUTE):
            self._switched_on.pop((switch, agent_id), None)

    # States

    def set_state(self, agent_id: str, state: str, since: datetime) -> None:
        """Put an agent into a state of the operation's own, or back to ready."""
        self._states[agent_id] = (state, since)

    def state(self, agent_id: str) -> tuple[str, datetime | None]:
        """Return an agent's state and since when; ready since ever, if nothing was set."""
        return self._states.get(agent_id, (READY, None))

    # Buttons

    def show(self, agent_id: str, button: str, *, shown: bool) -> None:
        """Show a button to an agent, or hide it."""
        others = self.hidden(agent_id) - {button}
        self._hidden[agent_id] = others if shown else others | {button}

    def hidden(self, agent_id: str) -> frozenset[str]:
        """Return the buttons that an agent does not see."""
        return self._hidden.get(agent_id, frozenset())
