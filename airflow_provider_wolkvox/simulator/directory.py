"""What an operation has on record beside its calls: names, dispositions, whom not to call, whom it has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ActivityCode:
    """A disposition that agents choose after a call; `hit` and `rpc` (right party contact) are its flags (doc).

    `group` 1 is for `cod_act` and 2 for `cod_act_2` (doc: there are these two); `None` is in both.
    """

    cod_act: str
    name: str
    hit: bool = False
    rpc: bool = False
    group: int | None = None


@dataclass(frozen=True, slots=True)
class DoNotCall:
    """A phone that must not be called (`outbound`) or not be answered (`inbound`), maybe until `date_delete`."""

    phone_number: str
    type: str = "outbound"
    date_delete: str = ""

    def __post_init__(self) -> None:
        if self.type not in ("inbound", "outbound"):
            raise ValueError(f'type must be "inbound" or "outbound", not {self.type!r}')


@dataclass(frozen=True, slots=True)
class LastContact:
    """When a phone was last reached for a company, by its tax number `nit` (Colombia's Law 2300)."""

    phone_number: str
    last_day: str
    last_channel: str = "call"
    nit: str = ""


DEFAULT_CODES = (
    ActivityCode("101", "PROMISE", hit=True, rpc=True),
    ActivityCode("102", "CALL BACK", rpc=True),
    ActivityCode("201", "THIRD PARTY"),
    ActivityCode("301", "WRONG NUMBER"),
)


DEFAULT_STATES: Mapping[str, str] = {"1": "BREAK", "2": "LUNCH", "3": "TRAINING"}


@dataclass(frozen=True, slots=True)
class Directory:
    """All that an operation has on record. `agent_names` is by agent_id; others are called `AGENT 10001`.

    `agent_states` are the states of the operation's own, their names by their ids.
    """

    agent_names: Mapping[str, str] = field(default_factory=dict)
    activity_codes: tuple[ActivityCode, ...] = DEFAULT_CODES
    do_not_call: tuple[DoNotCall, ...] = ()
    law2300: tuple[LastContact, ...] = ()
    agent_states: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_STATES))

    def agent_name(self, agent_id: str) -> str:
        """Return an agent's name; "-" for nobody's."""
        return self.agent_names.get(agent_id, f"AGENT {agent_id}") if agent_id else "-"

    def description(self, cod_act: str) -> str:
        """Return what a disposition is called; "-" for one that the operation lacks."""
        return next((code.name for code in self.activity_codes if code.cod_act == cod_act), "-")

    def has_code(self, cod_act: str, group: int) -> bool:
        """Return whether the operation has a disposition, in one of the two groups."""
        return any(code.cod_act == cod_act and code.group in (None, group) for code in self.activity_codes)

    @property
    def hits(self) -> frozenset[str]:
        """The dispositions that count as a hit."""
        return frozenset(code.cod_act for code in self.activity_codes if code.hit)
