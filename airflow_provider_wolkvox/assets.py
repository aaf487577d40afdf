"""What DAGs can be scheduled on: `wolkvox://` assets, and the numbers that their events carry.

::

    FINISHED = campaign_finished("0042", "32841")

    with DAG("watch", schedule="@daily"):
        CampaignFinishedSensor(task_id="finished", campaign_id="32841", outlets=[FINISHED])

    with DAG("follow_up", schedule=[FINISHED]): ...

Airflow 2.11 calls them datasets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.sdk import Asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.common.compat.sdk import Context

SCHEME = "wolkvox"

_CAMPAIGN_FINISHED = re.compile(r"/campaigns/(?P<campaign_id>[^/]+)/finished")
_BATCH_CALLED = re.compile(r"/batches/(?P<name>[A-Za-z0-9_.~-]+)/called")


def campaign_finished(server: str, campaign_id: str | int) -> Asset:
    """Return the asset whose event says that a campaign has finished, as `CampaignFinishedSensor` emits it.

    Its event's `extra` holds the campaign's numbers: `campaign_id`, `records`, `dial`, `answer`, `no_answer`.

    :param server: the operation's server code, such as `0042`
    :param campaign_id: the campaign's id, digits
    :raises ValueError: one of them cannot be right
    """
    from airflow_provider_wolkvox.api.arguments import campaign_id as digits

    return Asset(uri=f"{server_uri(server)}/campaigns/{digits(campaign_id)}/finished")


def batch_called(server: str, name: str) -> Asset:
    """Return the asset whose event says that a batch of calls has been made, as `AuxCallBatchOperator` emits it.

    Its event's `extra` is the batch's XCom `summary`: how many calls were accepted, refused and so on.

    :param server: the operation's server code, such as `0042`
    :param name: what the batch is called: letters, digits, `_ . ~ -`
    :raises ValueError: one of them cannot be right
    """
    uri = f"{server_uri(server)}/batches/{name}/called"
    sanitize_uri(urlsplit(uri))
    return Asset(uri=uri)


def server_uri(server: str) -> str:
    """Return what the URIs of an operation's assets begin with, which is OpenLineage's namespace for it too.

    :param server: the operation's server code, such as `0042`
    :raises ValueError: it cannot be right
    """
    from airflow_provider_wolkvox.api.arguments import server_code

    return f"{SCHEME}://{server_code(server)}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return a `wolkvox://` URI in its one spelling; Airflow asks for it whenever such an asset is made.

    :param uri: the URI's parts
    :raises ValueError: it is no asset of ours
    """
    from airflow_provider_wolkvox.api.arguments import campaign_id, server_code

    campaign = _CAMPAIGN_FINISHED.fullmatch(uri.path)
    if campaign:
        campaign_id(campaign["campaign_id"])
    if not (campaign or _BATCH_CALLED.fullmatch(uri.path)) or uri.query or uri.fragment:
        raise ValueError(
            f"{SCHEME}: no such asset. There are wolkvox://0042/campaigns/32841/finished and "
            "wolkvox://0042/batches/evening/called; airflow_provider_wolkvox.assets makes them"
        )
    return uri._replace(netloc=server_code(uri.netloc))


def own_assets(outlets: Iterable[Any], beginning: str) -> list[Asset]:
    """Return which of a task's outlets are ours.

    :param outlets: the task's
    :param beginning: what the URIs of those begin with which the task can tell of
    :raises ValueError: one is of something else, of which an event would tell what nobody knows
    """
    ours = [outlet for outlet in outlets if str(getattr(outlet, "uri", "")).startswith(f"{SCHEME}://")]
    for outlet in ours:
        if not outlet.uri.startswith(beginning):
            raise ValueError(
                f"the outlet {outlet.uri} is not for this task to tell of, which knows only of {beginning}: correct "
                "outlets, or what the task is about. No event was emitted"
            )
    return ours


def tell(assets: Iterable[Asset], numbers: Mapping[str, Any], context: Context) -> None:
    """Add numbers to the events that Airflow emits for a task's assets once it succeeds.

    :param assets: the task's own, as `own_assets` returns them
    :param numbers: what the events' `extra` is to hold; no phone
    """
    for asset in assets:
        context["outlet_events"][asset].extra.update(numbers)


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Return OpenLineage's dataset for an asset of ours; its provider asks for it.

    :param asset: the asset
    :param lineage_context: not needed
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=f"{uri.scheme}://{uri.netloc}", name=uri.path.removeprefix("/"))
