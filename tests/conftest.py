"""Airflow's surroundings for every test: settings of its own, a simulator, connections to it, a database.

The simulator and the connection `wolkvox_default` are those of our pytest plugin.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from samples import SERVER, TOKEN

# Airflow reads all this while it is imported, so it has to stand before any test module is.
for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
    # A developer's own Airflow is no business of ours.
    del os.environ[name]
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="wolkvox-tests-"))
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)
(AIRFLOW_HOME / "dags").mkdir()
os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    # What 2.11 would run by default, it does not run on SQLite.
    **({"AIRFLOW__CORE__EXECUTOR": "SequentialExecutor"} if version("apache-airflow").startswith("2.") else {}),
    "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW_HOME / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(AIRFLOW_HOME / "plugins"),
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME / 'airflow.db'}",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """Escape lone surrogates in what a test printed: a process of xdist that reports one ends, and the run with it."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture
def wolkvox_simulator_options() -> dict[str, Any]:
    """A wolkvox whose one token is `TOKEN`."""
    return {"tokens": [TOKEN]}


@pytest.fixture
def simulator(wolkvox_simulator) -> Any:
    """The plugin's simulator, by the short name that most tests call it."""
    return wolkvox_simulator


@pytest.fixture
def set_connection(monkeypatch) -> Callable[..., str]:
    """Give Airflow a connection through an environment variable; what is None is left out."""

    def set_(conn_id: str = "wolkvox_default", **fields) -> str:
        fields = {"conn_type": "wolkvox", "host": SERVER, "password": TOKEN, **fields}
        given = {name: value for name, value in fields.items() if value is not None}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(given))
        return conn_id

    return set_


@pytest.fixture
def quick_resends(monkeypatch) -> None:
    """A client that waits hundredths of seconds, where a real one waits seconds, before it sends again."""
    from airflow_provider_wolkvox.api import Resend

    monkeypatch.setattr(Resend, "wait_after", lambda self, attempt: 0.01)


@pytest.fixture
def everything_said(caplog, capfd) -> Iterator[Callable[[], str]]:
    """All that was logged from here on, at any level and without Airflow's masking, and all that was printed."""
    with contextlib.ExitStack() as undo:
        structured = undo.enter_context(_structured_log())
        for name in (None, "urllib3", "requests", "airflow_provider_wolkvox", "airflow.task"):
            undo.enter_context(caplog.at_level(logging.DEBUG, logger=name))
        yield lambda: "\n".join([*map(str, structured), caplog.text, *capfd.readouterr()])


@contextlib.contextmanager
def _structured_log() -> Iterator[list]:
    """What is logged with structlog, as Airflow does from 3.0."""
    if not find_spec("structlog"):
        yield []
        return
    import structlog
    from structlog.processors import format_exc_info
    from structlog.testing import LogCapture

    caught = LogCapture()
    before = structlog.get_config()
    # Without the masking of Airflow's own configuration: what only that hides is said too loudly.
    structlog.configure(
        processors=[structlog.stdlib.PositionalArgumentsFormatter(), format_exc_info, caught],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    yield caught.entries
    structlog.configure(**before)


@pytest.fixture
def own_sigterm() -> Iterator[None]:
    """Airflow's task runner takes over SIGTERM; pytest has it back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def migrated_database() -> Path:
    """Airflow's database, made once."""
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], cwd=AIRFLOW_HOME, check=True, capture_output=True
    )
    return AIRFLOW_HOME / "airflow.db"
