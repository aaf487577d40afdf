"""What would be uploaded, and the wheel in a clean environment: what a user has after `pip install`."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from samples import SERVER, TOKEN

from airflow_provider_wolkvox.get_provider_info import get_provider_info

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1200)]

CHECKOUT = Path(__file__).resolve().parents[2]
CONSTRAINTS = CHECKOUT / "constraints" / "airflow-3.3.txt"
DISTRIBUTION = "airflow-provider-wolkvox"
VERSION = "0.1.0"
# Those of the example DAGs.
CONNECTIONS = sorted(f"wolkvox_{name}" for name in ("default", "north", "south", "east", "west", "on_call"))


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with an sdist of the checkout and a wheel that was made of the sdist, as pip makes one."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, CHECKOUT)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    [wheel] = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sdist(built) -> Path:
    [sdist] = built.glob("*.tar.gz")
    return sdist


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory) -> Path:
    """The sdist's folder."""
    place = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    [folder] = place.iterdir()
    return folder


@pytest.fixture(scope="module")
def names(wheel) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(path))


def tracked(*options: str) -> set[str]:
    """The checkout's files, as git knows them."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("only git knows which files there are")
    return set(run("git", "-C", CHECKOUT, "ls-files", "-z", *options).stdout.rstrip("\0").split("\0"))


# Airflow's command line, many commands in one process: starting it takes longer than any of them.
COMMANDS = """
import contextlib, io, json, sys
from airflow.__main__ import main

said = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["airflow", *command]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main()
    said.append(out.getvalue())
print(json.dumps(said))
"""


class Installed:
    """A clean environment with the wheel, an Airflow home of its own, and some DAGs."""

    def __init__(self, place: Path, wheel: Path, dags: Path) -> None:
        self.place = place
        self.bin = place / "venv" / "bin"
        venv.create(place / "venv", with_pip=False)
        # Nothing of this process but what pip and a shell need: no AIRFLOW_*, no PYTHONPATH.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "PYTEST"))
        }
        shutil.copytree(dags, place / "dags")
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

    def airflow(self, *commands: str) -> list[str]:
        """Run commands of Airflow, one after the other; return what each printed."""
        said = self.run("python", "-c", COMMANDS, json.dumps([command.split() for command in commands]))
        return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def installed(wheel, unpacked, tmp_path_factory) -> Iterator[Installed]:
    place = tmp_path_factory.mktemp("clean")
    # The sdist's own example DAGs: what it shows has to work with what it makes.
    yield Installed(place, wheel, unpacked / "example_dags")
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


def test_the_wheel_made_of_the_sdist_holds_the_package_to_the_letter(wheel):
    package = CHECKOUT / "airflow_provider_wolkvox"
    sources = {
        file.relative_to(CHECKOUT).as_posix(): file.read_bytes()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if name.startswith(f"{package.name}/")}
    assert sorted(held) == sorted(sources)
    assert not [name for name in held if held[name] != sources[name]]


def test_the_wheel_says_that_it_is_typed_and_brings_its_licence(names):
    assert "airflow_provider_wolkvox/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


# What is in the sdist


def test_the_sdist_holds_every_file_that_git_knows(unpacked):
    there = {file.relative_to(unpacked).as_posix() for file in unpacked.rglob("*") if file.is_file()}
    assert not sorted(tracked() - there), "[tool.hatch.build.targets.sdist] leaves something out"
    assert not sorted(there - {"PKG-INFO"} - tracked("--cached", "--others", "--exclude-standard"))


# What both say of themselves


def test_what_would_be_uploaded_is_taken(sdist, wheel):
    said = run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel).stdout
    assert said.count("PASSED") == 2


def test_the_sdist_says_of_itself_what_the_wheel_says(unpacked, metadata):
    assert message_from_bytes((unpacked / "PKG-INFO").read_bytes()).items() == metadata.items()


def test_the_metadata_name_licence_framework_and_pythons(metadata):
    assert metadata["Name"] == DISTRIBUTION
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    classifiers = metadata.get_all("Classifier", [])
    assert "Framework :: Apache Airflow :: Provider" in classifiers
    # A licence is said by its expression, and then by no classifier (PEP 639).
    assert not [classifier for classifier in classifiers if classifier.startswith("License ::")]


def test_the_metadata_name_no_address_that_does_not_exist(metadata):
    # There is none yet: neither a repository that everybody can read nor pages of documentation.
    assert not metadata.get_all("Project-URL", [])
    assert not metadata["Home-page"]


def test_the_wheel_requires_what_it_imports(metadata):
    required = {
        line.partition(">")[0].strip() for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line
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


@pytest.fixture(scope="module")
def told(installed) -> Callable[[str], list[dict]]:
    """What Airflow tells of providers, by the command: `told("hooks")` is `airflow providers hooks`."""
    kinds = ("list", f"get {DISTRIBUTION} --full", "hooks", "behaviours", "widgets", "links", "notifications")
    said = installed.airflow(*(f"providers {kind} -o json" for kind in kinds))
    by_kind = {kind.partition(" ")[0]: json.loads(text) for kind, text in zip(kinds, said, strict=True)}
    return by_kind.__getitem__


def test_airflow_lists_the_provider(told):
    [ours] = [provider for provider in told("list") if provider["package_name"] == DISTRIBUTION]
    assert ours["version"] == VERSION


def test_airflow_shows_all_that_the_provider_says_of_itself(told):
    [shown] = told("get")
    info = get_provider_info()
    # Airflow drops the marks of reStructuredText, and the dot.
    info["description"] = info["description"].rstrip(".")
    # It adds an address of its own documentation.
    assert {name: shown[name] for name in info} == as_text(info)


def as_text(value: object) -> object:
    """A structure as Airflow's tables show it: every number and truth value in it as text."""
    if isinstance(value, dict):
        return {name: as_text(each) for name, each in value.items()}
    return [as_text(each) for each in value] if isinstance(value, list) else str(value)


