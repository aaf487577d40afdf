"""What a batch says to Airflow while a call is under way reaches it whole, over the real framing of the Task SDK."""

from __future__ import annotations

import pytest
from capabilities import HAS_TASK_SDK, NO_TASK_SDK

if not HAS_TASK_SDK:
    pytest.skip(NO_TASK_SDK, allow_module_level=True)

from framed import framed
from sdk_runner import Server, run_try
from test_batch import ALL_ONCE, batch, states

from airflow_provider_wolkvox.operators import aux_call_batch

pytestmark = pytest.mark.usefixtures("own_sigterm")


def test_a_batch_never_has_two_requests_to_its_supervisor_at_once(simulator, wolkvox_connection, monkeypatch):
    # Each call asks once more right before it is sent, as it does where an answer takes longer than a second.
    monkeypatch.setattr(aux_call_batch, "_LOOK_AHEAD_HOLDS", 0)
    server = Server()
    with framed(server) as supervisor:
        run = run_try(batch(), server, talk=supervisor.comms)
    assert run.state == "success", run.error
    assert states(run) == ["accepted"] * len(ALL_ONCE)
    assert simulator.rings == ALL_ONCE
    assert supervisor.greatest_pending == 1
