"""Only text that the author of a DAG wrote is a template: what a task returned, or wolkvox reported, is data."""

from __future__ import annotations

import importlib

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, task, task_group
from samples import AGENT, PHONE, TOKEN
from task_runner import RUN_ID, Server, run_try

from airflow_provider_wolkvox.operators.agent import AgentStatusOperator, CallDispositionOperator, HangUpOperator
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator
from airflow_provider_wolkvox.operators.campaign import CampaignAddRecordsOperator, CampaignRecallOperator
from airflow_provider_wolkvox.operators.dial import DialOperator
from airflow_provider_wolkvox.operators.recall import ScheduleRecallOperator
from airflow_provider_wolkvox.operators.transfer import TransferOperator

# As hostile as a customer's name can be.
HOSTILE = "{{ conn.wolkvox_default.password }}"
NO_AGENT = "{{ 10000 + 1 }}"
NO_PHONE = "{{ 3005550101 + 0 }}"
CALL = {"agent_id": AGENT, "customer_phone": PHONE}


@pytest.fixture(autouse=True)
def anybody_s_agent(simulator, wolkvox_connection):
    """A wolkvox that would ring whoever the templates name."""


class Upstream(BaseOperator):
    """Stands for a task that read customers from somewhere."""

    def execute(self, context):
        """Nothing: what it returned is the server's."""


class Tried:
    """A try of the first task that something maps to, and its operator with its arguments rendered."""

    def __init__(self, map_over, returned=None, server=None):
        def make(dag):
            return map_over(Upstream(task_id="customers").output)

        server = server or Server()
        server.upstream = {"customers": returned, "more": []}
        self.result = run_try(make, server, around=self._first)

    def _first(self, ti):
        if getattr(ti.task, "is_mapped", False) or hasattr(ti.task, "unmap") or ti.task.task_group.node_id:
            ti.map_index = 0
        self._ti = ti

    def __getattr__(self, name):
        return getattr(self._ti.task, name)


def refused(tried, simulator, words):
    assert tried.result.state == "failed"
    assert words in str(tried.result.error)
    assert simulator.rings == {}
    assert simulator.stats(TOKEN).requests == 0


MAPPED_WITH_DATA = [
    lambda operator, customers, fixed: operator.partial(task_id="call", **fixed).expand_kwargs(customers),
    lambda operator, customers, fixed: operator.partial(task_id="call", **fixed).expand_kwargs(
        customers.map(lambda row: dict(row))
    ),
    lambda operator, customers, fixed: operator.partial(task_id="call", **fixed).expand_kwargs(
        customers.concat(Upstream(task_id="more").output)
    ),
]


@pytest.mark.parametrize("mapped", MAPPED_WITH_DATA, ids=["expand_kwargs", "map", "concat"])
def test_what_a_task_returned_is_no_template_in_expand_kwargs(simulator, mapped):
    tried = Tried(
        lambda customers: mapped(DialOperator, customers, {}),
        [{**CALL, "customer_name": HOSTILE, "customer_id": "{% if 1 %}7{% endif %}"}],
    )

    assert tried.result.error is None
    assert (tried.customer_name, tried.customer_id) == (HOSTILE, "{% if 1 %}7{% endif %}")
    assert simulator.rings == {PHONE: 1}


