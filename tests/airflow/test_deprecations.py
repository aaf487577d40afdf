"""A deprecated thing that our own code uses is an error in these tests, on each Airflow."""

from __future__ import annotations

import pytest
from capabilities import HAS_TASK_SDK

# Things that Airflow has deprecated and still has. It tells of each once in a process, so each test takes another;
# 3.0 and older with a DeprecationWarning, later ones with a FutureWarning.
if HAS_TASK_SDK:
    FIRST, SECOND, THIRD = (
        "from airflow.operators.bash import BashOperator",
        "from airflow.operators.python import PythonOperator",
        "from airflow.operators.empty import EmptyOperator",
    )
else:
    FIRST, SECOND, THIRD = (
        "from airflow.hooks.base_hook import BaseHook",
        "from airflow.operators.python_operator import PythonOperator",
        "from airflow.operators.dummy import DummyOperator",
    )
DEPRECATED = (DeprecationWarning, FutureWarning)


@pytest.mark.parametrize(
    ("module", "line"),
    [("airflow_provider_wolkvox", FIRST), ("airflow_provider_wolkvox.operators.aux_call", SECOND)],
)
def test_in_our_code_it_is_an_error(module, line):
    with pytest.raises(DEPRECATED, match="deprecated"):
        exec(line, {"__name__": module})


def test_in_the_code_of_others_it_is_theirs():
    with pytest.warns(DEPRECATED, match="deprecated"):
        exec(THIRD, {"__name__": "somebody_elses_provider.operators"})
