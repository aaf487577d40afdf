"""One real Airflow for all tests that need a scheduler."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dev"))

from chaos import quick_settings
from local_airflow import LocalAirflow


@pytest.fixture(scope="session")
def local_airflow(tmp_path_factory):
    """A running Airflow with an empty DAG folder, quick to react; a test brings its DAGs with ``add_dags``."""
    home = tmp_path_factory.mktemp("airflow-home")
    with LocalAirflow(home=home, env=quick_settings(home)) as airflow:
        yield airflow