def test_an_element_of_the_authors_list_that_a_task_returned_is_no_template_either(simulator):
    tried = Tried(
        lambda customer: DialOperator.partial(task_id="call").expand_kwargs([customer, CALL]),
        {**CALL, "customer_name": HOSTILE},
    )

    assert tried.result.error is None
    assert tried.customer_name == HOSTILE


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"agent_id": NO_AGENT}, "agent_id is not digits"),
        ({"customer_phone": NO_PHONE}, "customer_phone"),
        ({"call_before": "{{ '2999-01-01 00:00:00+00:00' }}"}, "call_before"),
    ],
)
@pytest.mark.parametrize("operator", [AuxCallOperator, DialOperator, TransferOperator])
def test_what_is_no_agent_number_or_instant_is_refused_as_it_stands(simulator, operator, wrong, words):
    tried = Tried(lambda customers: operator.partial(task_id="call").expand_kwargs(customers), [{**CALL, **wrong}])

    refused(tried, simulator, words)


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        (HangUpOperator, {"agent_id": NO_AGENT}),
        (AgentStatusOperator, {"agent_id": NO_AGENT, "status": "ready"}),
        (AgentStatusOperator, {"agent_id": AGENT, "status": "{{ 'ready' }}"}),
        (CallDispositionOperator, {"agent_id": NO_AGENT, "cod_act": "A", "cod_act_2": "B"}),
        (CampaignRecallOperator, {"campaign_id": "{{ 32841 }}"}),
        (CampaignAddRecordsOperator, {"campaign_id": "{{ 32841 }}", "records": [{"customer_id": "1"}]}),
        (AuxCallBatchOperator, {"calls": "{{ [] }}"}),
    ],
)
def test_every_operator_takes_what_a_task_returned_as_it_stands(simulator, operator, values):
    tried = Tried(lambda customers: operator.partial(task_id="call").expand_kwargs(customers), [values])

    assert tried.result.state == "failed"
    assert simulator.stats(TOKEN).requests == 0


def test_a_batchs_calls_in_a_mapped_dictionary_are_no_templates(simulator):
    calls = [{"agent_id": NO_AGENT, "customer_phone": "3005550102"}, CALL]
    tried = Tried(
        lambda customers: AuxCallBatchOperator.partial(task_id="call", wait_for_agents=False).expand_kwargs(customers),
        [{"calls": calls}],
    )

    assert tried.calls == calls
    assert simulator.rings == {PHONE: 1}


def test_a_campaigns_records_in_a_mapped_dictionary_are_no_templates(simulator):
    records = [{"customer_id": "1", "tel1": PHONE, "opt1": HOSTILE}]
    tried = Tried(
        lambda customers: CampaignAddRecordsOperator.partial(task_id="call", campaign_id="1").expand_kwargs(customers),
        [{"records": records}],
    )

    assert tried.records == records