def test_airflow_lists_the_hook(told):
    [ours] = [hook for hook in told("hooks") if hook["connection_type"] == "wolkvox"]
    assert ours["class"] == "airflow_provider_wolkvox.hooks.wolkvox.WolkvoxHook"
    assert ours["conn_id_attribute_name"] == "wolkvox_conn_id"
    assert ours["package_name"] == DISTRIBUTION


def test_airflow_lists_the_forms_own_labels_and_every_extra(told):
    assert {"field_behaviours": "wolkvox"} in told("behaviours")
    widgets = [widget for widget in told("widgets") if widget["package_name"] == DISTRIBUTION]
    [connection_type] = get_provider_info()["connection-types"]
    expected = {f"extra__wolkvox__{name}" for name in connection_type["conn-fields"]}
    assert {widget["connection_parameter_name"] for widget in widgets} == expected


def test_airflow_lists_every_link_and_every_notifier(told):
    info = get_provider_info()
    assert {link["extra_link_class_name"] for link in told("links")} >= {*info.get("extra-links", [])}
    notifiers = {notifier["notification_class_name"] for notifier in told("notifications")}
    assert notifiers >= {*info.get("notifications", [])}
    # Without this, a list that Airflow left empty would hold whatever is asked of it.
    assert told("links")
    assert notifiers


def test_the_example_dags_run_in_the_lane_that_the_command_makes(migrated):
    named = " ".join(f"--conn-id {conn_id}" for conn_id in CONNECTIONS)
    made, _, errors, dags, findings = migrated.airflow(
        f"wolkvox sync-pools {named} -o json",
        "dags reserialize",
        "dags list-import-errors -o json",
        "dags list -o json",
        "wolkvox check -o json",
    )
    assert json.loads(made) == [{"connection": conn_id, "pool": conn_id, "done": "created"} for conn_id in CONNECTIONS]

    assert json.loads(errors) == []
    files = {Path(dag["fileloc"]).name for dag in json.loads(dags)}
    assert files == {file.name for file in (migrated.place / "dags").glob("*.py")}

    findings = json.loads(findings)
    assert {finding["finding"] for finding in findings} == {"ok"}
    assert {finding["subject"] for finding in findings} >= {
        "connection wolkvox_default",
        "task wolkvox_aux_call.call_one_customer",
        "task wolkvox_aux_call.call_three_customers",
    }


def test_an_example_that_cannot_be_parsed_is_told(migrated):
    broken = migrated.place / "dags" / "broken.py"
    broken.write_text("from airflow_provider_wolkvox.operators.aux_call import NoSuchOperator  # a DAG, for Airflow\n")
    try:
        # The command ends with status 1 where there is an error.
        with pytest.raises(AssertionError, match="NoSuchOperator"):
            migrated.airflow("dags reserialize", "dags list-import-errors -o json")
    finally:
        broken.unlink()


def test_the_simulator_starts_without_anything_but_the_wheel(installed):
    assert "--port" in installed.run("python", "-m", "airflow_provider_wolkvox", "simulate", "--help")


def test_what_is_installed_fits_together(installed):
    run(sys.executable, "-m", "pip", "--python", installed.bin / "python", "check", env=installed.environment)
