"""What Airflow is told of the provider, and what it makes of it."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib import metadata
from importlib.resources import files

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseNotifier, BaseOperator, BaseOperatorLink
from airflow.providers_manager import ProvidersManager

import airflow_provider_wolkvox
from airflow_provider_wolkvox.get_provider_info import get_provider_info
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

DISTRIBUTION = "airflow-provider-wolkvox"
EXTRAS = [
    "dial_prefix",
    "country",
    "timezone",
    "reports_timezone",
    "cap",
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


def shipped(name: str) -> jsonschema.Draft7Validator:
    """One of the schemas that Airflow brings along."""
    schema = json.loads(files("airflow").joinpath(name).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


# What Airflow itself holds a provider to while it runs.
RUNTIME = shipped("provider_info.schema.json")
# From 3.2 on; before, the form is drawn by the hook's own methods, and only where Flask-AppBuilder is.
FORM_FROM_METADATA = "conn-fields" in json.dumps(shipped("provider.yaml.schema.json").schema)


def strict() -> jsonschema.Draft7Validator:
    """What Airflow holds the `provider.yaml` of its own providers to; read in 2.11.2 to 3.3.2, which all ship it.

    Only what its release manager writes into that file is not asked of us. Before 3.2 it does not know the fields of
    a connection's form, and so says nothing of ours.
    """
    if not FORM_FROM_METADATA:
        pytest.skip("this Airflow's provider.yaml schema does not know conn-fields")
    schema = shipped("provider.yaml.schema.json").schema
    required = set(schema["required"]) - {"state", "source-date-epoch"}
    return jsonschema.Draft7Validator({**schema, "required": sorted(required)})


FORM = "ui-field-behaviour"
# What a connection type may say of itself, in 3.3.2.
CONNECTION_TYPE = {"connection-type", "hook-class-name", "hook-name", "conn-fields", FORM}
# The fields of every connection, by the names that the form's metadata use.
STANDARD_FIELDS = {"description", "host", "port", "login", "password", "schema", "extra"}
# What JSON knows; a schema in a list of types passes Airflow's with any word.
TYPES = {"string", "integer", "boolean", "number", "object", "array", "null"}


def wrong_with_the_form(info: dict) -> Iterator[str]:
    """What neither of Airflow's schemas sees: words that Airflow would silently make nothing of."""
    for connection_type in info["connection-types"]:
        yield from (f"{name} is nothing" for name in connection_type.keys() - CONNECTION_TYPE)
        fields = connection_type.get("conn-fields", {})
        form = connection_type.get(FORM, {})
        for part in ("relabeling", "placeholders"):
            yield from (
                f"{part}: no field {name}" for name in form.get(part, {}).keys() - STANDARD_FIELDS - set(fields)
            )
        hidden = set(form.get("hidden-fields", []))
        yield from (f"{name} is hidden and labelled" for name in hidden & form.get("relabeling", {}).keys())
        # An extra of the name of a field of the connection's own would never be seen.
        yield from (f"conn-fields: {name} is a connection's own" for name in fields.keys() & STANDARD_FIELDS)
        for name, field in fields.items():
            yield from (f"{name}: {word}" for word in wrong_with_the_field(field))


def wrong_with_the_field(field: dict) -> Iterator[str]:
    if not field.get("description"):
        yield "says nothing of itself"
    schema = field.get("schema", {})
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    yield from (f"no type {kind}" for kind in types if kind not in TYPES)
    if "null" not in types:
        yield "cannot be left empty"
    faults = [f"schema: {error.message}" for error in META.iter_errors(schema)]
    yield from faults
    if "default" in schema and not faults and not jsonschema.Draft202012Validator(schema).is_valid(schema["default"]):
        yield "its default is not what it takes"


META = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)


def test_it_is_what_airflows_schema_describes(info):
    assert not list(RUNTIME.iter_errors(info))


def test_it_is_what_airflow_asks_of_its_own_providers(info):
    assert not list(strict().iter_errors(info))
    # What Airflow reads while it runs lets unknown keys pass, and makes nothing of them. `versions` is the one that
    # its guide for other people's providers asks for.
    assert set(info) - {"versions"} <= set(RUNTIME.schema["properties"])


def test_the_form_holds_nothing_that_airflow_would_make_nothing_of(info):
    assert not list(wrong_with_the_form(info))