OTHER_WAYS = {
    "expand": lambda names: DialOperator.partial(task_id="call", **CALL).expand(customer_name=names),
    "plain": lambda name: DialOperator(task_id="call", **CALL, customer_name=name),
    "partial": lambda name: DialOperator.partial(task_id="call", agent_id=AGENT, customer_name=name).expand(
        customer_phone=[PHONE]
    ),
    "zip": lambda names: DialOperator.partial(task_id="call").expand_kwargs(
        names.zip(names).map(lambda pair: {**CALL, "customer_name": pair[0]})
    ),
    "a template": lambda _: DialOperator(
        task_id="call", **CALL, customer_name="{{ ti.xcom_pull(task_ids='customers') }}"
    ),
    "a text with an output in it": lambda name: DialOperator(task_id="call", **CALL, customer_name=f"{name}"),
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_nor_is_it_in_any_other_way_to_hand_it_over(simulator, way):
    tried = Tried(OTHER_WAYS[way], [HOSTILE] if way in ("expand", "zip") else HOSTILE)

    assert tried.result.error is None
    assert tried.customer_name == HOSTILE


@pytest.mark.parametrize("expand", ["expand", "expand_kwargs"])
def test_nor_is_it_in_a_mapped_group(simulator, expand):
    @task_group
    def group(customer_name):
        DialOperator(task_id="call", **CALL, customer_name=customer_name)

    def mapped(names):
        made = group.expand(customer_name=names) if expand == "expand" else group.expand_kwargs(names)
        return made.dag.get_task("group.call")

    tried = Tried(mapped, [HOSTILE] if expand == "expand" else [{"customer_name": HOSTILE}])

    assert tried.result.error is None
    assert tried.customer_name == HOSTILE


def test_a_functions_arguments_from_another_task_are_no_templates(simulator):
    got = []

    def call(customer_name, nested):
        got.append((customer_name, nested))
        return CALL

    Tried(
        lambda customers: task.wolkvox_call(call).expand_kwargs(customers).operator,
        [{"customer_name": HOSTILE, "nested": [{"deep": HOSTILE}]}],
    )

    assert got == [(HOSTILE, [{"deep": HOSTILE}])]


def test_what_a_function_returns_is_no_template(simulator):
    def call():
        return {"agent_id": NO_AGENT, "customer_phone": PHONE}

    tried = Tried(lambda _: task.wolkvox_call(call)().operator)

    refused(tried, simulator, "not digits")


AUTHORS = {
    "expand_kwargs": lambda: DialOperator.partial(task_id="call").expand_kwargs(
        [{**CALL, "customer_name": "{{ run_id }}"}]
    ),
    "expand": lambda: DialOperator.partial(task_id="call", **CALL).expand(customer_name=["{{ run_id }}"]),
    "partial": lambda: DialOperator.partial(task_id="call", agent_id=AGENT, customer_name="{{ run_id }}").expand(
        customer_phone=[PHONE]
    ),
    "plain": lambda: DialOperator(task_id="call", **CALL, customer_name="{{ run_id }}"),
}


@pytest.mark.parametrize("way", AUTHORS)
def test_what_the_author_wrote_is_a_template(simulator, way):
    tried = Tried(lambda _: AUTHORS[way]())

    assert tried.result.error is None
    assert tried.customer_name == RUN_ID


def test_what_the_author_wrote_in_a_list_of_a_functions_arguments_is_a_template(simulator):
    got = []

    def call(run, nested):
        got.append((run, nested))
        return CALL

    written = [{"run": "{{ run_id }}", "nested": [{"deep": "{{ run_id }}"}]}]
    Tried(lambda _: task.wolkvox_call(call).expand_kwargs(written).operator)

    assert got == [(RUN_ID, [{"deep": RUN_ID}])]


def test_what_the_author_wrote_beside_the_output_of_a_task_is_a_template(simulator):
    tried = Tried(
        lambda customers: DialOperator.partial(task_id="call", customer_id="{{ run_id }}").expand_kwargs(customers),
        [{**CALL, "customer_name": HOSTILE}],
    )

    assert (tried.customer_id, tried.customer_name) == (RUN_ID, HOSTILE)


def test_no_field_of_ours_reads_a_file():
    package = "airflow_provider_wolkvox"
    for module in ("operators.recall", "operators.callbacks", "sensors.wolkvox", "sensors.calling_hours"):
        importlib.import_module(f"{package}.{module}")
    ours = [each for each in all_subclasses(BaseOperator) if each.__module__.startswith(package)]
    assert len(ours) > 15
    assert {tuple(each.template_ext) for each in ours} == {()}


def all_subclasses(of):
    for each in of.__subclasses__():
        yield each
        yield from all_subclasses(each)


@pytest.mark.parametrize(
    ("operator", "mapped"),
    [
        (AuxCallOperator, {"agent_id": [AGENT, "10002"], "customer_phone": [PHONE]}),
        (DialOperator, {"customer_phone": [PHONE], "customer_name": ["Ana"]}),
        (TransferOperator, {"agent_id": [AGENT], "customer_phone": [PHONE]}),
        (CallDispositionOperator, {"agent_id": [AGENT], "cod_act": ["A"]}),
        (ScheduleRecallOperator, {"agent_id": [AGENT], "customer_phone": [PHONE]}),
    ],
)
@pytest.mark.filterwarnings("ignore:Task 'call' was never mapped")
def test_expand_over_several_fields_of_one_call_is_rejected(operator, mapped):
    with DAG("callbacks", schedule=None), pytest.raises(ValueError, match="expand_kwargs"):
        operator.partial(task_id="call").expand(**mapped)
