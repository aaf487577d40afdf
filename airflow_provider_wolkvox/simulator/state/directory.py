"""What an operation has on record beside its calls: names, dispositions, whom not to call, whom it has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CALL_TYPES = ("inbound", "outbound")
"""The kinds of calls that a phone can be kept from (doc)."""

GROUPS: Mapping[int, str] = {1: "cod_act1", 2: "cod_act2"}
"""The groups of dispositions, as reports are asked for them and lists show them (doc)."""


@dataclass(frozen=True, slots=True)
class ActivityCode:
    """A disposition that agents choose after a call.

    :param cod_act: its code
    :param name: what it is called
    :param hit: whether it counts as a hit (doc: there is this flag)
    :param rpc: whether it is a right party contact (doc: likewise)
    :param group: 1 if it is chosen as `cod_act`, 2 if as `cod_act_2` (doc: there are these two), `None` if as either
    """

    cod_act: str
    name: str
    hit: bool = False
    rpc: bool = False
    group: int | None = None


@dataclass(frozen=True, slots=True)
class DoNotCall:
    """A phone on the operation's do-not-call list.

    :param phone_number: the phone, as the list has it
    :param type: `outbound` if it must not be called, `inbound` if it must not be answered (doc)
    :param date_delete: a date, as `get_dnc` shows it: when the number was added, says its description against its name
    :raises ValueError: for another type
    """

    phone_number: str
    type: str = "outbound"
    date_delete: str = ""

    def __post_init__(self) -> None:
        if self.type not in CALL_TYPES:
            raise ValueError(f'type must be "inbound" or "outbound", not {self.type!r}')


@dataclass(frozen=True, slots=True)
class LastContact:
    """When a phone was last blocked for a company, since it had been reached, as Colombia's Law 2300 wants it.

    :param phone_number: the phone, as `law2300_info` is asked for it
    :param last_day: date and time (doc), as `law2300_info` shows it
    :param last_channel: `voice`, the default, `chat` or `whatsapp` (doc)
    :param nit: the company's tax number (doc), not the customer's; an empty text, the default, for any company
    """

    phone_number: str
    last_day: str
    last_channel: str = "voice"
    nit: str = ""


@dataclass(frozen=True, slots=True)
class Skill:
    """What inbound calls are sorted by.

    :param skill_id: its id, digits as a text
    :param name: what it is called
    :param agents: ids of the agents who take its calls; by default all of the operation
    """

    skill_id: str
    name: str
    agents: tuple[str, ...] | None = None


DEFAULT_SKILLS = (Skill("5001", "CUSTOMER SERVICE"),)

DEFAULT_CODES = (
    ActivityCode("101", "PROMISE", hit=True, rpc=True),
    ActivityCode("102", "CALL BACK", rpc=True),
    ActivityCode("201", "THIRD PARTY"),
    ActivityCode("301", "WRONG NUMBER"),
)


DEFAULT_STATES: Mapping[str, str] = {"1": "BREAK", "2": "LUNCH", "3": "TRAINING"}


@dataclass(frozen=True, slots=True)
class Directory:
    """All that an operation has on record.

    :param agent_names: agents' names by their agent_ids; others are called `AGENT 10001` and so on
    :param activity_codes: the dispositions that agents choose from; default a promise, a call back, a third party and
        a wrong number
    :param do_not_call: the do-not-call list; empty by default
    :param law2300: what is kept for Colombia's Law 2300; empty by default
    :param skills: the skills of inbound calls; one by default
    :param agent_states: the states of the operation's own, their names by their ids; default a break, lunch, training
    """

    agent_names: Mapping[str, str] = field(default_factory=dict)
    activity_codes: tuple[ActivityCode, ...] = DEFAULT_CODES
    do_not_call: tuple[DoNotCall, ...] = ()
    law2300: tuple[LastContact, ...] = ()
    skills: tuple[Skill, ...] = DEFAULT_SKILLS
    agent_states: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_STATES))

    def agent_name(self, agent_id: str) -> str:
        """Return the name of the agent `agent_id`; "-" for an empty text, which stands for nobody."""
        return self.agent_names.get(agent_id, f"AGENT {agent_id}") if agent_id else "-"

    def description(self, cod_act: str) -> str:
        """Return what the disposition `cod_act` is called; "-" for one that the operation lacks."""
        return next((code.name for code in self.activity_codes if code.cod_act == cod_act), "-")

    def has_code(self, cod_act: str, group: int) -> bool:
        """Return whether the operation has the disposition `cod_act` in `group`, 1 or 2."""
        return any(code.cod_act == cod_act and code.group in (None, group) for code in self.activity_codes)

    def state_name(self, state: str) -> str:
        """Return the name of an agent's state `state`. GUESS: how `ready` and `logout` are called."""
        return self.agent_states.get(state, state.capitalize())

    def skill_name(self, skill_id: str) -> str:
        """Return what the skill `skill_id` is called; "-" for one that the operation lacks."""
        return next((skill.name for skill in self.skills if skill.skill_id == skill_id), "-")

    @property
    def hits(self) -> frozenset[str]:
        """The dispositions that count as a hit."""
        return frozenset(code.cod_act for code in self.activity_codes if code.hit)
