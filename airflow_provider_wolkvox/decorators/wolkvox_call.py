"""`@task.wolkvox_call`: a function says whom to call, and its task makes the call.

Three facts of Airflow decide how the task is kept in its token's lane [src]:

- `expand` of a decorated function does not go through the operator's `partial`, where classic tasks get their
  lane. So the decorator asks that very `partial` what a mapped task needs, and adds it.
- There, too, a task's own `default_args` lose whatever Airflow's base operator does not know. So they are added.
- A return annotation such as `dict` makes Airflow infer `multiple_outputs`, as if the dictionary were the
  result. The result is the call's `conn_id`, so nothing is inferred.
"""

from __future__ import annotations

import inspect
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, DecoratedOperator

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.calling import not_a_call

try:
    from airflow.sdk.bases.decorator import _TaskDecorator
except ImportError:  # Airflow 2.11
    from airflow.decorators.base import _TaskDecorator  # type: ignore[import-not-found, no-redef]

if TYPE_CHECKING:
    from typing import Self

    from airflow.providers.common.compat.sdk import Context, TaskDecorator

_RETURNED = ("agent_id", "customer_phone")
_LANE = ("wolkvox_conn_id", "pool", "mapped_lane", "map_index_template")
_BY_THE_FUNCTION = "(returned)"
_WHAT_TO_RETURN = (
    "Return {'agent_id': ..., 'customer_phone': ...}, to which 'call_before' may be added, or the pair (agent_id, "
    "customer_phone); raise AirflowSkipException if nobody is to be called"
)


class WolkvoxCallDecoratedOperator(DecoratedOperator, AuxCallOperator):
    """An `AuxCallOperator` whose agent and number are what a function returns; see `wolkvox_call_task`."""

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, "wolkvox_conn_id", "call_before")
    custom_operator_name = "@task.wolkvox_call"

    def __init__(self, *, python_callable: Callable[..., Any], **kwargs: Any) -> None:
        # Before 3.0 a mapped task is given all of its DAG's default_args, so maybe an agent too.
        kwargs |= dict.fromkeys(_RETURNED, _BY_THE_FUNCTION)
        super().__init__(python_callable=python_callable, **kwargs)

    @classmethod
    def validate(cls, arguments: Mapping[str, Any]) -> None:
        """Reject what cannot be right; agent and number are known only once the function has returned them.

        :param arguments: as for `Validated.validate`
        :raises ValueError: an argument cannot be right
        """
        super().validate({name: value for name, value in arguments.items() if value is not _BY_THE_FUNCTION})

    def execute(self, context: Context) -> str:
        """Ask the function whom to call, and make the call unless it was made already."""
        self._call_as_told(self.python_callable(*self.op_args, **self._arguments(context)))
        # Past DecoratedOperator, which in 3.0 fails after the call, for want of a method to push several results with.
        conn_id: str = super(DecoratedOperator, self).execute(context)
        return conn_id

    def _arguments(self, context: Context) -> dict[str, Any]:
        # Beside the context, not merged into it: a function's argument may be called like something in there.
        known: Mapping[str, Any] = ChainMap(dict(self.op_kwargs), context)  # type: ignore[arg-type]
        wanted = inspect.signature(self.python_callable).parameters
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in wanted.values()):
            return dict(known)
        return {name: known[name] for name in wanted if name in known}

    def _call_as_told(self, told: Any) -> None:
        if isinstance(told, (tuple, list)) and len(told) == len(_RETURNED):
            told = dict(zip(_RETURNED, told, strict=True))
        if why := not_a_call(told):
            # Not repeated: it may hold a number.
            self.fail(
                f"What the function {self.python_callable.__name__!r} returned {why}. No call was made and no phone "
                f"rang. {_WHAT_TO_RETURN}."
            )
        self.agent_id, self.customer_phone = (told[name] for name in _RETURNED)
        if "call_before" in told:
            self.call_before, self._has_deadline = told["call_before"], True
        if "idempotency_key" in told:
            self.idempotency_key, self._has_key = told["idempotency_key"], True


class _CallDecorator(_TaskDecorator):  # type: ignore[type-arg]
    """A decorated function that is in its token's lane when it is mapped, too."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()  # type: ignore[no-untyped-call]
        twice = [name for name in _RETURNED if name in self.kwargs]
        if twice:
            raise ValueError(f"{' and '.join(twice)} cannot be given to @task.wolkvox_call: the function returns them")
        if inspect.iscoroutinefunction(self.function):
            raise ValueError(f"@task.wolkvox_call takes no async function, such as {self.function.__name__!r}")

    def expand(self, **mapped: Any) -> Any:
        """Map over arguments of the function."""
        return super(_CallDecorator, self._in_lane()).expand(**mapped)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> Any:
        """Map over dictionaries of the function's arguments."""
        return super(_CallDecorator, self._in_lane()).expand_kwargs(kwargs, strict=strict)

    def _expand(self, expand_input: Any, *, strict: bool) -> Any:
        from airflow_provider_wolkvox.mapping import only_data

        return super()._expand(only_data(expand_input), strict=strict)

    def _in_lane(self) -> Self:
        given = {"multiple_outputs": self.multiple_outputs, **self.kwargs}
        partial: Any = self.operator_class.partial(**given)
        # Asked only what a mapped task needs, and not to be mapped itself: it would warn of that.
        partial._expand_called = True
        owners = AuxCallOperator.__mro__[: AuxCallOperator.__mro__.index(BaseOperator)]
        ours = {name for owner in owners for name in inspect.signature(owner.__init__).parameters}  # type: ignore[misc]
        defaults = self.kwargs.get("default_args") or {}
        kept = {name: value for name, value in defaults.items() if name in ours - set(_RETURNED)}
        in_lane: Any = self.override(**{**kept, **self.kwargs, **{name: partial.kwargs[name] for name in _LANE}})
        return in_lane  # type: ignore[no-any-return]


def wolkvox_call_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Make a function say whom to call: `@task.wolkvox_call`.

    ::

        @task.wolkvox_call(retries=2, max_age=timedelta(hours=2))
        def call_back(customer: dict) -> dict:
            return {"agent_id": customer["agent"], "customer_phone": customer["phone"]}


        call_back.expand(customer=customers)

    The task is an `AuxCallOperator` with all that this means: ledger, lane, calling hours, lateness; it returns the
    call's `conn_id`. The function runs at each try, and again after each wait for calling hours or for a report. If it
    then names another customer than the one who was called, or may have been, the ledger refuses the call. An exception
    of the function's fails the try as that of any `@task`; nothing was sent then.

    :param python_callable: returns a mapping with `agent_id`, `customer_phone` and, if need be, `call_before`; or the
        pair (agent_id, customer_phone)
    :param multiple_outputs: not to be set, since the result is one value
    :param kwargs: arguments of `AuxCallOperator` other than agent and number

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    """

    def decorate(function: Callable[..., Any]) -> Any:
        return _CallDecorator(
            function=function,
            multiple_outputs=bool(multiple_outputs),
            operator_class=WolkvoxCallDecoratedOperator,
            kwargs=kwargs,
        )

    decorator: Any = decorate if python_callable is None else decorate(python_callable)
    return decorator  # type: ignore[no-any-return]
