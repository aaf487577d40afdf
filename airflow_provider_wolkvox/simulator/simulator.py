"""The simulator as programs use it."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from airflow_provider_wolkvox.simulator.apis import ConnIds
from airflow_provider_wolkvox.simulator.faults import Fault, FaultKind, Faults
from airflow_provider_wolkvox.simulator.operation import (
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
from airflow_provider_wolkvox.simulator.replies import Envelope, UndocumentedReplies
from airflow_provider_wolkvox.simulator.server import Server, Settings


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
    :param clock: returns Unix seconds, for conn_ids, calls' times and the quota's day.
    :param log: gets one line per request, token hidden and phone masked.
    :raises ValueError: for a negative latency, an empty or repeated token, an unknown reply name.
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
        log: Callable[[str], None] | None = None,
    ) -> None:
        if tokens is None:
            tokens = [Token(f"demo-{secrets.token_hex(8)}", description="demo")]
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
        )
        self._faults = Faults()
        self._settings = Settings()
        self._host = host
        self._port = port
        self._log = log
        self._server: Server | None = None
        self.latency = latency
        self.conn_ids = ConnIds(conn_ids)

    # Starting and stopping

    def start(self) -> Simulator:
        """Listen. `OSError` if the address can't be had, `RuntimeError` if it is running already."""
        if self._server is not None:
            raise RuntimeError("the simulator is running already")
        self._server = Server(
            self._operation, self._faults, self._settings, host=self._host, port=self._port, log=self._log
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

    # What happened

    @property
    def rings(self) -> Counter[str]:
        """How often each phone rang, by the number exactly as received: a snapshot, 0 for all others."""
        return self._operation.rings

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every ring in order: a snapshot."""
        return self._operation.calls

    def stats(self, token: str | None = None) -> TokenStats:
        """Return what was seen of a token, by default of the first.

        `"unknown"` stands for all tokens that are none of the operation's, `"none"` for requests without one.
        """
        return self._operation.stats(self.token if token is None else token)

    @property
    def drops_before_reading(self) -> int:
        """Requests dropped unread, which no token's stats can hold."""
        return self._operation.drops_before_reading

    def wait_for(self, condition: Callable[[Simulator], object], timeout: float = 5.0) -> bool:
        """Wait at most `timeout` seconds until a condition on this simulator holds; return whether it does."""
        return self._operation.wait_for(lambda: bool(condition(self)), timeout)

    def reset(self) -> None:
        """Forget rings, calls, stats and used quota, and clear the faults. Agents and replies stay."""
        self._faults.clear()
        self._operation.reset()

    # What to change

    @property
    def latency(self) -> float:
        """Server time of every request to wolkvox, in seconds."""
        return self._settings.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"latency is in seconds from 0 up, not {seconds}")
        self._settings.latency = seconds

    @property
    def conn_ids(self) -> ConnIds:
        """How accepted calls tell their conn_id."""
        return self._settings.conn_ids

    @conn_ids.setter
    def conn_ids(self, manner: ConnIds) -> None:
        self._settings.conn_ids = manner

    @property
    def maintenance(self) -> bool:
        """Whether the APIs are switched off, as during the server's backups (doc); the text is a guess."""
        return self._operation.maintenance

    @maintenance.setter
    def maintenance(self, off: bool) -> None:
        self._operation.maintenance = off

    def set_reply(self, name: str, envelope: Envelope) -> None:
        """Change one undocumented reply; `ValueError` names those there are."""
        with self._operation.lock:
            self._operation.replies = self._operation.replies.changed({name: envelope})

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The agents as they are now."""
        return self._operation.agents

    def add_agent(
        self, agent_id: str, *, logged_in: bool = True, has_cut_call: bool = True, on_call: bool = False
    ) -> Agent:
        """Add an agent, or put one in exactly this state."""
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
        """Change what is given of an agent's state, and leave the rest."""
        return self._operation.change_agent(agent_id, logged_in=logged_in, has_cut_call=has_cut_call, on_call=on_call)

    def remove_agent(self, agent_id: str) -> None:
        """Take an agent away; `KeyError` if there is none."""
        self._operation.remove_agent(agent_id)

    # What to let go wrong

    def fault(self, kind: FaultKind | str, *, times: int | None = 1, after: int = 0, **options: object) -> Fault:
        """Arm a fault: after letting `after` matching requests pass, it hits the next `times` (`None`: all).

        Filters are `api`, `token`, `agent_id` and `phone`; what else a kind takes is in `faults.OPTIONS`.
        `FaultError` (a `ValueError`) for anything that can't be.
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
