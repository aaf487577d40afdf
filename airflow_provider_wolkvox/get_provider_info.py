"""What Airflow shows of this provider."""

from __future__ import annotations

from typing import Any

from airflow_provider_wolkvox import __version__


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as `airflow.provider_info.schema.json` describes it."""
    return {
        "package-name": "airflow-provider-wolkvox",
        "name": "wolkvox",
        "description": "wolkvox contact centre: callbacks that ring once.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "wolkvox",
                "external-doc-url": "https://www.wolkvox.com/en/apis-v2-2/",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "wolkvox", "python-modules": ["airflow_provider_wolkvox.hooks.wolkvox"]}],
        "operators": [
            {
                "integration-name": "wolkvox",
                "python-modules": [
                    "airflow_provider_wolkvox.operators.agent",
                    "airflow_provider_wolkvox.operators.aux_call",
                    "airflow_provider_wolkvox.operators.aux_call_batch",
                    "airflow_provider_wolkvox.operators.callbacks",
                    "airflow_provider_wolkvox.operators.calling",
                    "airflow_provider_wolkvox.operators.campaign",
                    "airflow_provider_wolkvox.operators.dial",
                    "airflow_provider_wolkvox.operators.once",
                    "airflow_provider_wolkvox.operators.recall",
                    "airflow_provider_wolkvox.operators.repeatable",
                    "airflow_provider_wolkvox.operators.transfer",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": "wolkvox",
                "python-modules": [
                    "airflow_provider_wolkvox.sensors.calling_hours",
                    "airflow_provider_wolkvox.sensors.wolkvox",
                ],
            }
        ],
        "task-decorators": [
            {
                "name": "wolkvox_call",
                "class-name": "airflow_provider_wolkvox.decorators.wolkvox_call.wolkvox_call_task",
            }
        ],
        "notifications": ["airflow_provider_wolkvox.notifications.wolkvox.WolkvoxCallNotifier"],
        "extra-links": ["airflow_provider_wolkvox.links.WolkvoxManagerLink"],
        "asset-uris": _assets(),
        # What 2.11 calls them.
        "dataset-uris": _assets(),
        # Read by Airflow from 3.2; before, it reads nothing of it and the command is
        # `python -m airflow_provider_wolkvox`.
        "cli": ["airflow_provider_wolkvox.cli.get_wolkvox_cli_commands"],
        "config": {
            "wolkvox": {
                "description": "The provider of the wolkvox contact centre.",
                "options": {
                    "ledger_conn_id": {
                        "description": "The connection to the database of the ledger, which remembers every intended "
                        "call for all tasks, runs and deployments: PostgreSQL, MySQL, MariaDB or SQLite. "
                        "`airflow wolkvox ledger init` makes its tables. On one machine, sqlite:/// and the path of a "
                        "file do as well. Empty for no ledger.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "wolkvox_ledger",
                        "default": "",
                    },
                    "namespace": {
                        "description": "Tells the DAGs of several deployments apart that share a ledger.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "production",
                        "default": "default",
                    },
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "wolkvox",
                "hook-class-name": "airflow_provider_wolkvox.hooks.wolkvox.WolkvoxHook",
                "hook-name": "wolkvox",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port"],
                    "relabeling": {"host": "Server code", "password": "Token"},
                    "placeholders": {
                        "host": "0042, the digits of wv0042.wolkvox.com",
                        "password": "from wolkvox Manager: Configuration, Integrations, Tokens",
                    },
                },
                "conn-fields": {
                    "dial_prefix": {
                        "label": "Dial prefix",
                        "schema": _optional("string"),
                        "description": "Digits that your operation dials before every number, such as 9.",
                    },
                    "country": {
                        "label": "Country",
                        "schema": _optional("string"),
                        "description": "Two letters, such as CO: whose law says when a customer may be called.",
                    },
                    "timezone": {
                        "label": "Time zone",
                        "schema": _optional("string"),
                        "description": "Where the customers are, such as America/Mexico_City.",
                    },
                    "reports_timezone": {
                        "label": "Time zone of reports",
                        "schema": _optional("string"),
                        "description": "The clock of wolkvox's reports; America/Bogota if empty.",
                    },
                    "cap": {
                        "label": "Cap",
                        "schema": _optional("string"),
                        "description": "How often a customer may be called, such as 2 in 24 hours, 5 in 7 days; the "
                        "country's law if empty.",
                    },
                    "base_url": {
                        "label": "Base URL",
                        "schema": _optional("string"),
                        "description": "Only for a simulator or a gateway; else leave it empty.",
                    },
                    "connect_timeout": {
                        "label": "Connect timeout (s)",
                        "schema": _optional("number", exclusiveMinimum=0),
                        "description": "For name resolution, TCP and TLS together; 10 if empty.",
                    },
                    "total_timeout": {
                        "label": "Total timeout (s)",
                        "schema": _optional("number", exclusiveMinimum=0),
                        "description": "For a whole request and its answer; 60 if empty.",
                    },
                    # Airflow hides the value of whatever has the word "token" in its name, the default of a switch too,
                    # and draws the switch as on [ran].
                    "authenticated_test": {
                        "label": "Test with token",
                        "schema": _optional("boolean", default=False),
                        "description": "Let the Test button use the token: outside of its pool, for one request "
                        "of the quota.",
                    },
                },
            }
        ],
    }


# New ones each time, since Airflow keeps parts of what it gets [src].


def _assets() -> list[dict[str, Any]]:
    """Return what Airflow is to do with the addresses of our assets."""
    return [
        {
            "schemes": ["wolkvox"],
            "handler": "airflow_provider_wolkvox.assets.sanitize_uri",
            "to_openlineage_converter": "airflow_provider_wolkvox.assets.convert_asset_to_openlineage",
        }
    ]


def _optional(kind: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a field that may be left empty."""
    return {"type": [kind, "null"], **more}
