"""What all of the client's methods share: sending a request again that did nothing, and reading rows."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from airflow_provider_wolkvox.api import arguments
from airflow_provider_wolkvox.api.envelope import LONGEST_REPLY, USUAL, Envelope, Reading
from airflow_provider_wolkvox.api.errors import NotSent, OutcomeUnknown, TokenBusy
from airflow_provider_wolkvox.api.transport import Transport
from airflow_provider_wolkvox.api.values import Row, is_sum, rows_of
from airflow_provider_wolkvox.api.windows import FULL_REPLY, Window, whole

log = logging.getLogger(__name__)

Record = TypeVar("Record")

AGENT = "agentbox.php"
REPORTS = "reports_manager.php"
REAL_TIME = "real_time.php"
INFORMATION = "information.php"
CAMPAIGN = "campaign.php"


def _holds_no_rows(code: str, msg: str) -> bool:
    # Not an error: wolkvox's way to say that the window holds no rows [seen].
    return code == "404" and msg.lower().startswith("validate dates")


# Half of a shorter window is hardly answered sooner: it is the server that is slow then, not the report that is long.
SHORTEST_HALVED = timedelta(hours=1)

ROWS = Reading(is_answer=_holds_no_rows, is_list=True, longest=LONGEST_REPLY)


@dataclass(frozen=True, slots=True)
class Resend:
    """How often, and for how long, a request is sent again that certainly did nothing.

    Only a request that was not sent, or that wolkvox refused because the token was in use, is ever
    sent again.

    :param tries: requests in all, the first included; default 4
    :param within: seconds from the first try after which no further one starts; default 120, a day at most
    :param first_wait: seconds before the second try, doubled for each one after it; default 1, a day at most
    :raises ValueError: fewer than 1 try, or a length of time that is none
    """

    tries: int = 4
    within: float = 120.0
    first_wait: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.tries, bool) or not isinstance(self.tries, int) or self.tries < 1:
            raise ValueError("tries must be a whole number of at least 1")
        arguments.seconds(self.within, "within")
        arguments.seconds(self.first_wait, "first_wait")

    def wait_after(self, attempt: int) -> float:
        """Return the seconds to wait after try number `attempt`, which counts from 1."""
        return float(self.first_wait * 2 ** (attempt - 1))


USUAL_RESEND = Resend()


class Sender:
    """Sends the requests of a client.

    :param transport: carries one request
    :param resend: when a request that certainly did nothing is sent again
    :param zone: the zone in which reports write times and take dates
    :param report_timeout: seconds for all requests of a report that is asked for in parts because it ran into the time
        limit of one
    """

    def __init__(self, transport: Transport, resend: Resend, zone: ZoneInfo, report_timeout: float) -> None:
        self._transport = transport
        self._resend = resend
        self._report_timeout = report_timeout
        self.zone = zone

    def _send(
        self,
        method: str,
        file: str,
        api: str,
        parameters: Mapping[str, str],
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
        secrets: Sequence[str] = (),
        *,
        body: bytes | None = None,
        reading: Reading = USUAL,
        resend: Resend | None = None,
    ) -> Envelope:
        resend = resend or self._resend
        started = time.monotonic()
        for attempt in itertools.count(1):
            try:
                return self._transport.send(
                    method, file, api, parameters, before_sending, secrets, body=body, reading=reading
                )
            except (NotSent, TokenBusy) as failure:
                wait = resend.wait_after(attempt)
                over = time.monotonic() - started + wait > resend.within
                last = attempt >= resend.tries or over or self._transport.stopped
                if last or failure.is_veto:
                    raise
                before_resending(failure)
                log.warning(
                    "%s Sending it again in %g s (try %d of %d).",
                    failure,
                    wait,
                    attempt + 1,
                    resend.tries,
                )
            self._transport.wait(wait)
        raise AssertionError("unreachable: the loop ends by returning or raising")

    def _rows(
        self,
        file: str,
        api: str,
        parameters: Mapping[str, str],
        since: datetime,
        until: datetime,
        zone: ZoneInfo | None = None,
        asked: list[Window] | None = None,
    ) -> Iterator[Row]:
        """Return a report's rows without its sums, read as they are asked for; bad dates are rejected at once.

        `asked` collects the windows that the report was asked for.
        """
        spent, too_long = 0.0, ""

        def fetch(start: datetime, end: datetime) -> list[Any] | None:
            nonlocal spent, too_long
            if too_long and spent >= self._report_timeout:
                raise OutcomeUnknown(api, f"{too_long}, and its parts took {self._report_timeout:g} s and more")
            if asked is not None:
                asked.append((start, end))
            dates = {"date_ini": f"{start:%Y%m%d%H%M%S}", "date_end": f"{end:%Y%m%d%H%M%S}"}
            began = time.monotonic()
            try:
                data = self._send("GET", file, api, {**parameters, **dates}, reading=ROWS).data
            except OutcomeUnknown as failure:
                if not failure.ran_out_of_time or end - start < SHORTEST_HALVED:
                    raise
                too_long = failure.why
                log.warning("%s took too long from %s to %s: it is asked for in halves.", api, start, end)
                return None
            finally:
                spent += time.monotonic() - began
            # The sums at a report's end count for whether a reply is full.
            return data if isinstance(data, list) else []

        rows = whole(fetch, since, until, zone or self.zone)
        return (row for row in rows if isinstance(row, dict) and not is_sum(row))

    def _records(
        self,
        file: str,
        api: str,
        parameters: Mapping[str, str],
        since: datetime,
        until: datetime,
        record: Callable[[Row, ZoneInfo], Record],
        zone: ZoneInfo | None = None,
    ) -> Iterator[Record]:
        """Return a report's rows as records, read as they are asked for; bad dates are rejected at once."""
        clock = zone or self.zone
        return (record(row, clock) for row in self._rows(file, api, parameters, since, until, clock))

    def _list(
        self,
        file: str,
        api: str,
        parameters: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        reading: Reading = ROWS,
    ) -> list[Row]:
        """Return the rows, without sums, of an API that knows no dates."""
        rows = rows_of(self._send("GET", file, api, parameters or {}, secrets=secrets, reading=reading).data)
        require_whole(api, len(rows))
        return [row for row in rows if not is_sum(row)]


def require_whole(api: str, rows: int) -> None:
    """Require that an answer of an API that knows no dates was not cut.

    :param api: the API
    :param rows: how many rows it answered
    :raises ValueError: rows may be missing
    """
    if rows >= FULL_REPLY:
        raise ValueError(
            f"{api} answered {rows} rows; wolkvox cuts a reply at {FULL_REPLY}, so rows may be missing, and there are "
            "no dates to ask for less at a time. Nothing was returned"
        )
