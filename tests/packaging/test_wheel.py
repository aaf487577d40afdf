"""The built wheel in a clean environment: what a user has after `pip install`."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import SERVER, TOKEN

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[2]
CONSTRAINTS = CHECKOUT / "constraints" / "airflow-3.3.txt"
DISTRIBUTION = "airflow-provider-wolkvox"
# Those of the example DAGs.
CONNECTIONS = sorted(f"wolkvox_{name}" for name in ("default", "north", "south", "east", "west"))


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, CHECKOUT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


class Installed:
    """A clean environment with the wheel, an Airflow home of its own, and the example DAGs."""

    def __init__(self, place: Path, wheel: Path) -> None:
        self.place = place
        self.bin = place / "venv" / "bin"
        venv.create(place / "venv", with_pip=False)
        # Nothing of this process but what pip and a shell need: no AIRFLOW_*, no PYTHONPATH.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "PYTEST"))
        }
        shutil.copytree(CHECKOUT / "example_dags", place / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        self.environment = {
            **inherited,
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(place / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(place / "dags"),
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(
                    {"conn_type": "wolkvox", "host": SERVER, "password": f"{TOKEN}{conn_id}"}
                )
                for conn_id in CONNECTIONS
            },
        }
        # What pip would compile beforehand, Python compiles when it is needed, and most never is.
        run(
            *(sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--no-compile", "--quiet"),
            *("--constraint", CONSTRAINTS, wheel),
            env=self.environment,
        )

    def run(self, *command: str) -> str:
        """Run a program of the environment, outside of the checkout; return what it printed."""
        done = run(self.bin / command[0], *command[1:], env=self.environment, cwd=self.place)
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Iterator[Installed]:
    place = tmp_path_factory.mktemp("clean")
    yield Installed(place, wheel)
    # Hundreds of megabytes, of which pytest would keep three sessions' worth.
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def migrated(installed) -> Installed:
    installed.run("airflow", "db", "migrate")
    return installed


# What is in the wheel


def test_the_wheel_holds_the_package_and_nothing_else(names):
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"airflow_provider_wolkvox"}
    assert not [name for name in names if "test" in name.rpartition("/")[2].lower() and "pytest_plugin" not in name]


def test_the_wheel_holds_every_file_of_the_package(names):
    package = CHECKOUT / "airflow_provider_wolkvox"
    sources = {
        file.relative_to(CHECKOUT).as_posix()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in names if name.startswith("airflow_provider_wolkvox/")} == sources


def test_the_wheel_says_that_it_is_typed_and_brings_its_licence(names):
    assert "airflow_provider_wolkvox/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_requires_what_it_imports(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(path).decode()
    required = {
        line.removeprefix("Requires-Dist: ").partition(">")[0].strip()
        for line in text.splitlines()
        if line.startswith("Requires-Dist") and "extra ==" not in line
    }
    assert required == {
        "apache-airflow",
        "apache-airflow-providers-common-compat",
        "holidays",
        "pendulum",
        "requests",
    }


# What Airflow makes of it in a clean environment


def test_the_package_is_the_installed_one(installed):
    file = installed.run("python", "-c", "import airflow_provider_wolkvox as p; print(p.__file__)").strip()
    assert Path(file).is_relative_to(installed.place / "venv")


def test_airflow_lists_the_provider(installed):
    providers = json.loads(installed.run("airflow", "providers", "list", "-o", "json"))
    [ours] = [provider for provider in providers if provider["package_name"] == DISTRIBUTION]
    assert ours["version"] == "0.1.0"


def test_airflow_lists_the_hook(installed):
    hooks = json.loads(installed.run("airflow", "providers", "hooks", "-o", "json"))
    [ours] = [hook for hook in hooks if hook["connection_type"] == "wolkvox"]
    assert ours["class"] == "airflow_provider_wolkvox.hooks.wolkvox.WolkvoxHook"
    assert ours["conn_id_attribute_name"] == "wolkvox_conn_id"
    assert ours["package_name"] == DISTRIBUTION


def test_airflow_shows_the_provider(installed):
    [ours] = json.loads(installed.run("airflow", "providers", "get", DISTRIBUTION, "-o", "json"))
    assert ours["Provider"] == DISTRIBUTION


def test_the_example_dags_run_in_the_lane_that_the_command_makes(migrated):
    named = [word for conn_id in CONNECTIONS for word in ("--conn-id", conn_id)]
    made = json.loads(migrated.run("airflow", "wolkvox", "sync-pools", *named, "-o", "json"))
    assert made == [{"connection": conn_id, "pool": conn_id, "done": "created"} for conn_id in CONNECTIONS]

    migrated.run("airflow", "dags", "reserialize")
    # The first line may be a warning of Airflow's own, about graphviz.
    assert migrated.run("airflow", "dags", "list-import-errors", "-o", "json").splitlines()[-1] == "[]"

    findings = json.loads(migrated.run("airflow", "wolkvox", "check", "-o", "json"))
    assert {finding["finding"] for finding in findings} == {"ok"}
    assert {finding["subject"] for finding in findings} >= {
        "connection wolkvox_default",
        "task wolkvox_aux_call.call_one_customer",
        "task wolkvox_aux_call.call_three_customers",
    }


def test_the_simulator_starts_without_anything_but_the_wheel(installed):
    assert "--port" in installed.run("python", "-m", "airflow_provider_wolkvox", "simulate", "--help")


def test_what_is_installed_fits_together(installed):
    run(sys.executable, "-m", "pip", "--python", installed.bin / "python", "check", env=installed.environment)
