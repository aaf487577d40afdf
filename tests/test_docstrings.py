"""Every public name of the package tells what it is for: its parameters, their units, and what it raises.

Read from the source, so that nothing has to be imported, and decorators hide nothing. Public is what no part of
whose path begins with an underscore.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from textwrap import dedent

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "airflow_provider_wolkvox"

# Packages of rooms behind one face. What the face's `__all__` does not offer is called by its neighbours alone, who
# see names and types where they call it: it tells its units and its errors, and need not tell of each parameter.
ROOMED = {"airflow_provider_wolkvox.simulator"}

# Airflow's own words, which every operator and sensor is given: its documentation tells them.
AIRFLOWS = {"context"}
# What Airflow calls of a task: whoever writes a DAG reads in the class's own docstring what becomes of it.
BY_AIRFLOW = {"execute", "poke", "ask"}

_PARAM = re.compile(r"^\s*:param\s+\*{0,2}(\w+):((?:.|\n)*?)(?=^\s*:\w|\n\s*\n|\Z)", re.MULTILINE)
_RAISES = re.compile(r"^\s*:raises\s+([\w.]+):\s*\S", re.MULTILINE)
_AS_FOR = re.compile(r"\b(?:as for|as of|see|told by)\s+`([\w.]+)`")
_NAMED = re.compile(r"`([A-Za-z_]\w*)`")
# The names of numbers that mean nothing without a unit.
_MEASURE = re.compile(r"(^|_)(timeout|interval|delay|wait|pace|length|latency|duration|every|age|size|rate)$")
_UNIT = re.compile(
    r"\b(milliseconds?|ms|seconds?|minutes?|hours?|days?|bytes?|[KMG]B|timedelta|percent|share|chance|probability|times"
    r"|rows?|records?|lines?|calls?|requests?|digits)\b"
)


@dataclass
class Told:
    """What one public class or function says of itself, and what it would have to say."""

    name: str
    where: str
    text: str | None
    parameters: dict[str, str] = field(default_factory=dict)
    takes_more: bool = False
    raised: set[str] = field(default_factory=set)
    # Whose words count for it too: what a class is derived from, or the method that a method stands in for.
    elders: list[str] = field(default_factory=list)
    # Whether a face hides it from those who use its package.
    inner: bool = False

    @property
    def params(self) -> dict[str, str]:
        return dict(_PARAM.findall(self.text or ""))

    @property
    def raises(self) -> set[str]:
        return {name.rpartition(".")[2] for name in _RAISES.findall(self.text or "")}


def modules() -> dict[str, Path]:
    """The public modules of the package, by name."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(CHECKOUT).with_suffix("").parts
        if not any(part.startswith("_") and not part.startswith("__") for part in parts):
            found[".".join(part for part in parts if part != "__init__")] = file
    return found


def is_public(name: str) -> bool:
    """Whether those who use the package may know a name; an object that is called is used by its `__call__`."""
    return not name.startswith("_") or name == "__call__"


