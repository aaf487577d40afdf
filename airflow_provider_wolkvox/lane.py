"""The token's lane: a pool of one slot, its name, and how tasks are kept inside it.

wolkvox demands that a token is used by one request at a time [doc]. A pool of one slot is how
Airflow says that, as long as every task that uses the token is in that pool. Three facts of
Airflow decide how this is done here:

- A mapped task ignores a pool that an operator's `__init__` sets: the scheduler reads the arguments
  given to `partial` only. So both set it.
- `default_args` reach `BaseOperator` after an operator's own arguments, so a DAG-wide pool would
  quietly move a call out of its lane. Only an explicit `pool=` names another lane.
- A running task cannot look a pool up (the execution API has no route for it), so the number of
  slots is checked by `airflow wolkvox check`, not by the task.
"""

from __future__ import annotations

import inspect
import os
import re
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wolkvox.task import WolkvoxTask, default_args_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context

DEFAULT_CONN_ID = "wolkvox_default"
SLOTS = 1

ALLOW_TEST_RUNS = "WOLKVOX_ALLOW_TEST_RUNS"
"""The environment variable that, as `1`, lets test runs call the real wolkvox."""

EVERYBODYS_POOL = "default_pool"

# What Airflow accepts as a pool's name.
_POOL_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,256}")


def lane(wolkvox_conn_id: Any, pool: str | None = None) -> str:
    """Return the name of the pool that a connection's token is used in.

    :param wolkvox_conn_id: the connection; its id is the lane's name unless `pool` is given
    :param pool: the lane's name where several connections hold one token and so share a lane
    :raises ValueError: the name cannot be a pool of one slot
    """
    name = wolkvox_conn_id if pool is None else pool
    what = "wolkvox_conn_id" if pool is None else "pool"
    if name == EVERYBODYS_POOL:
        raise ValueError(
            f"{what}='{EVERYBODYS_POOL}' is no lane: that pool has many slots, so the token would be used by several "
            "requests at a time. Name a pool of one slot with pool=, or leave pool out: the lane is then named "
            "after the connection."
        )
    if not is_pool_name(name):
        raise ValueError(
            f"{what}={name!r} cannot name a lane: a pool is fixed when the DAG is parsed, and its name holds only "
            "letters, digits, '_', '.' and '-', at most 256. Name the lane with pool=, in plain text."
        )
    return str(name)


def is_pool_name(name: Any) -> bool:
    """Return whether Airflow accepts `name` as a pool's name."""
    return isinstance(name, str) and _POOL_NAME.fullmatch(name) is not None


