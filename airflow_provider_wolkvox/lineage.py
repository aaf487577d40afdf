"""What OpenLineage is told of a task: from a campaign to callbacks to calls. No number of a person is in it.

Its provider asks each task that has ended for `get_openlineage_facets_on_complete`; without it nobody does, and nothing
of it is imported. Datasets are named within an operation, such as `wolkvox://0042`:

| dataset | is |
|---|---|
| `campaigns/32841` | a campaign's records and dials |
| `callbacks/<dag_id>.<task_id>` | whom a `CampaignCallbacksOperator` chose |
| `calls` | the operation's calls |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_wolkvox.assets import SCHEME, server_uri
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

CALLS = "calls"


def campaign(campaign_id: str | int) -> str:
    """Return the name of a campaign's dataset.

    :param campaign_id: the campaign's id
    """
    return f"campaigns/{str(campaign_id).strip()}"


def callbacks_of(task: Any) -> str:
    """Return the name of the dataset of whom a task chose.

    :param task: the task
    """
    return f"callbacks/{task.dag_id}.{task.task_id}"


def lineage_of(task: Any, *, reads: Iterable[str], writes: Mapping[str, int | None]) -> OperatorLineage[Any, Any]:
    """Return what a task has read and written.

    :param task: one of our tasks; assets of ours among its outlets are written, too
    :param reads: names of datasets on the task's server
    :param writes: such names, and how many rows were written to each
    """
    from airflow.providers.common.compat.openlineage.facet import (
        InputDataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    server = _namespace(task.wolkvox_conn_id)
    outputs = []
    for name, rows in writes.items():
        facets: dict[str, Any] = (
            {} if rows is None else {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows)}
        )
        outputs.append(OutputDataset(server, name, outputFacets=facets))
    for uri in (str(getattr(outlet, "uri", "")) for outlet in task.outlets):
        if uri.startswith(f"{SCHEME}://"):
            asset = urlsplit(uri)
            outputs.append(OutputDataset(f"{SCHEME}://{asset.netloc}", asset.path.removeprefix("/")))
    return OperatorLineage(inputs=[InputDataset(server, name) for name in reads], outputs=outputs)


def lineage_of_calls(task: Any, made: int | None) -> OperatorLineage[Any, Any]:
    """Return what a task that calls has read and written: the callbacks that were chosen before it, and calls.

    :param task: one of our tasks
    :param made: how many calls were made; None if that is not known
    """
    from airflow.providers.common.compat.openlineage.facet import InputDataset

    told = lineage_of(task, reads=[], writes={CALLS: made})
    for other in task.get_flat_relatives(upstream=True):
        if getattr(getattr(other, "operator_class", other), "chooses_callbacks", False):
            conn_id = getattr(other, "wolkvox_conn_id", None) or other.partial_kwargs["wolkvox_conn_id"]
            told.inputs.append(InputDataset(_namespace(conn_id), callbacks_of(other)))
    return told


def _namespace(conn_id: str) -> str:
    return server_uri(WolkvoxHook(conn_id).connection.host)
