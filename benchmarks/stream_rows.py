"""What reading a long report costs: seconds, and memory that must not grow with the rows.

    python benchmarks/stream_rows.py [--rows 100000 300000 1000000] [--a-window 50000]

A server in a process of its own writes a `cdr_1` as wolkvox does: 60,000 rows a reply at most, the rest
silently cut. Rows lie evenly in time, so many in every 31 days, and more rows only reach further: the replies
are of one size whatever the number of rows. (Above 60,000 in 31 days each window is read in halves, after a
full reply that is thrown away.) Each number is read by a fresh process, whose peak is taken (`ru_maxrss`).
Goal: the peak of the most rows is at most 1.25 times that of the fewest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

TOKEN = "benchmark-token"
START = datetime(2025, 1, 1)
WINDOW_MS = 31 * 86_400 * 1000
MOST_ROWS = 60_000
GOAL = 1.25

FIELDS = {
    "agent_id": "10001",
    "agent_name": "AGENT NAME",
    "telephone": "57300{number:07d}",
    "conn_id": "10001.{number}.1782402643.44005",
    "date": "{at}",
    "time_seg": "75",
    "cod_act": "SALE",
    "cod_act_2": "",
    "type_interaction": "out_pre",
    "customer_id": "{number}",
    "hang_up": "customer",
    "campaign_id": "32841",
    "skill_id": "-",
}


class Report(BaseHTTPRequestHandler):
    """Answers `cdr_1` by its dates, and anything else with what was asked of it so far."""

    protocol_version = "HTTP/1.1"
    # Pretty-printed with four spaces, as wolkvox does.
    row = "        {{\n" + ",\n".join(f'            "{key}": "{text}"' for key, text in FIELDS.items()) + "\n        }}"
    rows = 0
    ms_a_row = 0
    requests = 0
    largest = 0

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if asked.get("api") != ["cdr_1"]:
            return self.answer(200, json.dumps({"requests": Report.requests, "largest": Report.largest}))
        Report.requests += 1
        first, last = (
            int((datetime.strptime(asked[end][0], "%Y%m%d%H%M%S") - START).total_seconds())
            for end in ("date_ini", "date_end")
        )
        # Both seconds included: from the first row that is not before the one to the first that is after the other.
        after = min(self.first_row(last + 1), self.rows)
        numbers = range(self.first_row(first), after)[:MOST_ROWS]
        Report.largest = max(Report.largest, len(numbers))
        if not numbers:
            return self.answer(404, '{"code": "404", "error": "Not Found", "msg": "Validate dates entered"}')
        found = ",\n".join(self.row.format(number=number, at=self.at(number)) for number in numbers)
        return self.answer(200, f'{{\n    "code": "200",\n    "error": null,\n    "data": [\n{found}\n    ]\n}}')

    @classmethod
    def at(cls, number: int) -> datetime:
        """Return a row's second; rows lie more than a second apart."""
        return START + timedelta(seconds=number * cls.ms_a_row // 1000)

    @classmethod
    def first_row(cls, second: int) -> int:
        """Return the first row that is not before a second after the start."""
        return max(-(-second * 1000 // cls.ms_a_row), 0)

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serve(rows: int, ms_a_row: int) -> None:
    Report.rows, Report.ms_a_row = rows, ms_a_row
    with ThreadingHTTPServer(("127.0.0.1", 0), Report) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


def read(rows: int, ms_a_row: int, address: str) -> None:
    """Read all rows, require that each came once and in order, and print the seconds and the peak."""
    from airflow_provider_wolkvox.api import WolkvoxClient

    until = START + timedelta(milliseconds=rows * ms_a_row)
    with WolkvoxClient("0042", TOKEN, base_url=address) as wolkvox:
        since, until = (end.replace(tzinfo=wolkvox.zone) for end in (START, until))
        started = time.perf_counter()
        found = 0
        for found, call in enumerate(wolkvox.cdr_1(since, until), 1):
            if call.customer_id != str(found - 1):
                raise SystemExit(f"row {found - 1} was followed by {call.customer_id}")
        seconds = time.perf_counter() - started
    if found != rows:
        raise SystemExit(f"{found} rows came, not {rows}")
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "peak": peak}))


@contextlib.contextmanager
def server(rows: int, ms_a_row: int) -> Iterator[str]:
    """Run the server in a process of its own and yield its address."""
    command = [sys.executable, __file__, "--serve", str(rows), str(ms_a_row)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip() if process.stdout else ''}"
        finally:
            process.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000], help="numbers of rows")
    parser.add_argument("--a-window", type=int, default=50_000, help="rows in 31 days (default: %(default)s)")
    # The other two processes of this benchmark.
    parser.add_argument("--serve", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(*given.serve)
    if given.read:
        rows, ms_a_row, address = given.read
        read(int(rows), int(ms_a_row), address)
        return 0

    ms_a_row = WINDOW_MS // given.a_window
    print(f"Python {platform.python_version()}, requests {version('requests')}, urllib3 {version('urllib3')}, ", end="")
    print(f"{os.cpu_count()} cores; {given.a_window:,} rows in 31 days, a fresh process for each number of rows\n")
    print("| rows | days | requests | largest reply, rows | seconds | rows a second | peak memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    peaks = {}
    for rows in sorted(given.rows):
        with server(rows, ms_a_row) as address:
            command = [sys.executable, __file__, "--read", str(rows), str(ms_a_row), address]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            with urlopen(address, timeout=10) as told:
                asked = json.load(told)
        found = json.loads(done.stdout)
        peaks[rows] = found["peak"]
        print(
            f"| {rows:,} | {rows * ms_a_row / 86_400_000:.0f} | {asked['requests']} | {asked['largest']:,} "
            f"| {found['seconds']:.1f} | {rows / found['seconds']:,.0f} | {found['peak'] / 2**20:.1f} |",
            flush=True,
        )
    fewest, most = min(peaks), max(peaks)
    ratio = peaks[most] / peaks[fewest]
    held = ratio <= GOAL
    print(f"\nGoal: peak at {most:,} rows at most {GOAL:g} x that at {fewest:,}: {ratio:.2f}, ", end="")
    print("held." if held else "MISSED.")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
