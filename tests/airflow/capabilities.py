"""What the installed Airflow has, for tests that are about something that an older one has not.

A test that is about such a thing says which, with one of the marks; it is skipped elsewhere with that reason. What
stands here under one name has several homes in Airflow 2.11 to 3.3.
"""

from __future__ import annotations

import pytest
from airflow import __version__ as airflow_version
from packaging.version import Version

AIRFLOW = Version(airflow_version)

HAS_TASK_SDK = Version("3.0") <= AIRFLOW
HAS_PAUSE = Version("3.1.8") <= AIRFLOW
HAS_PROVIDER_COMMANDS = Version("3.2") <= AIRFLOW
HAS_LEDGER = Version("3.3") <= AIRFLOW

NO_TASK_SDK = "about Airflow's Task SDK, which came with 3.0"
needs_task_sdk = pytest.mark.skipif(not HAS_TASK_SDK, reason=NO_TASK_SDK)
needs_pause = pytest.mark.skipif(not HAS_PAUSE, reason="about pauses of tasks that are no sensors, from 3.1.8")
needs_provider_commands = pytest.mark.skipif(
    not HAS_PROVIDER_COMMANDS, reason="about `airflow wolkvox`: providers bring commands from 3.2"
)
needs_raw_extra = pytest.mark.skipif(
    Version("3.0") <= AIRFLOW < Version("3.2"),
    reason="about an extra that is no JSON object: 3.0 and 3.1 take such a connection of the environment for none",
)
NO_LEDGER = "about the ledger, kept in the task state store, which came with 3.3"
needs_ledger = pytest.mark.skipif(not HAS_LEDGER, reason=NO_LEDGER)

if Version("3.2") <= AIRFLOW:
    from airflow.serialization.serialized_objects import DagSerialization
else:
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

BASH_OPERATORS_MODULE = "airflow.providers.standard.operators.bash" if HAS_TASK_SDK else "airflow.operators.bash"
DAG_VERSIONS: tuple[type, ...] = ()
"""The model that keeps a DAG's versions, if there is one."""
if HAS_TASK_SDK:
    from airflow.models.dag_version import DagVersion
    from airflow.sdk.bases import sensor as sensor_base

    DAG_VERSIONS = (DagVersion,)
else:
    from airflow.sensors import base as sensor_base

try:
    from airflow.sdk.log import redact
except ImportError:  # before 3.1
    try:
        from airflow.sdk.execution_time.secrets_masker import redact
    except ImportError:  # before 3.0
        from airflow.utils.log.secrets_masker import redact

__all__ = ["DAG_VERSIONS", "DagSerialization", "redact", "sensor_base"]