# Each is a mistake that somebody has made; who checks is named by what it says.
MISTAKES: dict[str, tuple[Callable[[dict], object], str]] = {
    "no hook": (lambda of: of.form.pop("hook-class-name"), "'hook-class-name' is a required property"),
    "hook in Python's spelling": (lambda of: rename(of.form, "hook-class-name", "hook_class_name"), "required"),
    "fields in Python's spelling": (lambda of: rename(of.form, "conn-fields", "conn_fields"), "conn_fields is nothing"),
    "fields of a wrong name": (lambda of: rename(of.form, "conn-fields", "connection-fields"), "is nothing"),
    "form in Python's spelling": (lambda of: rename(of.form, FORM, FORM.replace("-", "_")), "is nothing"),
    "American form": (lambda of: rename(of.form, FORM, "ui-field-behavior"), "ui-field-behavior is nothing"),
    "hidden in Python's spelling": (lambda of: rename(of.form[FORM], "hidden-fields", "hidden_fields"), "unexpected"),
    "hidden field of no connection": (lambda of: of.form[FORM]["hidden-fields"].append("user"), "'user' is not one of"),
    "hidden as text": (lambda of: of.form[FORM].update({"hidden-fields": "port"}), "'port' is not of type 'array'"),
    "label of no field": (lambda of: of.form[FORM]["relabeling"].update(passwort="Token"), "no field passwort"),
    "label of a hidden field": (lambda of: of.form[FORM]["relabeling"].update(port="Port"), "port is hidden and"),
    "label that is no text": (lambda of: of.form[FORM]["relabeling"].update(host=7), "7 is not of type 'string'"),
    "field without label": (lambda of: of.field.pop("label"), "'label' is a required property"),
    "field without schema": (lambda of: of.field.pop("schema"), "'schema' is a required property"),
    "field without type": (lambda of: of.field["schema"].pop("type"), "'type' is a required property"),
    "field with help": (lambda of: rename(of.field, "description", "help"), "'help' was unexpected"),
    "Python's type": (lambda of: of.field["schema"].update(type="str"), "'str'"),
    "Python's type among others": (lambda of: of.field["schema"].update(type=["int", "null"]), "no type int"),
    "field that must be filled in": (lambda of: of.field["schema"].update(type="number"), "cannot be left empty"),
    "format of no kind": (lambda of: of.field["schema"].update(format="secret"), "'secret' is not one of"),
    "bound as text": (lambda of: of.field["schema"].update(exclusiveMinimum="0"), "'0' is not of type 'number'"),
    "default of another type": (lambda of: of.field["schema"].update(default="ten"), "its default is not"),
    "default out of bounds": (lambda of: of.field["schema"].update(default=0), "its default is not what it takes"),
    "extra named like a field": (lambda of: rename(of.form["conn-fields"], "base_url", "host"), "connection's own"),
    "types as mapping": (lambda of: of.info.update({"connection-types": {}}), "{} is not of type 'array'"),
    "integration of no tag": (lambda of: of.info["integrations"][0].pop("tags"), "'tags' is a required property"),
    "integration of a new tag": (lambda of: of.info["integrations"][0]["tags"].append("telephony"), "'telephony'"),
    "modules of no list": (lambda of: of.info["hooks"][0].update({"python-modules": "a.b"}), "'a.b' is not of type"),
    "links in Python's spelling": (lambda of: of.info.update(extra_links=[]), "'extra_links' was unexpected"),
    "no name": (lambda of: of.info.pop("name"), "'name' is a required property"),
}  # fmt: skip


class Of:
    """A provider's metadata, to make a mistake in, and the two places where most are made."""

    def __init__(self) -> None:
        self.info = deepcopy(get_provider_info())
        [self.form] = self.info["connection-types"]
        self.field = self.form["conn-fields"]["total_timeout"]


def rename(mapping: dict, name: str, other: str) -> None:
    mapping[other] = mapping.pop(name)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_it_is_found(mistake):
    make, expected = MISTAKES[mistake]
    of = Of()
    make(of)
    assert of.info != get_provider_info()
    found = [error.message for checks in (RUNTIME, strict()) for error in checks.iter_errors(of.info)]
    if not found:
        found = list(wrong_with_the_form(of.info))
    assert any(expected in word for word in found), found


def test_the_package_name_is_the_distributions(info):
    # Where it is not, Airflow finds no provider at all.
    assert info["package-name"] == DISTRIBUTION == metadata.distribution(DISTRIBUTION).metadata["Name"]


def test_the_entry_point_leads_to_it(info):
    entry_points = metadata.distribution(DISTRIBUTION).entry_points.select(group="apache_airflow_provider")
    [entry_point] = entry_points
    assert entry_point.load()() == info


def test_the_version_is_the_distributions(info):
    assert info["versions"] == [airflow_provider_wolkvox.__version__] == [metadata.version(DISTRIBUTION)]


