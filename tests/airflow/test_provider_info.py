"""What Airflow is told of the provider, and what it makes of it."""

from __future__ import annotations

import importlib
import json
import pkgutil
from importlib import metadata
from importlib.resources import files

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseHook, BaseOperator

import airflow_provider_wolkvox
from airflow_provider_wolkvox.get_provider_info import get_provider_info
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

DISTRIBUTION = "airflow-provider-wolkvox"
EXTRAS = [
    "dial_prefix",
    "country",
    "timezone",
    "base_url",
    "connect_timeout",
    "total_timeout",
    "authenticated_test",
]


@pytest.fixture(scope="module")
def info():
    return get_provider_info()


@pytest.fixture(scope="module")
def known():
    """What Airflow itself found out about all providers."""
    return ProvidersManager()


def imported(path: str):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_it_is_what_airflows_schema_describes(info):
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(info, schema)
    # The schema lets unknown keys pass, and Airflow ignores them: a misspelt one would never be missed.
    # `versions` is the one that Airflow's guide for other people's providers asks for and its schema leaves out.
    assert set(info) <= {*schema["properties"], "versions"}


def test_the_package_name_is_the_distributions(info):
    # Where it is not, Airflow finds no provider at all.
    assert info["package-name"] == DISTRIBUTION == metadata.distribution(DISTRIBUTION).metadata["Name"]


def test_the_entry_point_leads_to_it(info):
    entry_points = metadata.distribution(DISTRIBUTION).entry_points.select(group="apache_airflow_provider")
    [entry_point] = entry_points
    assert entry_point.load()() == info


def test_the_version_is_the_distributions(info):
    assert info["versions"] == [airflow_provider_wolkvox.__version__] == [metadata.version(DISTRIBUTION)]


def test_each_call_gives_a_dictionary_of_its_own(info):
    get_provider_info()["connection-types"].clear()
    assert get_provider_info() == info


@pytest.mark.parametrize(("kind", "base"), [("hooks", BaseHook), ("operators", BaseOperator)])
def test_every_module_that_is_named_defines_what_its_kind_says(info, kind, base):
    for entry in info[kind]:
        for name in entry["python-modules"]:
            module = importlib.import_module(name)
            found = [
                value
                for value in vars(module).values()
                if isinstance(value, type) and issubclass(value, base) and value.__module__ == name
            ]
            assert found, f"{name} defines nothing"


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers", "notifications"])
def test_no_module_is_forgotten(info, kind):
    try:
        package = importlib.import_module(f"airflow_provider_wolkvox.{kind}")
    except ModuleNotFoundError:
        return
    there = {module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")}
    named = {name for entry in info.get(kind, []) for name in entry["python-modules"]}
    assert named == there


def test_every_integration_that_is_named_is_described(info):
    described = {integration["integration-name"] for integration in info["integrations"]}
    named = {entry["integration-name"] for kind in ("hooks", "operators", "sensors") for entry in info.get(kind, [])}
    assert named == described


def test_the_hooks_class_is_the_hook(info):
    [connection_type] = info["connection-types"]
    assert imported(connection_type["hook-class-name"]) is WolkvoxHook
    assert connection_type["connection-type"] == WolkvoxHook.conn_type
    assert connection_type["hook-name"] == WolkvoxHook.hook_name


def test_the_commands_are_what_airflow_takes(info):
    [group] = imported(info["cli"][0])()
    assert group.name == "wolkvox"
    assert {"sync-pools", "check"} <= {command.name for command in group.subcommands}
    assert all(command.help and callable(command.func) for command in group.subcommands)


def test_nothing_shows_a_secret(info):
    assert "demo-" not in json.dumps(info)


# What Airflow makes of it


def test_airflow_knows_the_provider(known, info):
    provider = known.providers[DISTRIBUTION]
    assert provider.version == airflow_provider_wolkvox.__version__
    assert {name: provider.data[name] for name in info} == info


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_airflow_knows_the_hook_and_that_its_connection_can_be_tested(known):
    hook = known.hooks["wolkvox"]
    assert hook.hook_class_name == "airflow_provider_wolkvox.hooks.wolkvox.WolkvoxHook"
    assert hook.connection_id_attribute_name == "wolkvox_conn_id"
    assert hook.connection_testable


def test_airflow_knows_the_commands(known):
    assert DISTRIBUTION in known.cli_command_providers


def test_airflow_knows_the_forms_extras(known):
    ours = {name: widget for name, widget in known.connection_form_widgets.items() if "__wolkvox__" in name}

    assert [widget.field_name for widget in ours.values()] == EXTRAS
    assert all(widget.field["schema"]["title"] and widget.field["description"] for widget in ours.values())
    # None of them is asked for: each may be left empty.
    assert all("null" in widget.field["schema"]["type"] for widget in ours.values())
    assert ours["extra__wolkvox__authenticated_test"].field["value"] is False


def test_airflow_takes_no_extra_for_a_secret_by_its_name():
    from airflow.sdk.log import redact

    # Its value would be shown as ***, and a switch that is off as one that is on.
    shown = dict.fromkeys(EXTRAS, "shown")
    assert redact(shown) == shown


def test_airflow_knows_the_forms_labels_by_metadata_and_by_class_alike(known):
    from airflow.providers_manager import _ensure_prefix_for_placeholders

    by_class = WolkvoxHook.get_ui_field_behaviour()
    by_metadata = dict(known.field_behaviours["wolkvox"])
    # Airflow before 3.2 puts this prefix before the extras that have a placeholder, on both ways.
    _ensure_prefix_for_placeholders(by_class, "wolkvox")

    assert by_class == by_metadata
    assert by_metadata["relabeling"] == {"host": "Server code", "password": "Token"}


def test_the_hooks_own_words_name_every_extra_of_the_form(info):
    [connection_type] = info["connection-types"]
    assert list(connection_type["conn-fields"]) == EXTRAS
    assert all(f"`{name}`" in WolkvoxHook.__doc__ for name in EXTRAS)
