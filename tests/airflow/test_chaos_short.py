"""A short chaos: each disturbance once. `make chaos N=50` plays more."""

from __future__ import annotations

import pytest
from chaos import DISTURBANCES, Chaos, drawn, tally

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1800)]

SEED = 3


def test_no_phone_rings_twice_whatever_disturbs_its_call(local_airflow):
    rounds = drawn(len(DISTURBANCES), SEED)
    assert {each.disturbance.name for each in rounds} == {each.name for each in DISTURBANCES}

    with Chaos.through(local_airflow) as chaos:
        verdicts = chaos.play(rounds)
        late = chaos.late_rings(verdicts)

    print(tally(verdicts))
    assert [(str(verdict.round), verdict.violations) for verdict in verdicts if verdict.violations] == []
    assert late == []
    # And the disturbances did disturb: some calls had to end without a known outcome.
    assert sum(verdict.ends["unknown"] for verdict in verdicts) > 0
