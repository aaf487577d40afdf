"""The browser of our tests and pictures: it asks nothing of the world, and is gone when it should be."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from local_airflow import LOOPBACK, is_alive

pytest.importorskip("selenium")

import browser as module
from browser import INSTALL, Browser, BrowserError
from selenium.common.exceptions import WebDriverException

pytestmark = pytest.mark.browser

# A name and an address; the error tells that neither was looked up or tried, and refused by nobody else.
ELSEWHERE = ("wv0042.wolkvox.com", "127.0.0.2")

KEPT_OPEN = """
import sys
from browser import Browser
with Browser.running() as browser:
    print(browser.driver.service.process.pid, flush=True)
    sys.stdin.read()
"""


class Page(BaseHTTPRequestHandler):
    """The same page at any address."""

    def do_GET(self):
        body = b"<title>seen</title><body><button disabled>Save</button></body>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def page():
    """The port of a server."""
    with ThreadingHTTPServer((LOOPBACK, 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_it_opens_pages_of_this_machine_and_no_others(browser, page):
    browser.open(f"http://{LOOPBACK}:{page}")
    assert browser.driver.title == "seen"

    for host in ELSEWHERE:
        with pytest.raises(WebDriverException, match="ERR_NAME_NOT_RESOLVED"):
            browser.open(f"http://{host}:{page}")


def test_what_is_waited_for_in_vain_is_named_with_what_the_page_shows_instead(browser, page, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    browser.open(f"http://{LOOPBACK}:{page}")

    with pytest.raises(BrowserError, match=r"//button can be pressed\.\n(.|\n)*Save"):
        browser.press("//button")
    with pytest.raises(BrowserError, match=r"//table is to be seen"):
        browser.see("//table")


@pytest.fixture
def short_path():
    """A folder whose name leaves room for the sockets that Chromium makes below it; pytest's own does not."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def test_no_browser_is_left_when_its_owner_is_killed(chromium, short_path):
    environment = {**os.environ, "TMPDIR": str(short_path), "PYTHONPATH": str(Path(module.__file__).parent)}
    command = [sys.executable, "-c", KEPT_OPEN]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        driver = psutil.Process(int(owner.stdout.readline()))
        family = [driver, *driver.children(recursive=True)]
        assert len(family) > 2
        owner.kill()

    deadline = time.monotonic() + 20
    while (left := [process for process in family if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def test_a_machine_without_a_browser_is_told_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BrowserError, match="no chromium, no chromedriver") as told:
        Browser.running().__enter__()

    assert INSTALL in str(told.value)
