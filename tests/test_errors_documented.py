"""Every message that a user can meet stands on docs/errors.md, and nothing stands there that no code says.

A message is known by its template: the text in the source, with `…` for each part that varies. Anything in the package
that reads like a sentence counts as a message unless it is told below why it is none, so a new one cannot be forgotten.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "airflow_provider_wolkvox"
PAGE = CHECKOUT / "docs" / "errors.md"

# The simulator is a server: what it answers is wolkvox's, and what it says to its own user stands in the reference.
# The connection form's texts are no messages.
NOT_READ = ("simulator", "get_provider_info.py")

# Modules that write texts which are no messages: there only what is raised counts.
ONLY_WHAT_IS_RAISED = ("batch_report.py", "schema.py", "sql.py", "entry.py")

# Calls whose texts explain a command or a law, or tell that all is well.
EXPLAINING_KEYWORDS = {"help", "description", "metavar", "prog", "source"}
EXPLAINING_CALLS = {"info", "debug", "Rule", "Frequency", "_no_hours_found", "_asked_for"}

NO_MESSAGES = {
    "SOCKS proxies are not supported": "told in other words by `Transport._reason`",
    "timed out": "told in other words by `Transport._reason`",
    "name resolution timed out": "told in other words by `Transport._reason`",
    "an encoding that was not asked for": "told in other words by `Transport._reason`",
    "broken off": "told in other words by `Transport._reason`",
    "closed by the server": "told in other words by `Transport._reason`",
    "a time without zone": "told as 'not an entry of the ledger'",
    "airflow wolkvox ledger status": "what to do about it",
    "taken over from Airflow's task state store": "a reason that the ledger keeps",
    "recorded in the ledger in SQL since": "a reason that Airflow's store keeps",
    "only this task": "a part of a line in the log that tells which ledger is used",
    "released by hand": "a reason that the ledger keeps",
    "not of this Airflow (any more)": "the state of a task instance, where another one's stands",
    "An attempt is never settled as an intent.": "a mistake of ours; no user's argument leads there",
    "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)": "SQL",
    "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)": "SQL",
    "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000": "SQL",
    "SELECT set_config('statement_timeout', '…s', true), set_config('lock_timeout', '…s', true), "
    "set_config('idle_in_transaction_session_timeout', '…s', true)": "SQL",
    "SET SESSION innodb_lock_wait_timeout = …": "SQL",
    "ON DUPLICATE KEY UPDATE": "SQL",
    "ON CONFLICT (…) DO UPDATE SET": "SQL",
    "INSERT INTO … (…) VALUES (…) … … = {now}": "SQL",
    "no such table": "SQLite's own words, by which its error is known",
    "unreachable: the loop ends by returning or raising": "no code comes there",
}

FEWEST_WORDS = 3
FEWEST_WORDS_RAISED = 2

_PERCENT = re.compile(r"%(?:\([a-z_]+\))?[-#0 +]*[0-9]*(?:\.[0-9]+)?[srdfgi]")
_TERM = re.compile(r"(`+)(.+)\1")


def template_of(node: ast.AST) -> str | None:
    """Return the text of an expression, `…` for each part that varies; None if it is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return _PERCENT.sub("…", text)
        case ast.JoinedStr(values=values):
            return "".join(template_of(value) or "…" for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = template_of(left), template_of(right)
            return None if sides == (None, None) else "".join(side or "…" for side in sides)
    return None


def plain(text: str) -> str:
    """Return what two spellings of one template share: not their blanks, nor what only joins them to others."""
    return " ".join(text.split()).strip("…,;.:( ")


class Messages(ast.NodeVisitor):
    """Collects a module's messages: template -> line."""

    def __init__(self, only_raised: bool = False) -> None:
        self.found: dict[str, int] = {}
        self._only_raised = only_raised
        self._raised = 0

    def visit_Raise(self, node: ast.Raise) -> None:
        self._raised += 1
        self.generic_visit(node)
        self._raised -= 1

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # else a docstring
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name != "__repr__":
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name not in EXPLAINING_CALLS:
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in EXPLAINING_KEYWORDS:
            self.generic_visit(node)

    def _visit_text(self, node: ast.expr) -> None:
        template = template_of(node)
        if template is not None and "{{" not in template:  # else Jinja's
            words = [word for word in template.split() if re.search(r"[^\W\d_]{2}", word)]
            fewest = FEWEST_WORDS_RAISED if self._raised else FEWEST_WORDS
            if len(words) >= fewest and (self._raised or not self._only_raised):
                self.found.setdefault(template, node.lineno)
            for part in varying_parts(node):
                self.visit(part)
        else:
            self.generic_visit(node)

    visit_Constant = visit_JoinedStr = visit_BinOp = _visit_text


def varying_parts(node: ast.AST) -> list[ast.expr]:
    """Return the expressions within a text: they may hold texts of their own."""
    match node:
        case ast.JoinedStr(values=values):
            return [value.value for value in values if isinstance(value, ast.FormattedValue)]
        case ast.BinOp(left=left, right=right):
            return [part for side in (left, right) for part in (varying_parts(side) if template_of(side) else [side])]
    return []


def messages_of(source: str, *, only_raised: bool = False) -> dict[str, int]:
    messages = Messages(only_raised)
    messages.visit(ast.parse(source))
    return messages.found


def said_by_the_package() -> dict[str, str]:
    """Return template -> where it stands first."""
    said: dict[str, str] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        if not set(NOT_READ) & set(file.parts):
            found = messages_of(file.read_text(), only_raised=file.name in ONLY_WHAT_IS_RAISED)
            for template, line in found.items():
                said.setdefault(template, f"{file.relative_to(CHECKOUT)}:{line}")
    return said


def told_by(page: str) -> set[str]:
    """Return the templates that a page explains: the lines that are nothing but code, each followed by its meaning."""
    lines = page.splitlines()
    terms: set[str] = set()
    waiting: list[str] = []
    for line in lines:
        term = _TERM.fullmatch(line)
        if term:
            waiting.append(term[2])
        else:
            if line.startswith(":   "):
                terms.update(waiting)
            waiting = []
    return terms


def test_every_message_is_explained():
    told = {plain(term) for term in told_by(PAGE.read_text())}
    missing = [
        (where, template)
        for template, where in said_by_the_package().items()
        if plain(template) not in told and template not in NO_MESSAGES
    ]
    entries = "\n".join(f"  {where}\n    {fenced(template)}" for where, template in missing)
    assert not missing, (
        f"docs/errors.md does not explain {len(missing)} messages. Add each of these lines to the section of the "
        "moment at which one meets it, as it stands, and after it (or after several) a line that begins with ':   ' "
        "and tells what it means, what did and did not happen, and what to do. What is no message belongs into "
        f"NO_MESSAGES of this test, with the reason.\n{entries}"
    )


def test_nothing_is_explained_that_no_code_says():
    said = {plain(template) for template in said_by_the_package()}
    stale = sorted(term for term in told_by(PAGE.read_text()) if plain(term) not in said)
    assert not stale, (
        "docs/errors.md explains what the package does not say (any more): remove these lines, or write them as the "
        "source does, with … for each part that varies:\n" + "\n".join(f"  {fenced(term)}" for term in stale)
    )


def test_what_is_said_to_be_no_message_still_stands_in_the_source():
    assert set(NO_MESSAGES) <= set(said_by_the_package())


def test_each_line_of_code_on_the_page_has_its_meaning():
    alone = {match[2] for line in PAGE.read_text().splitlines() if (match := _TERM.fullmatch(line))}
    assert alone == told_by(PAGE.read_text())


def test_the_search_finds_messages_however_they_are_written():
    source = '''
"""No message at all here."""
def f(name, log, wrong):
    """No message here either."""
    log.info("nothing to worry about")
    log.warning("%s went wrong in %.1f s", name, 3)
    arg("--x", help="explains the option well")
    why = f"{name} is too late" + (f", and {name} was told so" if wrong else "")
    raise ValueError(
        f"two {name} "
        "lines"
    )
    return "one two"
'''
    assert messages_of(source) == {
        "… went wrong in … s": 6,
        "… is too late…": 8,
        ", and … was told so": 8,
        "two … lines": 10,
    }


def test_a_message_that_is_not_on_the_page_is_noticed():
    assert told_by("`a b c`\n`d … f`\n:   Means this.\n\n`alone here`\n\n``with `code` in it``\n:   Means that.\n") == {
        "a b c",
        "d … f",
        "with `code` in it",
    }


def fenced(template: str) -> str:
    """Return a template as the page has it."""
    text = " ".join(template.split())
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"
