"""The documentation's pages: their code is that of files which are run, and their tables are those of the source."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
import sys
import textwrap
from pathlib import Path

import pytest

from airflow_provider_wolkvox.get_provider_info import get_provider_info

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PACKAGE = CHECKOUT / "airflow_provider_wolkvox"
# GitHub shows these as they are, so their code stands in them in full.
FRONT_PAGES = [CHECKOUT / "README.md", DOCS / "es" / "README.md"]
PAGES = [*FRONT_PAGES, *sorted(set(DOCS.rglob("*.md")) - set(FRONT_PAGES))]
# Each is run: the DAGs on a real scheduler, the rest by test_docs_examples.
RUN = [*sorted((CHECKOUT / "example_dags").glob("*.py")), *sorted((DOCS / "examples").rglob("*.py"))]

sys.path.append(str(CHECKOUT / "dev"))

from docs_site import outside_requests  # noqa: E402

_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_INCLUDE = re.compile(r'--8<-- "([^":]+)(?::(\w+))?"')
_MARKER = re.compile(r"^ *# --8<-- \[(?:start|end):\w+\]\n", re.MULTILINE)


def blocks(page: Path, *languages: str) -> list[str]:
    return [textwrap.dedent(text) for _, language, text in _BLOCK.findall(page.read_text()) if language in languages]


def code(page: Path) -> list[str]:
    """Return all code of a page, whatever it is written in; what is included stands as its include."""
    return [text for _, _, text in _BLOCK.findall(page.read_text())]


def name_of(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


# Code


@pytest.mark.parametrize("page", PAGES[2:], ids=name_of)
def test_python_on_a_page_is_included_from_files_that_are_run(page):
    for block in blocks(page, "python", "py", "pycon"):
        includes = _INCLUDE.findall(block)
        assert includes, f"this code is in no file that is run:\n{block}"
        assert not _INCLUDE.sub("", block).strip()
        for path, _ in includes:
            assert CHECKOUT / path in RUN


@pytest.mark.parametrize("page", FRONT_PAGES, ids=name_of)
def test_python_on_a_front_page_is_a_piece_of_a_file_that_is_run(page):
    files = [_MARKER.sub("", file.read_text()) for file in RUN]
    found = blocks(page, "python")
    assert found
    for block in found:
        pieces = (block, textwrap.indent(block, "    "))
        assert any(piece in text for piece in pieces for text in files), (
            f"this is no piece of a file in example_dags/ or docs/examples/ (any more):\n{block}"
        )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_includes_is_there(page):
    for path, section in _INCLUDE.findall(page.read_text()):
        text = (CHECKOUT / path).read_text()
        for marker in ("start", "end"):
            assert not section or f"--8<-- [{marker}:{section}]" in text, f"{path} has no section {section}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_on_a_page_are_commands_of_ours(page):
    from airflow_provider_wolkvox.cli import COMMANDS
    from airflow_provider_wolkvox.simulator.command import _arguments

    parser = argparse.ArgumentParser(exit_on_error=False)
    commands = parser.add_subparsers(required=True)

    def add(commands, command) -> None:
        subparser = commands.add_parser(command.name, exit_on_error=False)
        if hasattr(command, "subcommands"):
            group = subparser.add_subparsers(required=True)
            for each in command.subcommands:
                add(group, each)
        for arg in getattr(command, "args", ()):
            arg.add_to_parser(subparser)

    for command in COMMANDS:
        add(commands, command)
    starts = re.compile(r"^(?:airflow wolkvox|python -m airflow_provider_wolkvox) (.+)$", re.MULTILINE)
    for block in code(page):
        for line in starts.findall(block):
            words = shlex.split(line)
            if words[0] == "simulate":
                _arguments().parse_args(words[1:])
            else:
                parser.parse_args(words)


def test_every_example_dag_has_its_place_on_the_page_of_examples():
    shown = {path for path, _ in _INCLUDE.findall((DOCS / "example-dags.md").read_text())}
    assert shown == {f"example_dags/{file.name}" for file in (CHECKOUT / "example_dags").glob("*.py")}


@pytest.mark.parametrize("page", FRONT_PAGES, ids=name_of)
def test_links_of_a_front_page_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert len(links) > 10
    assert [link for link in links if not (page.parent / link).exists()] == []


# Tables


def rows(page: Path, heading: str) -> list[str]:
    """Return the first cells of the table whose first column has a heading."""
    table = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-| ]+\|\n((?:\|.*\n?)+)", page.read_text(), re.MULTILINE)
    assert table, f"{name_of(page)} has no table that begins with {heading}"
    return [row.split("|")[1].strip() for row in table[1].strip().splitlines()]


def test_the_connections_page_tells_all_fields_of_the_form():
    [form] = get_provider_info()["connection-types"]
    extras = {name.strip("`") for name in rows(DOCS / "connection.md", "extra, all optional")}
    assert extras == set(form["conn-fields"])
    labels = form["ui-field-behaviour"]["relabeling"]
    for page, heading in ((CHECKOUT / "README.md", "field"), (DOCS / "connection.md", "field")):
        assert rows(page, heading) == [labels["host"], labels["password"]]


def test_the_calls_page_tells_all_arguments_of_a_call():
    from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

    ours = [
        owner for owner in AuxCallOperator.__mro__ if owner.__module__.startswith("airflow_provider_wolkvox.operators")
    ]
    arguments = set().union(*(inspect.signature(owner.__init__).parameters for owner in ours))
    told = {name.strip("`") for name in rows(DOCS / "calls.md", "argument")}
    assert told == arguments - {"self", "kwargs"} | {"pool"}


def test_the_hours_page_tells_all_countries():
    from airflow_provider_wolkvox.calling.countries import COUNTRIES

    assert set(rows(DOCS / "calling-hours.md", "country")) == set(COUNTRIES)


def test_the_commands_page_tells_all_commands():
    from airflow_provider_wolkvox.cli import COMMANDS

    told = {name.strip("`") for name in rows(DOCS / "reference" / "commands.md", "command")}
    ours = {
        f"{command.name} {each.name}" if each is not command else command.name
        for command in COMMANDS
        for each in getattr(command, "subcommands", [command])
    }
    assert told == ours | {"simulate"}


# Reference

# Rooms whose names are re-exported, or nobody's to use.
NO_REFERENCE = {
    "__init__",
    "__main__",
    "get_provider_info",
    "batch",
    "batch_report",
    "lineage",
    "compat",
    "files",
    "mapping",
    "own_task",
    "running_task",
    "task",
    "validation",
    "cli.ledger",
    "ledger",
    "at_most_once",
    "not_done",
    "records_file",
    "batch_memory",
    "ledger.configuration",
    "ledger.database",
    "ledger.schema",
    "api.agents",
    "api.arguments",
    "api.campaigns",
    "api.envelope",
    "api.reading",
    "api.transport",
    "api.values",
    "api.windows",
    "cli.connections",
    "cli.tables",
    "simulator.__main__",
    "simulator.body",
    "simulator.command",
    "simulator.control.fields",
    "simulator.control.routes",
    "simulator.endpoints.agentbox",
    "simulator.endpoints.campaign_control",
    "simulator.endpoints.configuration",
    "simulator.endpoints.information",
    "simulator.endpoints.real_time",
    "simulator.endpoints.records",
    "simulator.endpoints.registry",
    "simulator.endpoints.reports",
    "simulator.endpoints.rows",
    "simulator.state.history",
    "simulator.transport.connection",
    "simulator.transport.http",
    "simulator.transport.listener",
    "simulator.transport.script",
    "simulator.transport.server",
}


def test_every_public_module_is_in_the_reference():
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    told = {
        re.sub(r"\.[A-Z]\w*$", "", name) for name in re.findall(r"^::: airflow_provider_wolkvox\.(\S+)", pages, re.M)
    }
    modules = {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for file in PACKAGE.rglob("*.py")
        if file.stat().st_size > 200
    }
    packages = {"api", "calling", "simulator"}
    missing = sorted(modules - told - NO_REFERENCE - packages)
    assert not missing, (
        f"Add to a page of docs/reference/, for each of {missing}, a line '::: airflow_provider_wolkvox.<module>' with "
        "the options of its neighbours; what nobody outside is to use belongs into NO_REFERENCE."
    )
    assert told <= modules


@pytest.mark.parametrize("package", ["api", "calling", "simulator"])
def test_what_a_package_exports_is_in_the_reference(package):
    import importlib

    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    module = importlib.import_module(f"airflow_provider_wolkvox.{package}")
    told = re.findall(r"^::: airflow_provider_wolkvox\.(\S+)((?:\n    options: .*)?)", pages, re.M)
    missing = []
    for name in module.__all__:
        home = getattr(getattr(module, name), "__module__", "")
        home = home.removeprefix("airflow_provider_wolkvox.")
        named = any(
            place == f"{home}.{name}" or (place == home and ("members: [" not in how or re.search(rf"\b{name}\b", how)))
            for place, how in told
        )
        if not named and name != "Hours":  # a union of classes, told by its module
            missing.append(f"{home}.{name}")
    assert not missing


# Languages

TRANSLATED = [("README.md", "docs/es/README.md"), ("docs/first-call.md", "docs/es/primera-llamada.md")]


@pytest.mark.parametrize(("english", "spanish"), TRANSLATED)
def test_both_languages_show_the_same_code(english, spanish):
    shown = [code(CHECKOUT / page) for page in (english, spanish)]
    assert shown[0]
    assert shown[0] == shown[1]


def tables(page: Path) -> list[list[str]]:
    """Return each table's rows of code: what a reader types, which no language changes."""
    found = re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE)
    return [["".join(re.findall(r"`[^`]+`", row)) for row in table.splitlines()] for table in found]


