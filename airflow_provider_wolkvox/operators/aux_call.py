"""AuxCallOperator: an agent rings the customer of a predictive call that has been cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_wolkvox.operators.calling import SingleCallOperator

if TYPE_CHECKING:
    from airflow_provider_wolkvox.api import AgentCall


class AuxCallOperator(SingleCallOperator):
    """Make an agent ring the customer of a predictive call again, once that call has been cut.

    The agent must be logged in and have no active call [doc]. The task runs in its token's lane: the
    pool named after the connection, of one slot (`airflow wolkvox sync-pools` makes it). It returns
    wolkvox's `conn_id` of the new call and pushes it to XCom under the key `conn_id` as well; it is
    empty if wolkvox gave none. A call that is not accepted pushes why under the key `state`: `refused`, `not_sent` or
    `skipped` (no phone rang), or `unknown` (it may have rung).

    However often the task is run, the phone rings at most once. A ledger in SQL (`[wolkvox] ledger_conn_id`) remembers
    what became of the call, for all tasks, runs and deployments that use it. Without one, Airflow's task state store
    remembers it for the task alone (from 3.3); before, a try after the first refuses to call.

    :param agent_id: the agent's extension (templated)
    :param customer_phone: 5 to 20 digits; blanks, dashes, dots, brackets and one leading `+` are dropped,
        and the connection's `dial_prefix` is put before it (templated)
    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
        (templated if `pool` is given)
    :param calling_hours: when the customer may be called: `CallingHours`, a country's code (its law, for
        collection and commercial calls alike, in the connection's time zone), or None for any time; default
        `"connection"`: the connection's `country`, and if that is empty too, any time with a warning
    :param outside_hours: what to do when they are closed: `"wait"` (default) until they open, giving the lane
        back (from Airflow 3.1.8 [ran]; before, the task fails: put a `CallingHoursSensor` before it), `"skip"` or
        `"fail"`
    :param phone_zones: reckon the hours in every time zone that the number may be in (extra `phones`), and
        in their own only if none is known; default False
    :param cap: how often the customer may be called, by all that use the same ledger: a `Cap` or several, None for any
        number; over it, the call is treated as `outside_hours` says; default `"connection"`: the careful cap of the
        law of the connection's `country`. Needs a ledger in SQL: without one a cap of yours fails the task, and the
        law's is a warning
    :param idempotency_key: what identifies the call instead of its DAG run and customer: of all tasks that give the
        same key and use the same ledger in SQL, one calls, and the others return its `conn_id`; default None: in one
        run of a DAG, a customer is called once by one kind of operator (templated)
    :param call_before: the instant from which the call is too late, an aware datetime or its ISO 8601
        text (templated); default None
    :param max_age: how long after the run was due (the later of its `data_interval_end` and `run_after`)
        the call may still be made; default 24 hours, None for any time
    :param on_unknown: what to do when nobody saw the call's answer: `"fail"` (default), or `"look_up"`: look
        for the call in wolkvox's reports, at once and then every 5 minutes, giving the lane back in between
        (before Airflow 3.3 at once only); if it is found, the task succeeds with its `conn_id`
    :param look_up_timeout: how long after the request to look for the call; default 30 minutes
    :param ledger_retention: how long the ledger keeps the call; default None, as long as Airflow keeps
        the DAG run. What it has forgotten is done again
    :param allow_second_try: call although nothing tells whether an earlier try did: in a later try
        before Airflow 3.3, or where the ledger was wiped; default False
    :param pool: another lane than the one named after the connection, for connections that hold one
        token; a pool of one slot

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowException: nothing was sent, the token stays in use, or wolkvox's API is switched off: the task's
        `retries` apply (before Airflow 3.3 only with `allow_second_try`; else as below)
    :raises AirflowFailException: the call must not be made (again), wolkvox said no for another reason, or its
        outcome is unknown; no retry
    :raises AirflowSkipException: the hours are closed, and `outside_hours` is `"skip"`
    """

    def ring(self, **around: Any) -> AgentCall:
        """Make the auxiliary call; see `WolkvoxClient.aux_call`."""
        return self.hook.get_conn().aux_call(self.agent_id, self.customer_phone, **around)


def __getattr__(name: str) -> Any:
    # Its home is another module, which needs this one.
    if name == "AuxCallBatchOperator":
        from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator

        return AuxCallBatchOperator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
