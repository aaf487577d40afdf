"""A headless Chromium for as long as a ``with`` block lasts, from Debian's packages.

    require_browser()
    with Browser.running() as browser:
        browser.open(airflow.api_url + "/pools")
        browser.see("//*[text()='default_pool']")

Every look waits until what it looks for is there. The browser reaches loopback addresses and nothing else, keeps its
files in a temporary directory, and is gone when the block is left, or when our process is. Nothing is installed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from local_airflow import LOOPBACK, MARK, end_processes, warden
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

T = TypeVar("T")

INSTALL = "apt-get install --yes --no-install-recommends chromium chromium-driver"
COMMANDS = ("chromium", "chromedriver")

# A page of Airflow is there within two seconds; a machine with more to do takes longer.
PATIENCE_SECONDS = 30.0
# So wide that no tab of a task is wrapped, and so high that no page has to be scrolled.
WINDOW = "1440,1600"
# Below what a picture goes down to.
MARGIN = 16

# What Chromium does by itself it does not do here; and no page gets anything from outside this machine.
OPTIONS = (
    "--headless=new",
    # Its sandbox refuses to run as root, and needs what containers do not give. Only our own pages are opened.
    "--no-sandbox",
    "--disable-gpu",
    # Containers give /dev/shm 64 MB only.
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-proxy-server",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOOPBACK}",
    "--lang=en-US",
    "--hide-scrollbars",
    f"--window-size={WINDOW}",
)

# A click or a picture half way through an animation is of no use.
STAND_STILL = """
new MutationObserver((_, observer) => {
  if (!document.head) return;
  observer.disconnect();
  const style = document.createElement("style");
  style.textContent = "*, *::before, *::after { animation: none !important; transition: none !important; }";
  document.head.append(style);
}).observe(document, { childList: true, subtree: true });
"""


class BrowserError(RuntimeError):
    """The browser is missing, or a page does not show what it should; the message says which."""


def missing_commands() -> list[str]:
    """Return which commands this machine lacks."""
    return [name for name in COMMANDS if shutil.which(name) is None]


def require_browser() -> None:
    """Say what is missing and how to get it.

    :raises BrowserError: if anything is
    """
    if missing := missing_commands():
        raise BrowserError(
            f"This machine has no {', no '.join(missing)}. Nothing was started. "
            f"On Debian and Ubuntu, as root: {INSTALL}"
        )


class Browser:
    """One window. Places on a page are XPath expressions."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Browser]:
        """Start a browser that knows nothing of earlier ones, and end it when the block is left.

        :raises BrowserError: if Chromium or its driver is missing
        """
        require_browser()
        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for option in OPTIONS:
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as home:
            folder = Path(home).resolve()
            options.add_argument(f"--user-data-dir={folder / 'profile'}")
            # Named, so that selenium looks for no driver, nor fetches one. Marked, so that the warden finds the
            # browser should we be killed; and its files go nowhere but into the folder.
            service = Service(
                executable_path=str(shutil.which("chromedriver")),
                env={**os.environ, MARK: str(folder), "TMPDIR": str(folder), "HOME": str(folder), "TZ": "UTC"},
            )
            with warden(folder), contextlib.ExitStack() as undo:
                undo.callback(end_processes, folder)
                driver = Chrome(options=options, service=service)
                undo.callback(driver.quit)
                driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": STAND_STILL})
                yield cls(driver)

    # Looks

    def wait_until(self, predicate: Callable[[], T | Literal[False] | None], what: str) -> T:
        """Poll until ``predicate()`` is true, and return what it returned.

        :raises BrowserError: when it does not come true; the message holds what the page shows instead
        """

        def look(_: Chrome) -> T | Literal[False]:
            try:
                return predicate() or False
            except StaleElementReferenceException:
                # React has drawn that part of the page again meanwhile.
                return False

        try:
            return WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.05).until(look)
        except TimeoutException:
            raise BrowserError(
                f"Waited {PATIENCE_SECONDS:g} s in vain until {what}.\n"
                f"{self.driver.current_url} shows instead:\n{self.text()}"
            ) from None

    def open(self, url: str) -> None:
        """Open a page; what it shows comes later."""
        self.driver.get(url)

    def see(self, place: str) -> WebElement:
        """Return the first visible element there, waiting for it."""
        return self.wait_until(lambda: next(iter(self.visible(place)), None), f"{place} is to be seen")

    def visible(self, place: str) -> list[WebElement]:
        """Return the visible elements there as they are now."""
        return [element for element in self.driver.find_elements(By.XPATH, place) if element.is_displayed()]

    def gone(self, place: str) -> None:
        """Wait until nothing is to be seen there."""
        self.wait_until(lambda: not self.visible(place), f"{place} is gone")

    def press(self, place: str) -> None:
        """Click there once it can be clicked: seen, enabled, and with nothing before it."""

        def clicked() -> bool:
            for element in self.visible(place):
                if element.is_enabled():
                    try:
                        element.click()
                    except WebDriverException as covered:
                        if "click intercepted" not in str(covered) and "interactable" not in str(covered):
                            raise
                        return False
                    return True
            return False

        self.wait_until(clicked, f"{place} can be pressed")

    def write(self, place: str, text: str) -> None:
        """Type a text over whatever stands in a field, and wait until it stands there."""
        field = self.see(place)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text or Keys.DELETE)
        self.wait_until(lambda: field.get_property("value") == text, f"{place} holds what was typed")

    def text(self) -> str:
        """What the page shows as text."""
        return str(self.driver.execute_script("return document.body ? document.body.innerText : ''"))

    def everything(self) -> str:
        """All that the page holds, shown or not: its elements, and what stands in its fields."""
        return str(
            self.driver.execute_script(
                "return [document.documentElement.outerHTML, "
                "...[...document.querySelectorAll('input, textarea, select')].map(field => field.value)].join('\\n')"
            )
        )

    def picture(self, *, of: str | None = None, down_to: str | None = None, scale: float = 1.0) -> bytes:
        """Return a PNG of the window.

        :param of: only this element
        :param down_to: only from the window's top to a little below this element
        :param scale: how many pixels of the picture stand for one of the page's
        """
        # A mouse over a button colours it, and a caret is there or not.
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 0, "y": 0})
        self.driver.execute_script("document.activeElement.blur()")
        clip: dict[str, float] = self.see(of or "//body").rect
        if down_to:
            end = self.see(down_to).rect
            clip = {**clip, "height": end["y"] + end["height"] + MARGIN}
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": {**clip, "scale": scale}})
        return base64.b64decode(taken["data"])

    # The network

    def asked(self) -> list[str]:
        """The addresses that have been asked for since the last look at the network; the browser's own left out."""
        return [
            event["params"]["request"]["url"]
            for event in self._events("Network.requestWillBeSent")
            if urlsplit(event["params"]["request"]["url"]).scheme in ("http", "https")
        ]

    def answers(self) -> dict[str, str]:
        """Address to body of what the page now open was answered since the last look at the network, scripts left out.

        A body that a newer page has put out of the browser's memory is left out too.
        """
        found = {}
        for event in self._events("Network.responseReceived"):
            if event["params"]["type"] not in ("Document", "Fetch", "XHR"):
                continue
            with contextlib.suppress(WebDriverException):
                body = self.driver.execute_cdp_cmd(
                    "Network.getResponseBody", {"requestId": event["params"]["requestId"]}
                )
                found[event["params"]["response"]["url"]] = body["body"]
        return found

    def _events(self, method: str) -> list[Mapping[str, Any]]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [event for event in events if event["method"] == method]
