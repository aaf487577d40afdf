"""What all operators and sensors of this provider share: their arguments are validated, and data is no template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wolkvox.validation import Validated

if TYPE_CHECKING:
    from collections.abc import Collection


class WolkvoxTask(Validated):
    """Validates the arguments of an operator or a sensor, also of a mapped one.

    To be named before Airflow's base class. A class whose `checks` name an argument that its own `__init__` sets ends
    that `__init__` with `self.validate(vars(self))`.
    """

    fields_of_one: ClassVar[Collection[str]] = ()
    """The fields of which each request has one of its own, so that no two of them may be mapped over with `expand`."""

    @classmethod
    def partial(cls, *, task_id: str, **kwargs: Any) -> Any:
        """Validate what is the same for all tasks that are mapped, and have `expand` validate the rest.

        :param task_id: the task's, and `kwargs` its other arguments: those that are the same for all that it maps to
        :raises ValueError: when the DAG is parsed: one of the arguments cannot be right
        """
        from airflow_provider_wolkvox.mapping import partial_of

        partial = partial_of(super().partial(task_id=task_id, **kwargs))  # type: ignore[misc]
        try:
            cls.validate({**default_args_of(kwargs, partial), **kwargs})
        except ValueError:
            # It would warn that it was never mapped.
            partial._expand_called = True
            raise
        return partial


def default_args_of(kwargs: dict[str, Any], partial: Any) -> dict[str, Any]:
    """Return the default_args of a mapped task, its own before its group's before its DAG's.

    :param kwargs: what was given to `partial`
    :param partial: what Airflow made of it
    """
    sources = [getattr(partial.kwargs.get(owner), "default_args", None) for owner in ("dag", "task_group")]
    found: dict[str, Any] = {}
    for default_args in (*sources, kwargs.get("default_args")):
        found |= default_args or {}
    return found
