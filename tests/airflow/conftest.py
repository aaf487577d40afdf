"""One real Airflow for all tests that need a scheduler."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dev"))

from chaos import quick_settings
from local_airflow import installed

# Nobody waits five minutes for a test: what the author of a DAG gives to one sensor, a cluster policy gives to all.
IMPATIENT = """
def task_policy(task):
    if hasattr(task, "poke_interval"):
        task.poke_interval = min(task.poke_interval, 2.0)
"""


@pytest.fixture(scope="session")
def local_airflow(tmp_path_factory):
    """A running Airflow with an empty DAG folder, quick to react; a test brings its DAGs with ``add_dags``."""
    home = tmp_path_factory.mktemp("airflow-home")
    settings = home / "config" / "airflow_local_settings.py"
    settings.parent.mkdir()
    settings.write_text(IMPATIENT)
    with installed()(home=home, env=quick_settings(home)) as airflow:
        yield airflow


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """The ledger in SQL that the test's tasks use, as a person sees it."""
    from airflow_provider_wolkvox.ledger.configuration import ledger_at

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID", url)
    with closing(ledger_at(url)) as ledger:
        ledger.init()
        yield ledger


@pytest.fixture(scope="session")
def chromium():
    """Skip the test where there is none."""
    from browser import INSTALL, missing_commands

    if missing := missing_commands():
        pytest.skip(f"this machine has no {', no '.join(missing)}: as root, {INSTALL}")


@pytest.fixture(scope="session")
def browser(chromium):
    """One browser window for all tests."""
    # Not above: the tests that need no browser run where selenium is missing.
    from browser import Browser

    with Browser.running() as browser:
        yield browser
