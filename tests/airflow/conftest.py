"""One real Airflow for all tests that need a scheduler."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dev"))

from local_airflow import LocalAirflow


@pytest.fixture(scope="session")
def local_airflow(tmp_path_factory):
    """A running Airflow with an empty DAG folder; a test brings its DAGs with ``add_dags``."""
    with LocalAirflow(home=tmp_path_factory.mktemp("airflow-home")) as airflow:
        yield airflow
