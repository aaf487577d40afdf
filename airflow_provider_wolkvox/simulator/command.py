"""The `simulate` command: a wolkvox server to try things against, until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import math
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from airflow_provider_wolkvox.simulator.operation import DEFAULT_AGENTS, LICENCES, REQUESTS_PER_LICENCE
from airflow_provider_wolkvox.simulator.simulator import Simulator

_TRY_PHONE = "573001234567"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulator until SIGINT or SIGTERM; return 0, or 1 if its address can't be had.

    Wrong arguments end with `SystemExit(2)`, as argparse does.
    """
    given = _arguments().parse_args(argv)
    try:
        simulator = Simulator(
            host=given.host,
            port=given.port,
            tokens=given.token,
            agents=given.agent or DEFAULT_AGENTS,
            daily_quota=given.quota,
            latency=given.latency,
            log=_log if given.verbose else None,
        )
    except ValueError as error:
        print(f"The simulator was not started: {error}.", file=sys.stderr)
        return 1
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with simulator:
            print(_greeting(simulator), flush=True)
            ended.wait()
    except OSError as error:
        print(_unavailable(given.host, given.port, error), file=sys.stderr)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulate",
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
    parser.add_argument("--verbose", action="store_true", help="one line per request on stderr")
    return parser


def _port(text: str) -> int:
    number = _whole(text)
    if number > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 up")
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
        "ring a phone:",
        f"  curl -X POST -H {header} {call}",
        "see who rang:",
        f"  curl {simulator.base_url}/_sim/rings",
    ]
    return "\n".join(lines)


def _unavailable(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        why = f"port {port} on {host} is in use. Choose another with --port (0 takes any free one)"
    else:
        why = f"{host} port {port} can't be listened on: {error.strerror or error}"
    return f"The simulator was not started: {why}."


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
