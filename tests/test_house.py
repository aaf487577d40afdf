"""The house: which part of the package imports which. Imports for type checkers alone are none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_wolkvox"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in (ROOT / PACKAGE).rglob("*.py")}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported, in functions too, by the name of a module or of something in it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield from imports(node)


IMPORTS = {name: sorted(set(imports(ast.parse(path.read_text())))) for name, path in MODULES.items()}


def module_of(imported: str) -> str:
    return imported if imported in MODULES else imported.rpartition(".")[0]


OURS = {
    name: {module_of(each) for each in found if each.startswith(f"{PACKAGE}.")} - {name}
    for name, found in IMPORTS.items()
}


def test_no_import_goes_round_in_a_circle_not_even_one_in_a_function():
    try:
        TopologicalSorter(OURS).prepare()
    except CycleError as found:
        pytest.fail(" -> ".join(found.args[1]))


def within(name: str, *parts: str) -> bool:
    return any(name == f"{PACKAGE}.{part}" or name.startswith(f"{PACKAGE}.{part}.") for part in parts)


def found_in(parts: tuple[str, ...], forbidden: tuple[str, ...], *, but: tuple[str, ...] = ()) -> list[str]:
    """Return which modules of some parts import what they must not."""
    return [
        f"{name} imports {imported}"
        for name in sorted(MODULES)
        if within(name, *parts) and not within(name, *but)
        for imported in IMPORTS[name]
        if any(imported == each or imported.startswith(f"{each}.") for each in forbidden)
    ]


def ours(*parts: str) -> tuple[str, ...]:
    return tuple(f"{PACKAGE}.{part}" for part in parts)


EDGES = ours("operators", "sensors", "decorators", "notifications", "cli", "batch_memory", "own_task", "lineage")


def test_the_client_the_rules_and_numbers_know_no_airflow():
    assert found_in(("api", "calling", "phone", "at_most_once", "not_done", "batch", "simulator"), ("airflow",)) == []


def test_the_ledger_knows_airflow_only_where_it_is_configured_and_in_its_task_state_store():
    assert found_in(("ledger",), ("airflow",), but=("ledger.configuration", "ledger.task_state")) == []


def test_what_lies_below_knows_nothing_of_what_lies_above():
    inner = ("api", "calling", "phone", "ledger", "not_done", "validation", "compat")
    assert found_in(inner, (*EDGES, *ours("hooks", "at_most_once", "planning", "running_task"))) == []
    assert found_in(("at_most_once", "hooks", "planning", "running_task"), EDGES, but=()) == [
        # The hook's own call in a task of an author's, which is made through the engine.
        f"{PACKAGE}.hooks.wolkvox imports {PACKAGE}.own_task.call_once",
        f"{PACKAGE}.hooks.wolkvox imports {PACKAGE}.own_task.running_context",
    ]


def test_only_the_ledgers_own_files_speak_sql():
    speak = ("ledger.sql", "ledger.schema", "ledger.database", "ledger.configuration")
    # What else asks Airflow's own database, where there is one: commands, and what stands in for it before 3.0.
    asks_airflow = ("cli", "lane", "compat")
    everything = tuple(name.removeprefix(f"{PACKAGE}.") for name in MODULES if name != PACKAGE)
    assert found_in(everything, ("sqlalchemy",), but=(*speak, *asks_airflow)) == []


def test_the_simulator_shares_no_code_with_the_client():
    assert [
        f"{name} imports {other}"
        for name, others in OURS.items()
        if within(name, "simulator")
        for other in sorted(others)
        if not within(other, "simulator")
    ] == []


def test_the_house_was_looked_at_as_a_whole():
    assert len(MODULES) > 100
    assert f"{PACKAGE}.ledger.sql" in OURS[f"{PACKAGE}.ledger.configuration"]
