"""What becomes of the arguments that a mapped task gets from `expand` and `expand_kwargs`.

Only text that the author of a DAG wrote is a template; what a task returned is data. Airflow keeps to that for
`expand`, but for `expand_kwargs(xcom)` it renders the values of the dictionaries as if the author had written them
(2.11 to 3.3 [src]): a customer called `{{ conn.crm.password }}` would be a password. Imported only where a DAG maps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sized
from typing import Any

try:
    from airflow.sdk.definitions._internal.expandinput import DictOfListsExpandInput, ListOfDictsExpandInput
    from airflow.sdk.definitions.mappedoperator import OperatorPartial
except ImportError:  # Airflow 2.11
    from airflow.models.expandinput import (  # type: ignore[no-redef, attr-defined]
        DictOfListsExpandInput,
        ListOfDictsExpandInput,
    )
    from airflow.models.mappedoperator import OperatorPartial  # type: ignore[no-redef, import-not-found]

DEADLINE = "call_before"


class DataOfDicts(ListOfDictsExpandInput):
    """The dictionaries of `expand_kwargs`, of which only those that the author wrote are rendered."""

    __slots__ = ()

    def resolve(self, context: Mapping[str, Any], *session: Any, **more: Any) -> tuple[Mapping[str, Any], set[int]]:
        """Return a task's dictionary, and the ids of the values in it that are no templates.

        :param context: the task's; the other arguments are Airflow 2.11's
        """
        mapping, rendered = super().resolve(context, *session, **more)
        if isinstance(self.value, Sized) and isinstance(self.value[context["ti"].map_index], Mapping):
            return mapping, rendered
        mapping = self._of_task(mapping)
        return mapping, {id(value) for value in mapping.values()}

    def _of_task(self, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
        return mapping


class ArgumentsOfDicts(DataOfDicts):
    """The same for dictionaries of an operator's own arguments."""

    __slots__ = ()

    def _of_task(self, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
        return _with_each_deadline(mapping, mapping)


class ArgumentsOfLists(DictOfListsExpandInput):
    """The lists of `expand`, which Airflow renders only where the author wrote them."""

    __slots__ = ()

    def resolve(self, context: Mapping[str, Any], *session: Any, **more: Any) -> tuple[Mapping[str, Any], set[int]]:
        """Return a task's values, and the ids of those that are no templates; as for `DataOfDicts`."""
        mapping, rendered = super().resolve(context, *session, **more)
        returned = [name for name, values in self.value.items() if not isinstance(values, (list, tuple, Mapping))]
        return _with_each_deadline(mapping, returned), rendered


class Partial(OperatorPartial):
    """What `partial` of our operators returns."""

    __slots__ = ()

    def _expand(self, expand_input: Any, *, strict: bool) -> Any:
        return super()._expand(only_arguments(self.operator_class, expand_input), strict=strict)


def partial_of(partial: Any) -> Partial:
    """Return what Airflow's own `partial` returned, as ours.

    :param partial: an `OperatorPartial`
    """
    # It would warn that it was never mapped.
    partial._expand_called = True
    return Partial(operator_class=partial.operator_class, kwargs=partial.kwargs, params=partial.params)


def only_data(expand_input: Any) -> Any:
    """Return what a decorated function is mapped over, such that nothing which a task returned is a template.

    :param expand_input: as Airflow made it of the arguments of `expand` or `expand_kwargs`
    """
    return DataOfDicts(expand_input.value) if isinstance(expand_input, ListOfDictsExpandInput) else expand_input


def only_arguments(operator_class: Any, expand_input: Any) -> Any:
    """Return the same for an operator, whose arguments are known.

    :param operator_class: the operator that is mapped, a `WolkvoxTask`
    :param expand_input: as for `only_data`
    :raises ValueError: several of the fields that make one call are mapped over with `expand`, or one cannot be right
    """
    given = expand_input.value
    if isinstance(expand_input, ListOfDictsExpandInput):
        for arguments in given if isinstance(given, (list, tuple)) else ():
            if isinstance(arguments, Mapping):
                operator_class.validate(arguments)
        return ArgumentsOfDicts(given)
    validate_expanded(operator_class.fields_of_one, given)
    for name, values in given.items():
        for value in values if isinstance(values, (list, tuple)) else ():
            operator_class.validate({name: value})
    return ArgumentsOfLists(given)


def validate_expanded(fields_of_one: Collection[str], mapped: Collection[str]) -> None:
    """Require that `expand` multiplies no call: it makes a task for every combination of what it is given.

    :param fields_of_one: the fields of which each call, or other request, has one of its own
    :param mapped: the names that `expand` was given
    :raises ValueError: several of them are mapped over
    """
    several = [name for name in mapped if name in fields_of_one]
    if len(several) > 1:
        names = ", ".join(several)
        raise ValueError(
            f"expand({names}) makes a task for every combination of {' and '.join(several)}, so each customer would be "
            "rung several times. Give expand_kwargs() a list of dictionaries instead, one for each call: "
            "expand_kwargs([{'agent_id': ..., 'customer_phone': ...}, ...])."
        )


def _with_each_deadline(mapping: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    """Return a mapping in which a deadline that a task returned empty is not taken for the author's None."""
    if DEADLINE in names and mapping[DEADLINE] is None:
        return {**mapping, DEADLINE: ""}
    return mapping
