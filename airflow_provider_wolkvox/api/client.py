"""WolkvoxClient: one method per API of wolkvox."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_provider_wolkvox.api import arguments
from airflow_provider_wolkvox.api.envelope import Envelope
from airflow_provider_wolkvox.api.errors import NotSent, Refused, TokenBusy, WolkvoxError
from airflow_provider_wolkvox.api.records import SERVER_TIME, AuxCall, ReportedCall, TokenInfo, is_sum, rows_of
from airflow_provider_wolkvox.api.transport import Transport
from airflow_provider_wolkvox.api.windows import whole

log = logging.getLogger(__name__)

# GUESSES for finding an auxiliary call in the reports; none of this is documented.
# By how much wolkvox's clock may be behind this machine's.
CLOCK_SKEW = timedelta(seconds=10)
# How long after the request its call may begin to ring.
LONGEST_START = timedelta(minutes=10)
# What an auxiliary call is certainly not: above all not the predictive call that it follows, which has
# the same agent and the same number. It probably is `outbound_ma`, a manual call.
OTHER_INTERACTIONS = frozenset(
    {"out_pre", "inbound", "internal call", "internal call_inb", "internal call_que", "conference", "transfer"}
)


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


def _server_date(at: datetime) -> str:
    return at.astimezone(SERVER_TIME).strftime("%Y%m%d%H%M%S")


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
        answer = self._send(
            "POST",
            "agentbox.php",
            "aux_call",
            parameters,
            before_sending,
            before_resending,
            secrets=(phone, phone.removeprefix(self._dial_prefix)),
        )
        return AuxCall.from_data(answer.data, agent_id=agent, accepted_at=datetime.now(UTC))

    def token_info(self) -> TokenInfo:
        """Return the token's use of the daily quota. Costs one request of that quota [doc].

        :raises NotSent: no byte left this machine
        :raises Refused: wolkvox said no
        :raises OutcomeUnknown: no readable answer came
        """
        return TokenInfo.from_data(self._send("GET", "information.php", "token_info", {}).data)

    def reported_calls(
        self, agent_id: str | int, customer_phone: str | int, since: datetime, until: datetime
    ) -> list[ReportedCall]:
        """Return what wolkvox's reports hold of an agent's calls with a customer, the nearest to `since` first.

        Reads `calls_last_10`, `cdr_1`, `cdr_5` and `agent_2`: a request of the daily quota each. Rows
        appear late: an agent's event only once the agent's state has changed again [doc].

        :param since: the first instant at which the call may have begun, aware
        :param until: the last one, aware
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises WolkvoxError: a report could not be read, and no other one shows a call
        """
        agent, phone = arguments.agent_id(agent_id), arguments.phone(customer_phone)
        if since.tzinfo is None or until.tzinfo is None or until < since:
            raise ValueError("since and until must have a time zone, and until must not be before since")
        reports: tuple[tuple[str, str, dict[str, str] | None], ...] = (
            ("real_time.php", "calls_last_10", None),
            ("reports_manager.php", "cdr_1", {}),
            ("reports_manager.php", "cdr_5", {}),
            ("reports_manager.php", "agent_2", {"agent_id": agent}),
        )
        found: list[ReportedCall] = []
        unread: list[WolkvoxError] = []
        for file, report, parameters in reports:
            try:
                calls = [
                    ReportedCall.from_row(report, row) for row in self._rows(file, report, parameters, since, until)
                ]
            except WolkvoxError as failure:
                # The others may show the call all the same.
                log.warning("A report could not be read: %s", failure)
                unread.append(failure)
                continue
            found += [
                call
                for call in calls
                if call.agent_id == agent
                and arguments.same_number(call.phone, phone, self._dial_prefix)
                and call.at is not None
                and since.replace(microsecond=0) <= call.at <= until
            ]
        if unread and not found:
            raise unread[0]
        return sorted(found, key=lambda call: call.at or since)

    def find_aux_call(self, agent_id: str | int, customer_phone: str | int, sent_at: datetime) -> ReportedCall | None:
        """Look for the call that a request of unknown outcome may have made; None if no report shows it.

        That no report shows a call does not mean that none was made.

        :param sent_at: when the request was handed over, by this machine's clock, aware
        """
        earliest = (sent_at - CLOCK_SKEW).replace(microsecond=0)
        calls = [
            call
            for call in self.reported_calls(agent_id, customer_phone, earliest, sent_at + LONGEST_START)
            if call.type_interaction not in OTHER_INTERACTIONS and call.conn_id and call.began >= earliest
        ]
        # The first from the request on, to the second; one from before it only where there is no other.
        from_request_on = [call for call in calls if call.began >= sent_at.replace(microsecond=0)]
        return min(from_request_on or calls, key=lambda call: abs(call.began - sent_at), default=None)

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

    def _rows(
        self, file: str, report: str, parameters: Mapping[str, str] | None, since: datetime, until: datetime
    ) -> Iterable[dict[str, Any]]:
        """Return a report's rows; `parameters` is None for a real-time report, which knows no dates."""

        def fetch(start: datetime, end: datetime) -> list[dict[str, Any]]:
            dates = {"date_ini": _server_date(start), "date_end": _server_date(end)}
            try:
                answer = self._send("GET", file, report, {**dates, **parameters} if parameters is not None else {})
            except Refused as refused:
                # Not an error: wolkvox's way to say that the window holds no rows [seen].
                if refused.code == "404" and refused.msg.lower().startswith("validate dates"):
                    return []
                raise
            return rows_of(answer.data)

        # The sums at a report's end count for whether a reply is full.
        rows = fetch(since, until) if parameters is None else whole(fetch, since, until)
        return (row for row in rows if not is_sum(row))

    def _send(
        self,
        method: str,
        file: str,
        api: str,
        parameters: Mapping[str, str],
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
        secrets: Sequence[str] = (),
    ) -> Envelope:
        started = time.monotonic()
        for attempt in itertools.count(1):
            try:
                return self._transport.send(method, file, api, parameters, before_sending, secrets)
            except (NotSent, TokenBusy) as failure:
                wait = self._resend.wait_after(attempt)
                over = time.monotonic() - started + wait > self._resend.within
                last = attempt >= self._resend.tries or over or self._transport.stopped
                if last or self._transport.vetoed(failure):
                    raise
                before_resending(failure)
                log.warning(
                    "%s Sending it again in %g s (try %d of %d).",
                    failure,
                    wait,
                    attempt + 1,
                    self._resend.tries,
                )
            self._transport.wait(wait)
        raise AssertionError("unreachable: the loop ends by returning or raising")