def last_name(node: ast.AST) -> str | None:
    """The name at the end of `a.b.Name`, `Name` or `Name[...]`."""
    if isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def raised_in(body: list[ast.stmt]) -> set[str]:
    """The exceptions that a body raises by name, without those of functions and classes inside it."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            return
        if isinstance(node, ast.Raise) and node.exc is not None:
            what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            for one in (what.body, what.orelse) if isinstance(what, ast.IfExp) else (what,):
                name = last_name(one)
                # `raise failure` raises again what somebody else raised.
                if name and name[0].isupper():
                    found.add(name)
        for child in ast.iter_child_nodes(node):
            visit(child)

    for statement in body:
        visit(statement)
    return found


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef, *, bound: bool) -> dict[str, str]:
    given = [*function.args.posonlyargs, *function.args.args]
    given = [*(given[1:] if bound else given), *function.args.kwonlyargs]
    return {one.arg: ast.unparse(one.annotation) if one.annotation else "" for one in given if is_public(one.arg)}


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str | None]:
    return {last_name(one.func if isinstance(one, ast.Call) else one) for one in node.decorator_list}


def fields_of(node: ast.ClassDef) -> dict[str, str]:
    """The parameters that a dataclass makes of its fields; one with a text behind it is told there."""
    if "dataclass" not in decorators(node):
        return {}
    found = {}
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            annotation = ast.unparse(statement.annotation)
            in_init = "init=False" not in ast.unparse(statement)
            told_here = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if in_init and is_public(statement.target.id) and "ClassVar" not in annotation and not told_here:
                found[statement.target.id] = annotation
    return found


def read_function(node: ast.FunctionDef | ast.AsyncFunctionDef, where: str, owner: ast.ClassDef | None) -> Told:
    kinds = decorators(node)
    return Told(
        name=f"{owner.name}.{node.name}" if owner else node.name,
        where=where,
        text=ast.get_docstring(node),
        parameters={}
        if kinds & {"property", "cached_property"}
        else parameters_of(node, bound=owner is not None and "staticmethod" not in kinds),
        takes_more=node.args.kwarg is not None,
        raised=raised_in(node.body),
        elders=[f"{base}.{node.name}" for base in map(last_name, owner.bases) if base] if owner else [],
    )


def read_class(node: ast.ClassDef, where: str) -> Iterator[Told]:
    told = Told(node.name, where, ast.get_docstring(node), fields_of(node))
    told.elders = [base for base in map(last_name, node.bases) if base]
    told.takes_more = bool(told.elders)
    for method in node.body:
        if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if method.name in ("__init__", "__post_init__", "__new__"):
            told.parameters |= parameters_of(method, bound=True)
            told.raised |= raised_in(method.body)
            told.text = "\n\n".join(filter(None, (told.text, ast.get_docstring(method)))) or None
        elif is_public(method.name) and "overload" not in decorators(method) and not is_setter(method):
            yield read_function(method, where, node)
    yield told
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and is_public(inner.name):
            yield from read_class(inner, where)


def is_setter(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return bool(decorators(node) & {"setter", "deleter"})


def read(source: str, where: str) -> Iterator[Told]:
    """What the public names of a module say of themselves, the module first."""
    tree = ast.parse(source)
    yield Told(where, where, ast.get_docstring(tree))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield from read_class(node, where)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_public(node.name):
            yield read_function(node, where, None)


def offered_by(source: str) -> set[str]:
    """The names in a module's `__all__`."""
    [names] = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and [last_name(target) for target in node.targets] == ["__all__"]
    ]
    return set(ast.literal_eval(names))


def behind(told: Told, faces: dict[str, set[str]]) -> Told:
    """Note of a name whether a face hides it; `faces` are what each roomed package offers."""
    offered = [offers for face, offers in faces.items() if told.where.startswith(f"{face}.")]
    told.inner = bool(offered) and not any(told.name.partition(".")[0] in offers for offers in offered)
    return told


def everything(instead: Mapping[str, str] | None = None) -> list[Told]:
    """What all public names say; with sources of modules, by name, instead of what is in their files."""
    sources = {name: file.read_text(encoding="utf-8") for name, file in modules().items()} | dict(instead or {})
    hiding = {package: offered_by(sources[package]) for package in ROOMED}
    return [behind(told, hiding) for name, source in sources.items() for told in read(source, name)]


