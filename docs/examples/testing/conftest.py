"""What Airflow needs in tests: a home of its own, your DAG folder, and a database made once."""

from __future__ import annotations

# --8<-- [start:settings]
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

DAGS = Path(__file__).resolve().parents[1] / "dags"
HOME = tempfile.mkdtemp(prefix="airflow-of-tests-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# Airflow reads these while it is imported, so they stand before any test is.
os.environ["AIRFLOW_HOME"] = HOME
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(DAGS)
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{HOME}/airflow.db"
sys.path.append(str(DAGS))


@pytest.fixture(scope="session")
def airflow_database():
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


# --8<-- [end:settings]