class InLane(WolkvoxTask):
    """Keeps an operator or a sensor in its token's lane, plain or mapped.

    To be named before Airflow's base class: `class AuxCallOperator(InLane, BaseOperator)`. The class
    itself lists `wolkvox_conn_id` among its arguments, so that `default_args` can set it.

    :param wolkvox_conn_id: the connection whose token the task uses
    :param mapped_lane: set by `partial`, for nobody else: the lane of the mapped task that this one is made from
    :raises ValueError: when the DAG is parsed: the lane cannot be one, or an argument would break it
    """

    acts: ClassVar[bool] = True
    """Whether the task makes a phone ring, or changes something at wolkvox; else it only reads."""

    if TYPE_CHECKING:
        template_fields: Sequence[str]
        pool: str
        pool_slots: int
        multiple_outputs: bool
        task_id: str

    # `airflow wolkvox check` knows our tasks, in what the scheduler reads, by the connection's.
    fields_of_all: ClassVar[tuple[str, ...]] = ("wolkvox_conn_id",)
    """The templated arguments that every such task has, whatever its class lists."""

    name_when_mapped: ClassVar[str] = ""
    """The `map_index_template` of mapped tasks whose author gives none; empty for Airflow's own, the index."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields = tuple(getattr(cls, "template_fields", ()))
        cls.template_fields = (*fields, *(name for name in cls.fields_of_all if name not in fields))

    def __init__(self, *, wolkvox_conn_id: str, mapped_lane: dict[str, Any] | None = None, **kwargs: Any) -> None:
        # `pool` is in kwargs only if the author gave it: no __init__ down to here names it, and
        # Airflow fills in default_args for named arguments only.
        if mapped_lane is None:
            self.shares_lane: bool = kwargs.get("pool") is not None
            self.lane: str = lane(wolkvox_conn_id, kwargs.get("pool"))
            kwargs["pool"] = self.lane
        else:
            # Made from a mapped task: the lane is what `partial` chose, whatever has become of `pool`.
            self.lane, self.shares_lane = mapped_lane["name"], mapped_lane["shared"]
        super().__init__(**kwargs)
        self.wolkvox_conn_id = wolkvox_conn_id
        _refuse_what_breaks_the_lane(self.task_id, self.pool_slots, getattr(self, "multiple_outputs", False))

    @classmethod
    def partial(cls, *, task_id: str, **kwargs: Any) -> Any:
        """Set for mapped tasks what `__init__` sets for plain ones; see the module's first fact.

        :param task_id: the task's, and `kwargs` its other arguments: those that are the same for all that it maps to
        :raises ValueError: when the DAG is parsed: as for `lane`, or one of the arguments cannot be right
        """
        partial = super().partial(task_id=task_id, **kwargs)
        conn_id = _argument("wolkvox_conn_id", kwargs, partial, _default_connection(cls))  # type: ignore[arg-type]
        name = lane(conn_id, kwargs.get("pool"))
        # Given here in full, so that `expand(wolkvox_conn_id=[...])`, several tokens through one
        # pool, is refused by Airflow as "already specified".
        partial.kwargs["wolkvox_conn_id"] = conn_id
        partial.kwargs["pool"] = name
        # Kept a second time, since `task.pool = ...` changes the one above.
        partial.kwargs["mapped_lane"] = {"name": name, "shared": kwargs.get("pool") is not None}
        if cls.name_when_mapped and partial.kwargs.get("map_index_template") is None:
            partial.kwargs["map_index_template"] = cls.name_when_mapped
        _refuse_what_breaks_the_lane(
            task_id, partial.kwargs["pool_slots"], _argument("multiple_outputs", kwargs, partial, False)
        )
        return partial

    def begin(self, context: Context) -> None:
        """Require, before anything is asked of wolkvox, what each task that uses the token needs.

        :raises AirflowFailException: the task is outside its lane, or would act on customers in a test run
        """
        require_lane(self, context)
        if self.acts:
            task: Any = self
            require_real_run(task.hook, context)


def require_lane(task: Any, context: Context) -> None:
    """Refuse to go on outside the lane: the token might be in use this very moment.

    :param task: the running task, an `InLane`
    :raises AirflowFailException: Airflow scheduled the task in another pool, or its connection was changed
    """
    # 2.11 knows a task instance's pool; 3.x tells it to no task, so what the scheduler read is taken
    # from the DAG: there a mapped task's pool is the one given to `partial`.
    scheduled_in = getattr(context["ti"], "pool", None) or context["dag"].get_task(task.task_id).pool
    own = task.shares_lane or task.wolkvox_conn_id == task.lane
    if {scheduled_in, task.pool} != {task.lane} or not own:
        raise AirflowFailException(
            f"Task {task.task_id!r} with connection {task.wolkvox_conn_id!r} and pool {task.pool!r} runs in pool "
            f"{scheduled_in!r}, outside its lane {task.lane!r}, so the token may be in use. No request was made and "
            "no phone rang. Something changed the task's pool or connection after it was defined (a cluster policy, "
            "an assignment, expand_kwargs(strict=False)): give wolkvox_conn_id and pool to the operator instead."
        )
    if getattr(context["ti"], "pool", None):
        for doubt in _doubts_about(task):
            task.log.warning("%s", doubt)


def _doubts_about(task: Any) -> Iterator[str]:
    """Yield what may let the token be used twice at once, as far as Airflow's database tells: before 3.0 only."""
    from airflow.models.connection import Connection
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    command = "python -m airflow_provider_wolkvox"
    with create_session() as session:
        slots = session.scalar(select(Pool.slots).where(Pool.pool == task.lane))
        if slots is not None and slots != SLOTS:
            yield (
                f"Pool {task.lane!r} has {slots} slots, so the token may be used by several requests at once. Run "
                f"`{command} sync-pools --conn-id {task.lane}`."
            )
        if task.shares_lane:
            return
        token = _token_of(lambda: task.hook.connection.password)
        of_others = select(Connection).where(
            Connection.conn_type == "wolkvox", Connection.conn_id != task.wolkvox_conn_id
        )
        for other in session.scalars(of_others):
            if token and _token_of(partial(getattr, other, "password")) == token:
                yield (
                    f"Connections {task.wolkvox_conn_id!r} and {other.conn_id!r} hold one token. Give all tasks that "
                    f"use it one pool, and run `{command} check`."
                )


