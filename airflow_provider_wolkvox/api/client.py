"""WolkvoxClient: one method per API of wolkvox."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Self

from airflow_provider_wolkvox.api import arguments
from airflow_provider_wolkvox.api.agents import AgentMethods
from airflow_provider_wolkvox.api.campaigns import CampaignMethods
from airflow_provider_wolkvox.api.envelope import LISTED
from airflow_provider_wolkvox.api.errors import WolkvoxError
from airflow_provider_wolkvox.api.reading import ReadingMethods
from airflow_provider_wolkvox.api.records import ReportedCall, TokenInfo
from airflow_provider_wolkvox.api.sending import INFORMATION, REPORTS, USUAL_RESEND, Resend
from airflow_provider_wolkvox.api.transport import Transport

log = logging.getLogger(__name__)

# GUESSES for finding in the reports what a request may have done; none of this is documented.
# By how much wolkvox's clock may be behind this machine's.
CLOCK_SKEW = timedelta(seconds=10)
# How long after the request its call may begin to ring.
LONGEST_START = timedelta(minutes=10)
# What reports call the call that a request made, by the request's API [doc: the vendor's list of interaction types].
# Any other word is another call, even an unknown one: a call of the customer's own, taken for the agent's, would record
# a call as made that never was. GUESS: a call that `aux_call` made is a manual one like any other.
OWN_INTERACTIONS = {"aux_call": "outbound_ma", "dial": "outbound_ma", "transfer": "transfer"}


class _Reached(Exception):
    """The connection stands; there is nothing to send."""


def _hang_up() -> None:
    raise _Reached


class WolkvoxClient(AgentMethods, ReadingMethods, CampaignMethods):
    """Talks to one wolkvox server with one token, one request at a time.

    :param server: the server code, `0042` or `wv0042`: the digits of `https://wv0042.wolkvox.com`
    :param token: made in wolkvox Manager, Configuration, Integrations, Tokens
    :param base_url: another address to send to: a simulator's or a gateway's; default the server's own
    :param dial_prefix: digits that the operation dials before every number; default none
    :param connect_timeout: seconds for name resolution, TCP and TLS together; default 10
    :param total_timeout: seconds for a whole exchange, to the answer's last byte; default 60, which is
        wolkvox's own limit for a request [doc]
    :param report_timeout: seconds for all requests together of a report that is asked for in halves, because a request
        for it ran into `total_timeout`; default 3600. A day of 45,909 rows was seen to take 109 s
    :param resend: when a request that certainly did nothing is sent again; default 4 tries within 120 seconds
    :param reports_timezone: the zone in which wolkvox writes and takes times, an IANA name; default
        `America/Bogota`. GUESS: what was seen of reports fits GMT-5, wherever the customers are; only of `campaign_3`
        does the vendor say so, and that one is read in GMT-5 whatever is given here
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
        report_timeout: float = 3600.0,
        resend: Resend = USUAL_RESEND,
        reports_timezone: str = "America/Bogota",
    ) -> None:
        self.server = arguments.server_code(server)
        # Nothing but None stands for the real wolkvox: a variable that is not set must not ring real customers.
        self.address = f"https://wv{self.server}.wolkvox.com" if base_url is None else arguments.base_url(base_url)
        if arguments.is_unprotected(self.address):
            log.warning("The token travels unencrypted: base_url is plain http:// to another machine.")
        self.dial_prefix = arguments.dial_prefix(dial_prefix)
        transport = Transport(
            self.address,
            arguments.token(token),
            connect_timeout=arguments.seconds(connect_timeout, "connect_timeout"),
            total_timeout=arguments.seconds(total_timeout, "total_timeout"),
        )
        super().__init__(
            transport,
            resend,
            arguments.zone(reports_timezone, "reports_timezone"),
            arguments.seconds(report_timeout, "report_timeout"),
        )

    def token_info(self) -> TokenInfo:
        """Return the token's use of the daily quota. Costs one request of that quota [doc].

        :raises NotSent: no byte left this machine
        :raises Refused: wolkvox said no
        :raises OutcomeUnknown: no readable answer came
        """
        return TokenInfo.from_data(self._send("GET", INFORMATION, "token_info", {}, reading=LISTED).data)

    def reported_calls(
        self, agent_id: str | int, customer_phone: str | int, since: datetime, until: datetime
    ) -> list[ReportedCall]:
        """Return what wolkvox's reports hold of an agent's calls with a customer, the nearest to `since` first.

        Reads `calls_last_10`, `cdr_1`, `cdr_5` and `agent_2`: a request of the daily quota each. Rows
        appear late: an agent's event only once the agent's state has changed again [doc]. In a zone whose
        clock is put back, a row of the hour that it shows twice is taken to be of the first pass.

        :param agent_id: the agent's extension
        :param customer_phone: the customer's number, as for `aux_call`; it is found with the `dial_prefix` or without
        :param since: the first instant at which the call may have begun, aware
        :param until: the last one, aware
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises WolkvoxError: a report could not be read, and no other one shows a call
        """
        agent, phone = arguments.agent_id(agent_id), arguments.phone(customer_phone)
        arguments.instants(since, until)
        # Two datetimes of one zone would be compared by its clock, which is put back once a year.
        since, until = since.astimezone(UTC), until.astimezone(UTC)

        def report(name: str, parameters: dict[str, str]) -> Callable[[], Iterable[ReportedCall]]:
            rows = self._rows(REPORTS, name, parameters, since, until)
            return lambda: [ReportedCall.from_row(name, row, self.zone) for row in rows]

        reports = (self.calls_last_10, report("cdr_1", {}), report("cdr_5", {}), report("agent_2", {"agent_id": agent}))
        found: list[ReportedCall] = []
        unread: list[WolkvoxError] = []
        for read in reports:
            try:
                calls = read()
            except WolkvoxError as failure:
                # The others may show the call all the same.
                log.warning("A report could not be read: %s", failure)
                unread.append(failure)
                continue
            found += [
                call
                for call in calls
                if call.agent_id == agent
                and arguments.same_number(call.phone, phone, self.dial_prefix)
                and call.at is not None
                and since.replace(microsecond=0) <= call.at <= until
            ]
        if unread and not found:
            raise unread[0]
        return sorted(found, key=lambda call: call.at or since)

    def find_call(
        self, agent_id: str | int, customer_phone: str | int, sent_at: datetime, *, made_by: str = "aux_call"
    ) -> ReportedCall | None:
        """Look for the call that a request of unknown outcome may have made; None if no report shows it.

        Only a call that the report names as an agent's own (`outbound_ma`; for a transfer, `transfer`) is returned.
        That no report shows one does not mean that none was made. GUESS: wolkvox's clock is behind this machine's by
        10 seconds at most, and the call begins to ring within 10 minutes of the request.

        :param agent_id: the agent's extension
        :param customer_phone: the number that the request was for, as for `reported_calls`
        :param sent_at: when the request was handed over, by this machine's clock, aware
        :param made_by: the request's API: `aux_call` (default), `dial` or `transfer`
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises WolkvoxError: a report could not be read, and no other one shows the call
        """
        own = OWN_INTERACTIONS[arguments.one_of(made_by, OWN_INTERACTIONS, "made_by")]
        arguments.date(sent_at, "sent_at", self.zone)
        sent_at = sent_at.astimezone(UTC)
        earliest = (sent_at - CLOCK_SKEW).replace(microsecond=0)
        calls = [
            call
            for call in self.reported_calls(agent_id, customer_phone, earliest, sent_at + LONGEST_START)
            # Reports write the same kind of call with blanks and without [doc].
            if "".join(call.type_interaction.split()) == own and call.conn_id and call.began >= earliest
        ]
        # The first from the request on, to the second; one from before it only where there is no other.
        from_request_on = [call for call in calls if call.began >= sent_at.replace(microsecond=0)]
        return min(from_request_on or calls, key=lambda call: abs(call.began - sent_at), default=None)

    def check_reachable(self) -> None:
        """Connect to the server (name, TCP, TLS) and hang up before a byte of a request is sent.

        :raises NotSent: no connection came about; the message says why
        """
        try:
            self._transport.send("GET", INFORMATION, "token_info", {}, before_sending=_hang_up)
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