class Judge:
    """Knows what all public names say, since one may point to another."""

    def __init__(self, told: list[Told]) -> None:
        self.by_name: dict[str, list[Told]] = {}
        for one in told:
            self.by_name.setdefault(one.name, []).append(one)

    def words_for(self, told: Told) -> list[Told]:
        """A name itself, what its text points to ("as for `X`") and what it stands in for, and so on."""
        found: list[Told] = []
        to_do = [told]
        while to_do:
            one = to_do.pop(0)
            if one not in found:
                found.append(one)
                names = (*_AS_FOR.findall(one.text or ""), *one.elders)
                to_do += filter(None, (self.meant(name, one) for name in names))
        return found

    def meant(self, name: str, by: Told) -> Told | None:
        """What a name means by another: a method of its class before all else, its module before any other."""
        owner = by.name.rpartition(".")[0]
        others = [
            other for known in (f"{owner}.{name}", name) for other in self.by_name.get(known, ()) if other is not by
        ]
        nearest = sorted(others, key=lambda other: other.where != by.where)
        return nearest[0] if nearest else self.inherited(name, by)

    def inherited(self, name: str, by: Told) -> Told | None:
        """The method `Class.name`, from the nearest class above that has it."""
        owner, _, method = name.rpartition(".")
        above = self.meant(owner, by) if owner else None
        found = (self.meant(f"{elder}.{method}", above) for elder in (above.elders if above else ()))
        return next(filter(None, found), None)

    def wrong_with(self, told: Told) -> Iterator[str]:
        """What a name leaves untold."""
        if not told.text or not told.text.strip():
            yield f"{told.where}: {told.name} has no docstring"
            return
        words = self.words_for(told)
        for name, annotation in told.parameters.items():
            if name in AIRFLOWS:
                continue
            texts = [text for one in words for param, text in one.params.items() if param == name]
            named = any(name in _NAMED.findall(one.text or "") for one in words)
            if not texts and not named and not told.inner:
                yield f"{told.where}: {told.name} does not tell its parameter {name}"
            elif needs_unit(name, annotation) and not any(map(_UNIT.search, texts)):
                yield f"{told.where}: {told.name} does not tell the unit of {name} ({annotation})"
        owner, _, method = told.name.rpartition(".")
        known = {name for one in words for name in one.raises}
        if owner and method in BY_AIRFLOW:
            [itself] = [one for one in self.by_name[owner] if one.where == told.where]
            known |= {name for one in self.words_for(itself) for name in one.raises}
        for exception in sorted(told.raised - known):
            yield f"{told.where}: {told.name} does not tell that it raises {exception}"
        if not told.takes_more:
            for name in sorted(set(told.params) - set(told.parameters) - public_fields(told)):
                yield f"{told.where}: {told.name} tells of a parameter {name} that it does not have"


def public_fields(told: Told) -> set[str]:
    """The names of `*` and `**` parameters, which may be told although they are not demanded."""
    return set(re.findall(r":param\s+\*{1,2}(\w+):", told.text or ""))


def needs_unit(name: str, annotation: str) -> bool:
    """Whether type and name leave open in which unit a number is; a timedelta does not, nor does `seconds`."""
    if "Callable" in annotation or any(map(_UNIT.fullmatch, name.split("_"))):
        return False
    if re.search(r"\bfloat\b", annotation):
        return True
    return bool(re.search(r"\bint\b", annotation) and _MEASURE.search(name))


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(everything())


@pytest.mark.parametrize("module", modules())
def test_every_public_name_tells_its_parameters_their_units_and_its_errors(judge, module):
    wrong = [
        line
        for told in chain.from_iterable(judge.by_name.values())
        if told.where == module
        for line in judge.wrong_with(told)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_ruff_demands_a_docstring_of_every_public_name():
    pytest.importorskip("ruff", reason="the environments of the matrix have no linter")
    bare = "class Oven:\n    class Door: ...\n\n    def bake(self) -> None: ...\n\n\ndef eat() -> None: ...\n"
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--stdin-filename",
            PACKAGE / "bakery.py",
            "--output-format=concise",
            "-",
        ],
        input=bare,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    # Module, class, method, function, nested class.
    assert set(re.findall(r"\bD1\d\d\b", told)) == {"D100", "D101", "D102", "D103", "D106"}


# The judge itself

GOOD = '''
    """A module."""

    class Oven:
        """Bakes.

        :param heat: how hot
        :param wait: seconds until it is
        :raises ValueError: too hot
        """

        def __init__(self, heat: int, wait: float = 1.0) -> None:
            if heat > 300:
                raise ValueError(heat)

        def bake(self, bread: str, context: object) -> str:
            """Return `bread`, baked.

            :raises LookupError: there is none
            """
            if not bread:
                raise LookupError
            return bread

    class Grill(Oven):
        """Bakes from above. The rest is as for `Oven`."""

        def __init__(self, heat: int, **kwargs: float) -> None:
            super().__init__(heat, **kwargs)

        def bake(self, bread: str, context: object) -> str:
            """Return it burnt."""
            raise LookupError(bread)
'''


