"""What Airflow shows of this provider."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as `airflow.provider_info.schema.json` describes it."""
    return {"package-name": "airflow-provider-wolkvox", "name": "wolkvox", "description": "wolkvox contact centre"}