def _token_of(read: Callable[[], str | None]) -> str:
    """Return the token that is read; empty if it cannot be found or decrypted, which the request itself will tell."""
    try:
        return (read() or "").strip()
    except Exception:
        return ""


def require_real_run(hook: Any, context: Context) -> None:
    """Refuse to act on real customers in `airflow dags test`, `dag.test()` and `airflow tasks test`.

    Such a run deletes the real run of its date, with what is remembered of its calls, and knows no pool.

    :param hook: of the connection that is to be used
    :param context: the running task's
    :raises AirflowFailException: it is such a run, its connection has no `base_url`, and nobody allows it
    """
    from airflow_provider_wolkvox.compat import is_test_run

    if not is_test_run(context["ti"]) or os.environ.get(ALLOW_TEST_RUNS) == "1":
        return
    try:
        elsewhere = hook.extra("base_url") is not None
    except ValueError as wrong:
        raise AirflowFailException(str(wrong)) from None
    if not elsewhere:
        raise AirflowFailException(
            "This is a test run (airflow dags test, dag.test() or airflow tasks test), and connection "
            f"{hook.wolkvox_conn_id!r} leads to the real wolkvox. No request was made and no phone rang. A test run "
            "replaces the real run of its date, knows no pool, and would ring customers again. Give the connection the "
            f"base_url of a simulator; or, to ring real phones on purpose, set {ALLOW_TEST_RUNS}=1 in the environment."
        )


# Once for a class: a DAG file may map it hundreds of times, and to look at a signature takes as long as all the rest.
@cache
def _default_connection(operator: type) -> Any:
    """Return the connection that the class, or the nearest above it that names one, uses on its own."""
    for owner in operator.__mro__:
        argument = inspect.signature(owner.__init__).parameters.get("wolkvox_conn_id")  # type: ignore[misc]
        if argument is not None and argument.default is not argument.empty:
            return argument.default
    return DEFAULT_CONN_ID


def _argument(name: str, kwargs: dict[str, Any], partial: Any, default: Any) -> Any:
    """Return what Airflow will pass for `name` when it unmaps the task: explicit, else from default_args."""
    return {name: default, **default_args_of(kwargs, partial), **kwargs}[name]


def _refuse_what_breaks_the_lane(task_id: str, pool_slots: int, multiple_outputs: bool) -> None:
    if pool_slots != SLOTS:
        raise ValueError(
            f"Task {task_id!r}: pool_slots={pool_slots} does not fit the lane, which has one slot. Leave it out."
        )
    if multiple_outputs:
        # Airflow would fail the task after the call was made, since the result is no dictionary,
        # and then run it again.
        raise ValueError(f"Task {task_id!r}: multiple_outputs=True does not fit: the result is one value.")
