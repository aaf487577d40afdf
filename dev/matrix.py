"""The tests on every Airflow and Python of pyproject.toml's `[tool.wolkvox.matrix]`.

    python dev/matrix.py run [--corners] [--skip-missing] [--unit-only] [2.11-3.12 3.3 ...]
    python dev/matrix.py constraints [--upgrade] [2.11 ...]

`run` takes pairs such as `2.11-3.12`, or an Airflow alone for all of its Pythons; nothing named is everything.
Each pair has a virtual environment of its own in `.matrix/`, made anew when pyproject.toml or its constraint file
changes. A pair whose interpreter this machine lacks counts as failed unless `--skip-missing` says that it may be
left out, and the table says so then. The exit status is 1 if anything failed or could not be run.

`constraints` makes the files of `constraints/` anew: of what they pin, it keeps what still fits, or with
`--upgrade` nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

CHECKOUT = Path(__file__).resolve().parents[1]
PYPROJECT = CHECKOUT / "pyproject.toml"
ENVIRONMENTS = CHECKOUT / ".matrix"
READY = "ready"


@dataclass(frozen=True)
class Airflow:
    """One release of Airflow; the fields are those of its row in pyproject.toml."""

    version: str
    as_of: str | None = None
    not_on: tuple[str, ...] = ()
    scheduler: bool = False
    extras: tuple[str, ...] = ("test",)

    @property
    def line(self) -> str:
        """Its line of releases: `2.11`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def constraints(self) -> Path:
        """The file that pins what it is tested with."""
        return CHECKOUT / "constraints" / f"airflow-{self.line}.txt"


@dataclass(frozen=True)
class Pair:
    """One Airflow on one Python."""

    airflow: Airflow
    python: str

    def __str__(self) -> str:
        return f"{self.airflow.line}-{self.python}"

    @property
    def tests(self) -> list[str]:
        """Which of `TESTS` the whole matrix runs there."""
        return ["unit", "scheduler"] if self.airflow.scheduler else ["unit"]


@dataclass(frozen=True)
class Matrix:
    """The whole table.

    :param corners: the pairs that CI runs, and which of `TESTS` it runs there
    :param as_of: packages that are needed younger than an old Airflow's day, with the day of their own
    """

    pythons: tuple[str, ...]
    airflows: tuple[Airflow, ...]
    corners: Mapping[str, Sequence[str]]
    as_of: Mapping[str, str]

    @classmethod
    def read(cls, file: Path = PYPROJECT) -> Matrix:
        """Read the table from pyproject.toml."""
        table = tomllib.loads(file.read_text())["tool"]["wolkvox"]["matrix"]
        return cls(
            pythons=tuple(table["pythons"]),
            airflows=tuple(Airflow(**{k: _frozen(v) for k, v in row.items()}) for row in table["airflow"]),
            corners=table["corners"],
            as_of=table["as_of"],
        )

    @property
    def pairs(self) -> list[Pair]:
        """Every Airflow on every Python that it supports."""
        return [
            Pair(airflow, python)
            for airflow in self.airflows
            for python in self.pythons
            if python not in airflow.not_on
        ]

    def chosen(self, names: Iterable[str]) -> list[Pair]:
        """Return the pairs that were named, in the table's order; all if none was.

        :raises ValueError: a name fits no pair
        """
        names = set(names)
        known = {name for pair in self.pairs for name in (str(pair), pair.airflow.line)}
        if unknown := names - known:
            raise ValueError(
                f"No such pair: {', '.join(sorted(unknown))}. There are {', '.join(map(str, self.pairs))}."
            )
        return [pair for pair in self.pairs if not names or {str(pair), pair.airflow.line} & names]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class CannotRun(RuntimeError):
    """A pair cannot be tested on this machine; the message says why."""


class NoInterpreter(CannotRun):
    """This machine lacks the Python."""


def interpreter(python: str) -> Path:
    """Return this machine's interpreter of a version such as `3.12`, from PATH or from pyenv, which shows few on PATH.

    :raises NoInterpreter: it has none
    """
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    of_pyenv = root.glob(f"versions/{python}.*/bin/python{python}")
    latest_first = sorted(of_pyenv, key=lambda path: [int(part) for part in path.parts[-3].split(".")], reverse=True)
    for found in (shutil.which(f"python{python}"), *latest_first):
        # What is on PATH may be a shim that only says which versions there would be.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return Path(found)
    raise NoInterpreter(f"this machine has no python{python}, neither on PATH nor among pyenv's")


