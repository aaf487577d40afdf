"""WolkvoxClient: one method per API of wolkvox."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from airflow_provider_wolkvox.api import arguments
from airflow_provider_wolkvox.api.envelope import Envelope
from airflow_provider_wolkvox.api.errors import NotSent, TokenBusy
from airflow_provider_wolkvox.api.records import AuxCall, TokenInfo
from airflow_provider_wolkvox.api.transport import Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resend:
    """How often, and for how long, a request is sent again that certainly did nothing.

    Only a request that was not sent, or that wolkvox refused because the token was in use, is ever
    sent again.

    :param tries: requests in all, the first included; default 4
    :param within: seconds from the first try after which no further one starts; default 120
    :param first_wait: seconds before the second try, doubled for each one after it; default 1
    """

    tries: int = 4
    within: float = 120.0
    first_wait: float = 1.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError("tries must be at least 1")
        arguments.seconds(self.within, "within")
        arguments.seconds(self.first_wait, "first_wait")

    def wait_after(self, attempt: int) -> float:
        """Return the seconds to wait after try number `attempt`, which counts from 1."""
        return float(self.first_wait * 2 ** (attempt - 1))


class _Reached(Exception):
    """The connection stands; there is nothing to send."""


def _hang_up() -> None:
    raise _Reached


class WolkvoxClient:
    """Talks to one wolkvox server with one token, one request at a time.

    :param server: the server code, `0042` or `wv0042`: the digits of `https://wv0042.wolkvox.com`
    :param token: made in wolkvox Manager, Configuration, Integrations, Tokens
    :param base_url: another address to send to: a simulator's or a gateway's; default the server's own
    :param dial_prefix: digits that the operation dials before every number; default none
    :param connect_timeout: seconds for name resolution, TCP and TLS together; default 10
    :param total_timeout: seconds for a whole exchange, to the answer's last byte; default 60, which is
        wolkvox's own limit for a request [doc]
    :param resend: when a request that certainly did nothing is sent again
    :raises ValueError: an argument cannot be right; nothing was sent

    Example::

        with WolkvoxClient("0042", token) as wolkvox:
            call = wolkvox.aux_call("10001", "300 123 4567")
            print(call.conn_id)

    Threads may share a client: their requests wait for one another, because wolkvox demands that
    a token is used by one request at a time [doc].
    """

    def __init__(
        self,
        server: str,
        token: str,
        *,
        base_url: str | None = None,
        dial_prefix: str = "",
        connect_timeout: float = 10.0,
        total_timeout: float = 60.0,
        resend: Resend = Resend(),
    ) -> None:
        self.server = arguments.server_code(server)
        self.address = arguments.base_url(base_url) if base_url else f"https://wv{self.server}.wolkvox.com"
        self._dial_prefix = arguments.dial_prefix(dial_prefix)
        self._resend = resend
        self._transport = Transport(
            self.address,
            arguments.token(token),
            connect_timeout=arguments.seconds(connect_timeout, "connect_timeout"),
            total_timeout=arguments.seconds(total_timeout, "total_timeout"),
        )

    def aux_call(
        self,
        agent_id: str | int,
        customer_phone: str | int,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> AuxCall:
        """Make an agent ring the customer of a predictive call that has been cut.

        wolkvox rings only for calls that came from a predictive campaign, once that call has been
        cut, while the agent is logged in and has no active call [doc].

        :param agent_id: the agent's extension
        :param customer_phone: 5 to 20 digits; blanks, dashes, dots, brackets and one leading `+` are
            dropped, `dial_prefix` is put before it
        :param before_sending: called in every try once the connection stands, right before the first
            byte is handed over; what it raises ends the call with nothing sent
        :param before_resending: called with what ended a try that certainly did nothing, before the wait
            for the next one
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises NotSent: no byte left this machine in any of the tries; no phone rang
        :raises Refused: wolkvox said no; no phone rang
        :raises OutcomeUnknown: the phone may have rung; it was not sent again
        """
        agent = arguments.agent_id(agent_id)
        phone = self._dial_prefix + arguments.phone(customer_phone)
        parameters = {"agent_id": agent, "customer_phone": phone}
        answer = self._send("POST", "agentbox.php", "aux_call", parameters, before_sending, before_resending)
        return AuxCall.from_data(answer.data, agent_id=agent, accepted_at=datetime.now(UTC))

    def token_info(self) -> TokenInfo:
        """Return the token's use of the daily quota. Costs one request of that quota [doc].

        :raises NotSent: no byte left this machine
        :raises Refused: wolkvox said no
        :raises OutcomeUnknown: no readable answer came
        """
        return TokenInfo.from_data(self._send("GET", "information.php", "token_info", {}).data)

    def check_reachable(self) -> None:
        """Connect to the server (name, TCP, TLS) and hang up before a byte of a request is sent.

        :raises NotSent: no connection came about; the message says why
        """
        try:
            self._transport.send("GET", "information.php", "token_info", {}, before_sending=_hang_up)
        except _Reached:
            return

    def stop(self) -> None:
        """Let no further request be sent; one on its way is not called back. Safe in signal handlers."""
        self._transport.stop()

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(server={self.server!r}, address={self.address!r})"

    def _send(
        self,
        method: str,
        file: str,
        api: str,
        parameters: Mapping[str, str],
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> Envelope:
        started = time.monotonic()
        for attempt in itertools.count(1):
            try:
                return self._transport.send(method, file, api, parameters, before_sending)
            except (NotSent, TokenBusy) as failure:
                wait = self._resend.wait_after(attempt)
                over = time.monotonic() - started + wait > self._resend.within
                if attempt >= self._resend.tries or over or self._transport.stopped.is_set():
                    raise
                before_resending(failure)
                log.warning(
                    "%s Sending it again in %g s (try %d of %d).",
                    failure,
                    wait,
                    attempt + 1,
                    self._resend.tries,
                )
            if self._transport.stopped.wait(wait):
                raise NotSent(api, "it was told to stop while waiting to be sent again")
        raise AssertionError("unreachable: the loop ends by returning or raising")