def containers(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


def test_no_call_shares_anything_with_another_nor_a_field_with_its_neighbour():
    # Airflow keeps parts of what it gets: what is written into them must not reach the next who asks.
    found = [*containers(get_provider_info()), *containers(get_provider_info())]
    assert len(found) > 50
    assert len({id(each) for each in found}) == len(found)


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


def named_modules(info, kind: str) -> set[str]:
    """The modules of a room that the metadata name, whole or by something in them."""
    whole = {name for entry in info.get(kind, []) for name in entry["python-modules"]} if kind in BY_MODULE else set()
    return whole | {path.rpartition(".")[0] for path in named_objects(info) if path.split(".")[1] == kind}


def named_objects(info) -> list[str]:
    """Everything that the metadata name by its path, other than whole modules."""
    return [
        *info.get("cli", []),
        *info.get("extra-links", []),
        *info.get("notifications", []),
        *(decorator["class-name"] for decorator in info.get("task-decorators", [])),
        *(plugin["plugin-class"] for plugin in info.get("plugins", [])),
        *(connection_type["hook-class-name"] for connection_type in info["connection-types"]),
    ]


BY_MODULE = ("hooks", "operators", "sensors", "triggers")


def test_everything_that_is_named_is_there(info):
    assert all(callable(imported(path)) for path in named_objects(info))


@pytest.mark.parametrize("kind", [*BY_MODULE, "decorators", "notifications"])
def test_no_module_is_forgotten(info, kind):
    try:
        package = importlib.import_module(f"airflow_provider_wolkvox.{kind}")
    except ModuleNotFoundError:
        return
    there = {module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")}
    assert named_modules(info, kind) == there


def test_no_link_and_no_notifier_is_forgotten(info):
    from airflow.providers.common.compat.sdk import BaseNotifier, BaseOperatorLink

    ours = [
        value
        for module in pkgutil.walk_packages(airflow_provider_wolkvox.__path__, "airflow_provider_wolkvox.")
        if not module.name.endswith("__main__") and ".simulator" not in module.name
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, type) and value.__module__ == module.name
    ]
    for base, kind in ((BaseOperatorLink, "extra-links"), (BaseNotifier, "notifications")):
        there = {f"{value.__module__}.{value.__name__}" for value in ours if issubclass(value, base)}
        assert {*info.get(kind, [])} == there


def test_the_notifiers_the_links_and_the_assets_functions_are_what_their_names_say(info):
    assert {issubclass(imported(path), BaseNotifier) for path in info["notifications"]} == {True}
    assert {issubclass(imported(path), BaseOperatorLink) for path in info["extra-links"]} == {True}
    assert info["asset-uris"] == info["dataset-uris"]
    [assets] = info["asset-uris"]
    assert all(callable(imported(assets[name])) for name in ("handler", "to_openlineage_converter"))


def test_airflow_knows_the_notifier_and_the_link(known):
    assert "airflow_provider_wolkvox.notifications.wolkvox.WolkvoxCallNotifier" in known.notification
    assert "airflow_provider_wolkvox.links.WolkvoxManagerLink" in known.extra_links_class_names


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
    assert all(
        command.help and all(callable(each.func) for each in getattr(command, "subcommands", [command]))
        for command in group.subcommands
    )


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


@pytest.mark.skipif(not hasattr(ProvidersManager, "cli_command_providers"), reason="Airflow asks for them from 3.2 on")
def test_airflow_knows_the_commands(known):
    assert DISTRIBUTION in known.cli_command_providers


@pytest.mark.skipif(not FORM_FROM_METADATA, reason="the form is drawn by the hook's own methods")
def test_airflow_knows_the_forms_extras(known):
    ours = {name: widget for name, widget in known.connection_form_widgets.items() if "__wolkvox__" in name}

    assert [widget.field_name for widget in ours.values()] == EXTRAS
    assert all(widget.field["schema"]["title"] and widget.field["description"] for widget in ours.values())
    # None of them is asked for: each may be left empty.
    assert all("null" in widget.field["schema"]["type"] for widget in ours.values())
    assert ours["extra__wolkvox__authenticated_test"].field["value"] is False


def test_airflow_takes_no_extra_for_a_secret_by_its_name():
    from capabilities import redact

    # Its value would be shown as ***, and a switch that is off as one that is on.
    shown = dict.fromkeys(EXTRAS, "shown")
    assert redact(shown) == shown


def test_airflow_knows_the_forms_labels_by_metadata_and_by_class_alike(known):
    from airflow.providers_manager import _ensure_prefix_for_placeholders

    if not FORM_FROM_METADATA:
        pytest.importorskip("flask_appbuilder", reason="without it this Airflow draws no form")
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
