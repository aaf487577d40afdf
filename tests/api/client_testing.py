"""What the tests of the API client share: a call's words, and what an error or a log let slip."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_wolkvox.api import NotSent, OutcomeUnknown, Resend, WolkvoxError
from airflow_provider_wolkvox.simulator import Simulator

AGENT = "10001"
PHONE = "573001234567"
TOKEN = "7f3c0a9e51d24b68a7c1e0f95d3b862417af"

# Several tries at once: what is sent again is sent at once, what is not would show.
QUICK = Resend(tries=3, within=60.0, first_wait=0.01)
ONCE = Resend(tries=1)

# What an exchange gets to reach the server, in seconds. The first is enough unless the machine is busy.
PATIENCE = (0.25, 2.0, 16.0, 120.0)


def lost_after_sending(attempt: Callable[[float], WolkvoxError]) -> OutcomeUnknown:
    """Return how an exchange ended that was sent and got no whole answer within its time.

    What a busy machine did not even send within that time says nothing of an answer, so the attempt is repeated, with
    more time. An exchange that does not end with its time never returns: the tests' own limit tells of it.

    :param attempt: makes a server, sends one request within the given seconds, and returns how it failed
    """
    for seconds in PATIENCE:
        failure = attempt(seconds)
        if type(failure) is not NotSent:
            break
    assert type(failure) is OutcomeUnknown, str(failure)
    return failure


def failure_of(call: Callable[[], object]) -> WolkvoxError:
    """Return how a call fails."""
    with pytest.raises(WolkvoxError) as caught:
        call()
    return caught.value


def requests_seen(sim: Simulator) -> int:
    """Count every request that reached the server, read or not, with whatever token."""
    return sum(sim.stats(token).requests for token in (sim.token, "unknown", "none")) + sim.drops_before_reading


def chained(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and everything that travels along with it."""
    while error is not None:
        yield error
        yield from chained(error.__cause__)
        error = error.__context__


def everything_said(error: BaseException) -> str:
    """Return all texts that an exception can show anywhere, those of its companions included."""
    said = traceback.format_exception(error)
    for one in chained(error):
        said += [str(one), repr(one), repr(one.args), repr(vars(one))]
    return "\n".join(said)


def everything_logged(records: list[logging.LogRecord]) -> str:
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    return "\n".join(f"{formatter.format(record)} {record.args!r}" for record in records)
