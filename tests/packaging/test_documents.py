"""What a stranger reads first: every path that a document names is there, and the versions are one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import airflow_provider_wolkvox

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_PATH = re.compile(r"`((?:tests|dev|docs|benchmarks|constraints|example_dags|\.ci)/[\w./-]*)`")
_COMMAND = re.compile(r"\bmake ([a-z][a-z-]*)")


def text_of(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_is_there(name):
    named = {link for link in _LINK.findall(text_of(name)) if "://" not in link} | {*_PATH.findall(text_of(name))}
    assert not sorted(path for path in named if not (CHECKOUT / path).exists())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_a_document_names_is_one_of_make(name):
    commands = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    in_code = "\n".join(re.findall(r"`[^`\n]+`|^```.*?^```", text_of(name), re.MULTILINE | re.DOTALL))
    assert set(_COMMAND.findall(in_code)) <= commands


def test_the_changelog_begins_with_the_version_that_this_is():
    [latest, *_] = re.findall(
        r"^## \[([^\]]+)\] - (\d{4}-\d\d-\d\d|unreleased)$", text_of("CHANGELOG.md"), re.MULTILINE
    )
    assert latest[0] == airflow_provider_wolkvox.__version__ == project()["version"]


def test_the_pythons_that_are_named_are_those_that_it_takes():
    project_ = project()
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(project_["classifiers"]))
    assert f">={named[0]}" == project_["requires-python"]
    assert f"Python {named[0]} to {named[-1]}" in text_of("README.md")
    assert f"Python {named[0]} to {named[-1]}" in text_of("CHANGELOG.md")


def project() -> dict:
    return tomllib.loads(text_of("pyproject.toml"))["project"]