@pytest.mark.parametrize(("english", "spanish"), TRANSLATED)
def test_both_languages_have_the_same_tables(english, spanish):
    ours, theirs = tables(CHECKOUT / english), tables(CHECKOUT / spanish)
    # The rooms of the package are of use to those who change it, and the code is in English.
    assert theirs == [table for table in ours if not any("`api/`" in row for row in table)]


@pytest.mark.parametrize(("english", "spanish"), TRANSLATED)
def test_both_languages_have_the_same_parts(english, spanish):
    def depths(page):
        text = _BLOCK.sub("", (CHECKOUT / page).read_text()).split("\n## For those who change it")[0]
        return [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]

    assert depths(english) == depths(spanish)


# The built site


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<link rel="stylesheet" href="https://fonts.example/css">'),
        ("a.html", '<link href="//fonts.example/css" rel="preconnect">'),
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<img alt="" src="http://pictures.example/a.png">'),
        ("a.html", '<img srcset="a.png 1x, https://pictures.example/b.png 2x">'),
        ("a.html", '<p style="background: url(https://pictures.example/a.png)">'),
        ("a.html", "<style>@import 'https://fonts.example/css';</style>"),
        ("a.html", '<pre class="mermaid"></pre>'),
        ("a.css", "@font-face{src:url(//fonts.example/a.woff2)}"),
    ],
)
def test_what_a_page_would_fetch_from_another_host_is_noticed(name, text):
    assert len(outside_requests(name, text)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<a href="https://airflow.apache.org">Airflow</a> <img src="images/a.png">'),
        ("a.html", '<link rel="canonical" href="https://docs.example/"><script>"https://a.example"</script>'),
        ("a.css", "a{background:url(data:image/svg+xml;base64,AA)}b{background:url('../images/a.svg')}"),
    ],
)
def test_links_and_own_files_are_no_requests_to_others(name, text):
    assert outside_requests(name, text) == []
