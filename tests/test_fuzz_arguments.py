"""Whatever an argument is given: it is taken, or a ValueError or TypeError says no, before any request.

What is called comes from the signatures, so a new argument is tried without being listed here. `make fuzz` runs more.
"""

from __future__ import annotations

import inspect
import os
import re
import warnings
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseNotifier, BaseOperator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import TOKEN

from airflow_provider_wolkvox.calling import Rules
from airflow_provider_wolkvox.notifications.wolkvox import WolkvoxCallNotifier
from airflow_provider_wolkvox.operators import (
    agent,
    aux_call,
    aux_call_batch,
    callbacks,
    campaign,
    dial,
    recall,
    transfer,
)
from airflow_provider_wolkvox.sensors import calling_hours, wolkvox
from airflow_provider_wolkvox.validation import Validated

EXAMPLES = int(os.environ.get("WOLKVOX_FUZZ_EXAMPLES", "25"))
NUMBER = "573005551234"

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from([NUMBER, int(NUMBER), f"+{NUMBER}x", TOKEN, "", " ", "False", "None", "nan", "\ud800", "1" * 300]),
    st.binary(max_size=8),
    st.timedeltas(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(
        [datetime.min, datetime.max, datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))), date.min]
    ),
    st.lists(st.one_of(st.none(), st.text(max_size=5), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    st.sampled_from([object(), dict, len, ..., Rules, Rules()]),
)

MODULES = (agent, aux_call, aux_call_batch, callbacks, campaign, dial, recall, transfer, calling_hours, wolkvox)

OPERATORS = sorted(
    {
        each
        for module in MODULES
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, (BaseOperator, BaseNotifier))
        and issubclass(each, Validated)
        and not inspect.isabstract(each)
        and each.__module__ == module.__name__
    },
    key=lambda each: each.__name__,
)


def arguments_of(operator):
    """Return the names of an operator's arguments that are ours, and none of Airflow's."""
    owners = [each for each in operator.__mro__ if each.__module__.startswith("airflow_provider_wolkvox")]
    names = {name for owner in owners for name in inspect.signature(owner.__init__).parameters}
    return sorted(names - {"self", "args", "kwargs", "mapped_lane", "poke_interval", "timeout", "wolkvox_conn_id"})


def says_no(act, *names):
    """Act; whatever is said against it names an argument and repeats neither number nor token."""
    said = None
    try:
        act()
    except (ValueError, TypeError) as no:
        said = str(no)
    if said is not None:
        assert any(name in said for name in names), said
        assert NUMBER not in re.sub(r"[^0-9]", "", said), said
        assert TOKEN not in said


quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda each: each.__name__)
@quick
@given(data=st.data())
def test_an_operators_argument_is_taken_or_refused_when_the_dag_is_parsed(operator, data):
    name = data.draw(st.sampled_from(arguments_of(operator)), label="argument")
    value = data.draw(anything, label="value")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with DAG("fuzz", schedule=None):
            says_no(lambda: operator.partial(task_id="task", **{name: value}), name, "hours")
        with DAG("fuzz", schedule=None):
            says_no(lambda: operator.partial(task_id="task").expand_kwargs([{name: value}]), name, "hours")


@quick
@given(value=anything)
@pytest.mark.parametrize("name", list(inspect.signature(WolkvoxCallNotifier).parameters))
def test_a_notifiers_argument_is_taken_or_refused(name, value):
    says_no(lambda: WolkvoxCallNotifier(**{name: value}), name)


@quick
@given(value=anything)
@pytest.mark.parametrize("name", list(inspect.signature(Rules).parameters))
def test_a_rule_is_taken_or_refused(name, value):
    if value == TOKEN:
        # It has no business near rules, which repeat a word that they do not know.
        return
    says_no(lambda: Rules(**{name: value}), name, "within", "default_zone", "results", "dispositions")