def judged(source: str) -> list[str]:
    told = list(read(dedent(source), "bakery"))
    judge = Judge(told)
    return [line.partition(": ")[2] for one in told for line in judge.wrong_with(one)]


def test_a_module_that_tells_everything_passes():
    assert judged(GOOD) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda text: text.replace('"""A module."""', ""), "bakery has no docstring"),
        (lambda text: text.replace('"""Return it burnt."""', "pass"), "Grill.bake has no docstring"),
        (lambda text: text.replace(":param heat: how hot", ""), "Oven does not tell its parameter heat"),
        (lambda text: text.replace("`bread`", "it"), "Oven.bake does not tell its parameter bread"),
        (lambda text: text.replace("seconds until", "until"), "Oven does not tell the unit of wait (float)"),
        (lambda text: text.replace(":raises ValueError: too hot", ""), "Oven does not tell that it raises ValueError"),
        (lambda text: text.replace("raise LookupError(bread)", "raise KeyError"), "Grill.bake does not tell that it"),
        (lambda text: text.replace("as for `Oven`", "as ever").replace("(Oven)", ""), "Grill does not tell its para"),
        (lambda text: text.replace(":raises LookupError", ":param salt: a pinch\n            :raises LookupError"),
         "Oven.bake tells of a parameter salt that it does not have"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_found(change: Callable[[str], str], found: str):
    assert change(GOOD) != GOOD
    assert any(line.startswith(found) for line in judged(change(GOOD))), judged(change(GOOD))


# What the face of a package offers, and what it hides


def with_parameter(source: str, path: str) -> str:
    """The source of a module whose function or method `path` takes a parameter of which it does not tell."""
    tree = ast.parse(source)
    node: ast.AST = tree
    for name in path.split("."):
        [node] = [
            one
            for one in ast.iter_child_nodes(node)
            if isinstance(one, ast.ClassDef | ast.FunctionDef) and one.name == name
        ]
    assert isinstance(node, ast.FunctionDef)
    node.args.kwonlyargs.append(ast.arg("untold", ast.Name("object")))
    node.args.kw_defaults.append(None)
    return ast.unparse(ast.fix_missing_locations(tree))


def found_untold(module: str, path: str) -> list[str]:
    full = f"airflow_provider_wolkvox.{module}"
    told = everything({full: with_parameter(modules()[full].read_text(encoding="utf-8"), path)})
    judge = Judge(told)
    return [line for one in told if one.where == full for line in judge.wrong_with(one) if "untold" in line]


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("simulator.simulator", "Simulator.__init__"),
        ("simulator.simulator", "Simulator.add_campaign"),
        ("simulator.state.calls", "CallResult.of"),
        ("pytest_plugin", "wolkvox_connection"),
        ("pytest_plugin", "ConnectWolkvox.__call__"),
        ("api.client", "WolkvoxClient.__init__"),
        ("api.agents", "AgentMethods.aux_call"),
        ("operators.calling", "SingleCallOperator.__init__"),
        ("operators.aux_call_batch", "AuxCallBatchOperator.__init__"),
    ],
)
def test_a_parameter_told_nowhere_is_found_wherever_a_user_could_give_it(module, path):
    assert len(found_untold(module, path)) == 1


def test_a_parameter_evident_to_the_neighbours_of_an_inner_room_need_not_be_told():
    assert found_untold("simulator.state.operation", "Operation.ring") == []


def test_what_a_face_hides_still_tells_its_units_and_its_errors():
    source = dedent(GOOD.replace(":param heat: how hot", "").replace("seconds until", "").replace(":raises Value", ""))
    told = [behind(one, {"village": {"Grill"}}) for one in read(source, "village.bakery")]
    judge = Judge(told)
    assert [line.partition(": ")[2] for one in told for line in judge.wrong_with(one)] == [
        "Oven does not tell the unit of wait (float)",
        "Oven does not tell that it raises ValueError",
        "Grill does not tell its parameter heat",
    ]