def uv(*arguments: str | Path) -> None:
    """Run uv, whose output is shown only if it fails.

    :raises CannotRun: it failed
    """
    # Here, since the environments of the matrix, whose tests read this module, have none.
    from uv import find_uv_bin

    done = subprocess.run(
        [find_uv_bin(), *map(str, arguments)],
        cwd=CHECKOUT,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotRun(f"`uv {' '.join(map(str, arguments))}` ended with {done.returncode}\n{done.stderr}")


def environment(pair: Pair) -> Path:
    """Return the Python of the pair's virtual environment, made (anew) if need be.

    :raises CannotRun: it cannot be made
    """
    found = interpreter(pair.python)
    place = ENVIRONMENTS / str(pair)
    python = place / "bin" / "python"
    made_from = hashlib.sha256(PYPROJECT.read_bytes() + pair.airflow.constraints.read_bytes()).hexdigest()
    ready = place / READY
    if ready.exists() and ready.read_text() == made_from and python.exists():
        return python
    shutil.rmtree(place, ignore_errors=True)
    uv("venv", "--python", found, place)
    wanted = [f"apache-airflow=={pair.airflow.version}", "--editable", f"{CHECKOUT}[test]"]
    uv("pip", "install", "--python", python, "--constraint", pair.airflow.constraints, *wanted)
    ready.write_text(made_from)
    return python


@dataclass
class Result:
    """What became of one pair.

    :param why_not: why it could not be run
    :param left_out: that this is no failure
    """

    pair: Pair
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    wrong: bool = False
    why_not: str = ""
    left_out: bool = False

    def add(self, report: Path) -> None:
        """Count what a run of pytest reported."""
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            tests, errors, failures, skipped = (
                int(suite.get(name, 0)) for name in ("tests", "errors", "failures", "skipped")
            )
            self.failed += errors + failures
            self.skipped += skipped
            self.passed += tests - errors - failures - skipped


def run(pairs: Mapping[Pair, Sequence[str]], *, skip_missing: bool, extra: Sequence[str]) -> int:
    """Test the pairs one after the other, print the table, and return the exit status.

    :param pairs: each with the kinds of `TESTS` to run
    """
    results = [_tested(pair, kinds, skip_missing=skip_missing, extra=extra) for pair, kinds in pairs.items()]
    print(_table(results))
    wrong = [result for result in results if result.wrong]
    if wrong:
        print(f"Not everything is well: {', '.join(str(result.pair) for result in wrong)}.")
    print(
        f"{sum(r.passed for r in results)} passed, {sum(r.failed for r in results)} failed, "
        f"{sum(r.skipped for r in results)} skipped"
    )
    return 1 if wrong else 0


def _tested(pair: Pair, kinds: Sequence[str], *, skip_missing: bool, extra: Sequence[str]) -> Result:
    result = Result(pair)
    started = time.monotonic()
    print(f"::: Airflow {pair.airflow.version} on Python {pair.python}", flush=True)
    try:
        python = environment(pair)
    except CannotRun as why:
        print(f"{pair} was not run: {why}", flush=True)
        result.why_not = str(why).splitlines()[0]
        result.left_out = skip_missing and isinstance(why, NoInterpreter)
        result.wrong = not result.left_out
    else:
        for kind in kinds:
            report = python.parents[1] / f"report-{kind}.xml"
            report.unlink(missing_ok=True)
            command = [python, "-m", "pytest", "-q", f"--junitxml={report}", *TESTS[kind], *extra]
            code = subprocess.run(command, cwd=CHECKOUT, env={**FEWER_EXAMPLES, **os.environ}, check=False).returncode
            # Also 5, no test found: whoever narrows the tests so far wants to know.
            result.wrong |= code != 0
            if report.exists():
                result.add(report)
            else:
                result.why_not = f"pytest ended with {code} and reported nothing"
    result.seconds = time.monotonic() - started
    return result


# The longest test looks for a history that rings twice; `make test` looks as long as it should.
FEWER_EXAMPLES = {"WOLKVOX_HISTORIES": "30"}

# Each process of xdist imports tests/conftest.py, and so has an Airflow home and a database of its own. A file's
# tests stay together, for the sake of what they share.
_UNIT = ("-m", "not scheduler and not wheel", "--numprocesses=2", "--dist=loadfile")
TESTS: dict[str, tuple[str, ...]] = {
    "unit": _UNIT,
    # Those of the unit tests that are not the same on each Airflow.
    "airflow": (*_UNIT, "tests/airflow"),
    # The same without what starts many processes, and takes half of the time.
    "quick": (
        *_UNIT,
        "--ignore=tests/airflow/test_cli.py",
        "--ignore=tests/test_parse_cost.py",
        "--ignore=tests/test_pytest_plugin.py",
    ),
    "scheduler": ("-m", "scheduler", "tests/airflow/test_real_scheduler.py"),
}


def _table(results: Sequence[Result]) -> str:
    lines = [f"{'pair':<10} {'Airflow':<8} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}"]
    for result in results:
        line = f"{result.pair!s:<10} {result.pair.airflow.version:<8} "
        line += f"{result.passed:>7} {result.failed:>7} {result.skipped:>8} {result.seconds:>8.0f}"
        if result.why_not:
            line += f"  {'LEFT OUT' if result.left_out else 'NOT RUN'}: {result.why_not}"
        elif result.wrong:
            line += "  FAILED"
        lines.append(line)
    return "\n".join(lines)


def constrain(airflow: Airflow, matrix: Matrix, *, upgrade: bool) -> None:
    """Make an Airflow's constraint file anew, for all Pythons at once.

    :raises CannotRun: nothing fits together
    """
    options = ["--universal", "--python-version", matrix.pythons[0], "--no-header", "--no-annotate", "--quiet"]
    options += [f"--extra={extra}" for extra in airflow.extras]
    if airflow.as_of:
        options += ["--exclude-newer", airflow.as_of]
        options += [f"--exclude-newer-package={name}={max(day, airflow.as_of)}" for name, day in matrix.as_of.items()]
    if upgrade:
        options.append("--upgrade")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as release:
        release.write(f"apache-airflow=={airflow.version}\n")
        release.flush()
        uv("pip", "compile", PYPROJECT, "--constraint", release.name, "--output-file", airflow.constraints, *options)
    print(f"{airflow.constraints.relative_to(CHECKOUT)}: {len(airflow.constraints.read_text().splitlines())} pins")


def main() -> int:
    """Run what the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="test")
    runs.add_argument("only", nargs="*", help="pairs such as 2.11-3.12, or an Airflow such as 2.11")
    runs.add_argument("--corners", action="store_true", help="only the pairs that CI runs")
    runs.add_argument("--skip-missing", action="store_true", help="leave out pairs whose Python this machine lacks")
    which = runs.add_mutually_exclusive_group()
    which.add_argument("--unit-only", action="store_true", help="no tests on a real scheduler")
    which.add_argument("--scheduler-only", action="store_true", help="only the tests on a real scheduler")
    runs.add_argument("--pytest", default="", metavar="OPTIONS", help="more options for pytest, as one argument")
    pins = commands.add_parser("constraints", help="make the constraint files anew")
    pins.add_argument("only", nargs="*", help="an Airflow such as 2.11")
    pins.add_argument("--upgrade", action="store_true", help="keep none of the present pins")
    chosen = parser.parse_args()

    matrix = Matrix.read()
    corners = matrix.corners if getattr(chosen, "corners", False) else {}
    try:
        pairs = matrix.chosen([*chosen.only, *corners])
        if chosen.command == "constraints":
            for airflow in dict.fromkeys(pair.airflow for pair in pairs):
                constrain(airflow, matrix, upgrade=chosen.upgrade)
            return 0
    except (ValueError, CannotRun) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    left_out = {"scheduler"} if chosen.unit_only else {"unit", "airflow", "quick"} if chosen.scheduler_only else set()
    tests = {pair: [kind for kind in corners.get(str(pair)) or pair.tests if kind not in left_out] for pair in pairs}
    return run(
        {pair: kinds for pair, kinds in tests.items() if kinds},
        skip_missing=chosen.skip_missing,
        extra=shlex.split(chosen.pytest),
    )


if __name__ == "__main__":
    sys.exit(main())
