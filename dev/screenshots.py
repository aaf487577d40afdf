"""`make screenshots`: the pictures of the documentation, taken from a real Airflow's own pages.

    python dev/screenshots.py [--into docs/images]

Starts a simulator and an Airflow with the example DAG, types the connection into the form, makes its pool, lets the DAG
run twice, the second time with an agent who is logged out and an answer that is lost, and writes what the browser
shows of it. Tokens and phone numbers are the simulator's. Nothing is left running.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from airflow_ui import DIALOG, EXTRA_FIELDS, ConnectionForm, fold_log, open_task
from browser import Browser, BrowserError, require_browser
from demo import CHECKOUT, CONN_ID, DAG_ID, SERVER_SECONDS
from local_airflow import LocalAirflow, LocalAirflowError
from PIL import Image

from airflow_provider_wolkvox.simulator import Simulator

IMAGES = CHECKOUT / "docs" / "images"
EXAMPLE = CHECKOUT / "example_dags" / f"{DAG_ID}.py"

# The example's tasks, and what goes wrong with its second and third mapped call.
PLAIN = "call_one_customer"
MAPPED = "call_three_customers"
REFUSED, LOGGED_OUT_AGENT = 1, "10003"
UNKNOWN, LOST_PHONE = 2, "3005550104"

# Sharp on a screen with more pixels than the page has; a page's few colours need no more than a palette, which
# makes a third of the size.
SCALE = 2.0
COLOURS = 256
MOST_BYTES = 200_000

TOAST = "//*[@data-scope='toast' and @data-part='root']"


def main() -> int:
    """Take the pictures and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=IMAGES, help="the folder; default: docs/images")
    into = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        require_browser()
        with (
            tempfile.TemporaryDirectory(prefix="airflow-screenshots-") as home,
            Simulator(latency=SERVER_SECONDS) as simulator,
            LocalAirflow(Path(home), [EXAMPLE]) as airflow,
            Browser.running() as browser,
        ):
            for name, png in pictures(airflow, simulator, browser):
                (into / name).write_bytes(png)
                print(f"{time.monotonic() - began:5.1f} s  {into / name}: {len(png) / 1000:.0f} kB", flush=True)
    except (BrowserError, LocalAirflowError) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def pictures(airflow: LocalAirflow, simulator: Simulator, browser: Browser) -> Iterator[tuple[str, bytes]]:
    """Let it all happen, and give each picture, by its file's name, when there is something to see."""

    def picture(**part: str) -> bytes:
        browser.gone(TOAST)
        if simulator.token in browser.text():
            raise BrowserError(f"{browser.driver.current_url} shows a token. No picture was taken.")
        return small(browser.picture(**part, scale=SCALE))

    form = ConnectionForm.new(browser, airflow.api_url, CONN_ID, "wolkvox")
    form.fill({"Description": "Callbacks of the sales team", "Server code": "0042", "Token": simulator.token})
    yield "connection.png", picture(of=DIALOG)

    form.open(EXTRA_FIELDS)
    form.fill({"Dial prefix": "9", "Country": "CO", "Time zone": "America/Bogota"})
    yield "connection-extras.png", picture(of=DIALOG)

    # At any hour, to the simulator.
    form.fill({"Dial prefix": "", "Country": "", "Base URL": simulator.base_url})
    form.save()
    airflow.cli("wolkvox", "sync-pools")
    browser.open(f"{airflow.api_url}/pools")
    lane = f"//*[normalize-space()='{CONN_ID} (1 Slots)']/ancestor::*[.//*[normalize-space()='1']][1]"
    yield "pools.png", picture(down_to=lane)

    good, bad = run(airflow), run_into_trouble(airflow, simulator)

    open_task(browser, airflow.api_url, DAG_ID, bad, f"{MAPPED}/mapped")
    browser.wait_until(lambda: len(browser.visible("//tbody/tr")) == 3, "the three mapped calls are listed")
    yield "mapped-calls.png", picture(down_to="//tbody")

    open_task(browser, airflow.api_url, DAG_ID, good, f"{PLAIN}/task-state-store")
    browser.wait_until(lambda: '"reference"' in browser.text(), "the ledger's entry is shown")
    yield "ledger.png", picture(down_to="//tbody")

    for name, map_index in (("call-refused.png", REFUSED), ("call-unknown.png", UNKNOWN)):
        open_task(browser, airflow.api_url, DAG_ID, bad, f"{MAPPED}/mapped/{map_index}")
        fold_log(browser, "AirflowFailException")
        yield name, picture(down_to="//*[@data-testid='virtualized-list']")


def run(airflow: LocalAirflow) -> str:
    """Let the example DAG run, and return the run's id."""
    run_id = airflow.trigger(DAG_ID)
    airflow.wait_for_run(DAG_ID, run_id)
    return run_id


def run_into_trouble(airflow: LocalAirflow, simulator: Simulator) -> str:
    """Let it run while one agent is logged out, and one phone rings but its answer is lost."""
    simulator.change_agent(LOGGED_OUT_AGENT, logged_in=False)
    simulator.fault("drop_after_ringing", phone=LOST_PHONE)
    run_id = run(airflow)
    states = [airflow.task_instance(DAG_ID, run_id, MAPPED, index).state for index in (0, REFUSED, UNKNOWN)]
    if states != ["success", "failed", "failed"]:
        raise LocalAirflowError(f"The calls of {run_id} ended {states}, which is not what the pictures are to show.")
    return run_id


def small(png: bytes) -> bytes:
    """Return the same picture with a palette of its colours.

    :raises BrowserError: if it is still too large for the repository
    """
    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        # By median cut, which leaves the large areas' colours alone.
        few = image.convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(small, "PNG", optimize=True)
    if small.tell() > MOST_BYTES:
        raise BrowserError(f"A picture has {small.tell()} bytes, more than {MOST_BYTES}. It was not written.")
    return small.getvalue()


if __name__ == "__main__":
    sys.exit(main())
