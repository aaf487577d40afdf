"""Pages of Airflow 3.3's UI, as a person uses them: by the words they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from browser import Browser
from selenium.webdriver.common.by import By

DIALOG = "//*[@role='dialog']"
SECTION = f"{DIALOG}//*[@data-scope='accordion' and @data-part='item-content']"
STANDARD_FIELDS = "Standard Fields"
EXTRA_FIELDS = "Extra Fields"
EXTRA_FIELDS_JSON = "Extra Fields JSON"
# The editor of JSON draws a line once it has loaded itself.
EDITOR_LINE = f"{DIALOG}//*[contains(@class, 'view-line')]"


def saying(words: str, element: str = "button") -> str:
    """Return the place of the elements that say just these words."""
    return f"//{element}[normalize-space()={words!r}]"


@dataclass(frozen=True)
class Field:
    """One field of a form as it is shown."""

    kind: str
    """An input's type (`text`, `password`, `checkbox`), `textarea`, or `spinbutton` for a number."""
    value: str
    placeholder: str
    help: str


class ConnectionForm:
    """The form of Admin, Connections, for a new connection or one that is there.

    It shows one section at a time; what is typed in the others is kept.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        browser.see(DIALOG)

    @classmethod
    def new(cls, browser: Browser, airflow_url: str, conn_id: str, conn_type: str) -> ConnectionForm:
        """Go there from the start page, and begin a connection of a type."""
        browser.open(airflow_url)
        browser.press(saying("Admin"))
        browser.press("//*[@role='menu']" + saying("Connections", "a"))
        browser.press(saying("Add Connection"))
        form = cls(browser)
        browser.write(f"{DIALOG}//input[@name='connection_id']", conn_id)
        chooser = f"{DIALOG}//input[@role='combobox' and not(@disabled)]"
        browser.see(chooser).send_keys(conn_type)
        browser.press(f"{DIALOG}//*[@role='option' and normalize-space()={conn_type!r}]")
        browser.see(DIALOG + saying(STANDARD_FIELDS))
        return form

    @classmethod
    def of(cls, browser: Browser, airflow_url: str, conn_id: str) -> ConnectionForm:
        """Open the form of a connection that is there, on a page freshly loaded."""
        browser.open(f"{airflow_url}/connections")
        browser.press(f"//tr[.//*[normalize-space()={conn_id!r}]]//button[@aria-label='Edit Connection']")
        form = cls(browser)
        browser.see(DIALOG + saying(STANDARD_FIELDS))
        return form

    def open(self, section: str) -> None:
        """Show a section's fields instead of another's."""
        trigger = DIALOG + saying(section)
        if self.browser.see(trigger).get_attribute("aria-expanded") != "true":
            self.browser.press(trigger)
        content = self.browser.see(trigger).get_attribute("aria-controls")
        self.browser.wait_until(
            lambda: [shown.get_attribute("id") for shown in self.browser.visible(SECTION)] == [content],
            f"{section} is what the form shows",
        )

    def fields(self) -> dict[str, Field]:
        """Return the fields of the open sections by their labels, in their order, once there are any."""

        def shown() -> dict[str, Field]:
            rows = self.browser.visible(f"{SECTION}//*[@role='group' and .//label]")
            return {
                row.find_element(By.XPATH, ".//label").text.strip(): Field(
                    # The number's own field is a text to the browser.
                    kind=field.get_attribute("role") or str(field.get_property("type")),
                    value=str(field.get_property("checked" if field.get_property("type") == "checkbox" else "value")),
                    placeholder=field.get_attribute("placeholder") or "",
                    help="".join(text.text for text in row.find_elements(By.XPATH, ".//*[@data-part='helper-text']")),
                )
                for row in rows
                for field in row.find_elements(By.XPATH, ".//input | .//textarea")
            }

        return self.browser.wait_until(shown, "the form shows fields")

    def fill(self, fields: Mapping[str, str | bool]) -> None:
        """Type values into the visible fields with these labels; a switch is set."""
        for label, value in fields.items():
            row = _row(label)
            if isinstance(value, bool):
                self._switch(row, value)
            else:
                self.browser.write(f"{row}//*[self::input or self::textarea]", value)

    def _switch(self, row: str, on: bool) -> None:
        switch = f"{row}//*[@data-scope='switch' and @data-part='root']"
        wanted = "checked" if on else "unchecked"
        if self.browser.see(switch).get_attribute("data-state") != wanted:
            self.browser.press(switch)
        self.browser.wait_until(
            lambda: self.browser.see(switch).get_attribute("data-state") == wanted, f"{switch} is {wanted}"
        )

    def save(self) -> None:
        """Save, and wait until Airflow says that it has."""
        self.browser.press(DIALOG + saying("Save"))
        self.browser.gone(DIALOG)


def _row(label: str) -> str:
    return f"{DIALOG}//*[@role='group' and .//label[normalize-space()={label!r}]]"


def open_task(browser: Browser, airflow_url: str, dag_id: str, run_id: str, task: str) -> None:
    """Open a task's page, beside the grid of its DAG's runs.

    :param task: what follows `/tasks/` in the page's address
    """
    # As Airflow's own links write it; else no tab is shown as the open one.
    browser.open(f"{airflow_url}/dags/{dag_id}/runs/{quote(run_id, safe=':+')}/tasks/{task}")
    browser.see(f"//*[starts-with(@data-testid, 'grid-{run_id}-')]")


def fold_log(browser: Browser, error: str) -> None:
    """Show a log's messages in full, line after line, and an error without its traceback."""
    settings = "//*[@data-testid='log-settings-button']"
    browser.press(settings)
    wrap = "//*[@role='menuitem' and contains(translate(., 'W', 'w'), 'wrap')]"
    # Airflow remembers it, and then offers the opposite.
    browser.press(wrap if browser.see(wrap).text.startswith("Wrap") else settings)
    browser.gone(wrap)
    summary = f"//summary[contains(., {error!r})]"
    browser.press(summary)
    browser.gone(f"{summary}/following-sibling::*")
