"""The `simulate` command: a wolkvox server to try things against, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from airflow_provider_wolkvox.simulator.simulator import Simulator
from airflow_provider_wolkvox.simulator.state.clock import CatchingUpClock
from airflow_provider_wolkvox.simulator.state.directory import Directory, DoNotCall, LastContact
from airflow_provider_wolkvox.simulator.state.faults import LONGEST_WAIT
from airflow_provider_wolkvox.simulator.state.operation import DEFAULT_AGENTS, LICENCES, REQUESTS_PER_LICENCE

_TRY_PHONE = "573001234567"
_CUSTOMERS = 40
_MOST_DIGITS = 18
_HOUR = 3600.0
_ENDINGS = (signal.SIGINT, signal.SIGTERM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulator until SIGINT or SIGTERM; return 0, or 1 with the reason on stderr if it can't be started.

    :param argv: the command's arguments; default those of the process. `--help` tells them.
    :raises SystemExit: for wrong arguments, with status 2, and after `--help`
    """
    given = _arguments().parse_args(argv)
    try:
        simulator = Simulator(
            host=given.host,
            port=given.port,
            tokens=given.token,
            agents=given.agent or DEFAULT_AGENTS,
            daily_quota=given.quota,
            directory=Directory(
                do_not_call=tuple(DoNotCall(phone) for phone in given.do_not_call),
                law2300=tuple(LastContact(phone, f"{datetime.now():%Y-%m-%d %H:%M:%S}") for phone in given.law2300),
            ),
            latency=given.latency,
            # A campaign of the past hour is over within seconds, and what is tried afterwards is of now.
            clock=CatchingUpClock(behind=_HOUR) if given.campaign else time.time,
            log=_log if given.verbose else None,
        )
        for campaign_id in given.campaign:
            simulator.add_campaign(campaign_id, records=_customers(), seed=int(campaign_id), started=True)
    except ValueError as error:
        print(f"The simulator was not started: {error}.", file=sys.stderr)
        return 1
    # Waited for rather than handled, in no thread: so none can arrive at a moment in which it would be lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        with simulator:
            print(_greeting(simulator), flush=True)
            signal.sigwait(_ENDINGS)
    except OSError as error:
        print(_unavailable(given.host, given.port, error), file=sys.stderr)
        return 1
    except RuntimeError as error:
        print(f"The simulator was not started: {error}.", file=sys.stderr)
        return 1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_wolkvox simulate",
        description="A wolkvox server for this machine, with phones that count their rings. Ctrl-C ends it.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8099, help="0 takes any free one (default: %(default)s)")
    parser.add_argument("--token", action="append", help="a token; repeatable (default: one made at random)")
    parser.add_argument(
        "--agent", action="append", help=f"an agent id; repeatable (default: {' '.join(DEFAULT_AGENTS)})"
    )
    parser.add_argument(
        "--latency", type=_seconds, default=0.0, help="server time of each request, in seconds (default: 0)"
    )
    parser.add_argument(
        "--quota",
        type=_whole,
        default=LICENCES * REQUESTS_PER_LICENCE,
        help="counted requests a day, for all tokens together (default: %(default)s)",
    )
    parser.add_argument(
        "--campaign",
        action="append",
        type=_campaign_id,
        default=[],
        help=f"id of a campaign that has dialled {_CUSTOMERS} customers within the past hour; repeatable",
    )
    parser.add_argument(
        "--do-not-call",
        action="append",
        default=[],
        metavar="PHONE",
        help="a phone on the do-not-call list; repeatable",
    )
    parser.add_argument(
        "--law2300",
        action="append",
        default=[],
        metavar="PHONE",
        help="a phone that Colombia's Law 2300 has blocked for today; repeatable",
    )
    parser.add_argument("--verbose", action="store_true", help="one line per request on stderr")
    return parser


def _port(text: str) -> int:
    number = _whole(text)
    if number > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def _campaign_id(text: str) -> str:
    _whole(text)
    return text


def _customers() -> list[dict[str, str]]:
    return [
        {
            "customer_id": str(1_000_000 + number),
            "customer_name": f"CUSTOMER {number}",
            "tel1": f"57300{1_000_000 + number}",
        }
        for number in range(1, _CUSTOMERS + 1)
    ]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {LONGEST_WAIT}")
    return seconds


def _greeting(simulator: Simulator) -> str:
    agent = simulator.agents[0].agent_id
    header = shlex.quote(f"wolkvox-token: {simulator.token}")
    query = f"api=aux_call&agent_id={agent}&customer_phone={_TRY_PHONE}"
    call = shlex.quote(f"{simulator.base_url}/api/v2/agentbox.php?{query}")
    lines = [
        f"wolkvox simulator at {simulator.base_url}",
        *(f"token: {token}" for token in simulator.tokens),
        f"agents: {' '.join(agent.agent_id for agent in simulator.agents)}",
        *_about_campaigns(simulator, header),
        "ring a phone:",
        f"  curl -X POST -H {header} {call}",
        "see who rang:",
        f"  curl {simulator.base_url}/_sim/rings",
    ]
    return "\n".join(lines)


def _about_campaigns(simulator: Simulator, header: str) -> list[str]:
    if not simulator.campaigns:
        return []
    address = shlex.quote(f"{simulator.base_url}/api/v2/real_time.php?api=campaigns")
    return [
        f"campaigns: {' '.join(simulator.campaigns)}",
        "see how they go:",
        f"  curl -H {header} {address}",
        "see whom they dialled:",
        f"  curl {simulator.base_url}/_sim/campaigns",
    ]


def _unavailable(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        why = f"port {port} on {host} is in use. Choose another with --port (0 takes any free one)"
    else:
        why = f"{host} port {port} can't be listened on: {error.strerror or error}"
    return f"The simulator was not started: {why}."


def _log(line: str) -> None:
    # Whoever read it may be gone; the simulator goes on.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
