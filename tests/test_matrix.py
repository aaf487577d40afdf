"""The matrix of Airflows and Pythons: its table, its constraint files, and what it says of what cannot be run."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

import matrix as module
from matrix import Airflow, Matrix, NoInterpreter, Pair, interpreter, main

OLD = Airflow(version="2.11.2", not_on=("3.13",))
NEW = Airflow(version="3.3.2")
SMALL = Matrix(pythons=("3.11", "3.13"), airflows=(OLD, NEW), corners={"2.11-3.11": ["airflow"]}, as_of={})


@pytest.fixture
def no_interpreters(monkeypatch, tmp_path):
    """A machine whose only Pythons are a shim that runs nothing."""
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_a_pair_that_airflow_does_not_support_is_none():
    assert [str(pair) for pair in SMALL.pairs] == ["2.11-3.11", "3.3-3.11", "3.3-3.13"]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["2.11-3.11", "3.3-3.11", "3.3-3.13"]),
        (["3.3-3.13"], ["3.3-3.13"]),
        (["3.3", "2.11-3.11"], ["2.11-3.11", "3.3-3.11", "3.3-3.13"]),
    ],
)
def test_pairs_are_chosen_by_name_or_by_airflow(names, chosen):
    assert [str(pair) for pair in SMALL.chosen(names)] == chosen


def test_a_name_that_fits_no_pair_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"No such pair: 2\.11-3\.13\. There are 2\.11-3\.11"):
        SMALL.chosen(["2.11-3.13"])


def test_the_table_excludes_the_pythons_that_the_installed_airflow_excludes():
    version = metadata.version("apache-airflow")
    [airflow] = [row for row in Matrix.read().airflows if row.version == version]
    supported = SpecifierSet(metadata.metadata("apache-airflow")["Requires-Python"])
    assert set(airflow.not_on) == {python for python in Matrix.read().pythons if python not in supported}


def test_the_corners_are_pairs():
    matrix = Matrix.read()
    assert {str(pair) for pair in matrix.chosen(matrix.corners)} == set(matrix.corners)
    assert {kind for kinds in matrix.corners.values() for kind in kinds} <= set(module.TESTS)


@pytest.mark.parametrize("airflow", Matrix.read().airflows, ids=lambda airflow: airflow.line)
def test_each_airflow_has_its_constraints_and_they_name_no_address(airflow):
    pins = airflow.constraints.read_text().splitlines()
    assert f"apache-airflow=={airflow.version}" in pins
    assert all("==" in pin and "/" not in pin and not pin.startswith("-") for pin in pins)


def test_an_interpreter_of_pyenv_is_found_though_path_shows_a_shim_only(no_interpreters):
    for patch in ("9", "10"):
        place = no_interpreters / "pyenv" / "versions" / f"3.11.{patch}" / "bin" / "python3.11"
        place.parent.mkdir(parents=True)
        place.symlink_to(sys.executable)
    assert interpreter("3.11") == no_interpreters / "pyenv" / "versions" / "3.11.10" / "bin" / "python3.11"


def test_an_interpreter_that_the_machine_lacks_is_told(no_interpreters):
    with pytest.raises(NoInterpreter, match=r"no python3\.11"):
        interpreter("3.11")


@pytest.mark.parametrize(("options", "status", "word"), [([], 1, "NOT RUN"), (["--skip-missing"], 0, "LEFT OUT")])
def test_a_pair_without_interpreter_fails_the_matrix_unless_it_may_be_left_out(
    no_interpreters, monkeypatch, capsys, options, status, word
):
    monkeypatch.setattr(sys, "argv", ["matrix.py", "run", "3.3-3.11", *options])
    assert main() == status
    assert f"{word}: this machine has no python3.11" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("test", "status", "row"),
    [
        ("assert True", 0, "1       0        0"),
        ("assert False", 1, "0       1        0"),
        ("__import__('pytest').skip('why')", 0, "0       0        1"),
    ],
)
def test_what_pytest_reported_is_in_the_table_and_in_the_exit_status(tmp_path, monkeypatch, capsys, test, status, row):
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {test}\n")
    (tmp_path / "env" / "bin").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    # No link: a virtual environment is found by where its interpreter is called from.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(module, "environment", lambda pair: python)
    monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    monkeypatch.setattr(module, "TESTS", {"unit": ("-p", "no:cacheprovider")})
    # Not the options of the run that this test belongs to.
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")})

    result = module.run({Pair(OLD, "3.11"): ["unit"]}, skip_missing=False, extra=())

    assert result == status
    assert row in capsys.readouterr().out
