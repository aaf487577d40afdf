"""What `mkdocs build` does besides (see `hooks` in mkdocs.yml).

It refuses pages that ask another host for anything: a reader of the documentation tells nobody of it, and it looks the
same without a network. And it takes docstrings as they are: they may tell of what a base class takes (or Airflow's own
does, as `pool`, of which the default is ours), and end a sentence with `::` before code.
"""

from __future__ import annotations

import ast
import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

# What the browser fetches on its own; `a` is not among them, since a person follows that.
_FETCHING = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
    "use": "href",
    "image": "href",
}
_OUTSIDE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_IN_CSS = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:[a-z]+:)?//[^\"')\s;]+)", re.IGNORECASE)


class _Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_style = tag == "style"
        rel = (given.get("rel") or "").split()
        if tag == "link" and ("canonical" in rel or "alternate" in rel):
            return
        address = given.get(_FETCHING.get(tag, "")) or given.get("xlink:href")
        fetched = [address, *re.split(r",\s+", given.get("srcset") or "")]
        self.outside += [each.strip() for each in fetched if each and _OUTSIDE.match(each)]
        self.outside += _IN_CSS.findall(given.get("style") or "")
        # The theme's script fetches a library of drawings from elsewhere where a page has one of these.
        if "mermaid" in (given.get("class") or "").split():
            self.outside.append("mermaid")

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.outside += _IN_CSS.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False


def outside_requests(name: str, text: str) -> list[str]:
    """Return what a built page or style sheet would fetch from another host.

    :param name: the file's name, by whose ending it is read
    :param text: what is in it
    """
    if name.endswith(".css"):
        return _IN_CSS.findall(text)
    page = _Fetches()
    page.feed(text)
    page.close()
    return page.outside


def on_startup(**given: Any) -> None:
    """Take no offence at docstrings that tell of an argument which goes up to a base class through `**kwargs`."""
    package = Path(__file__).resolve().parents[1] / "airflow_provider_wolkvox"
    known = {"pool"}.union(*map(arguments_of_classes, package.rglob("*.py")))
    about = re.compile(r"(?:Parameter|No matching parameter for) '(\w+)'")

    def tells(record: logging.LogRecord) -> bool:
        unmatched = about.search(record.getMessage())
        return unmatched is None or unmatched[1] not in known

    logging.getLogger("mkdocs.plugins.griffe").addFilter(tells)


def arguments_of_classes(file: Path) -> set[str]:
    """Return what any class of a module takes as an argument by name."""
    inits = (
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    return {argument.arg for init in inits for argument in (*init.args.args, *init.args.kwonlyargs)}


def on_page_content(html: str, **given: Any) -> str:
    """Show one colon, or none, where reStructuredText has two."""
    return html.replace("<p>::</p>", "").replace("::</p>", ":</p>")


def on_post_page(output: str, page: Any, **given: Any) -> str:
    """Tell browsers, readers aloud and searches which pages are in Spanish."""
    return output.replace('<html lang="en"', '<html lang="es"', 1) if page.file.src_uri.startswith("es/") else output


def on_post_build(config: Any) -> None:
    """Refuse the site if one of its pages asks another host for anything."""
    from mkdocs.exceptions import PluginError

    site = Path(config["site_dir"])
    found = [
        f"{file.relative_to(site)}: {address}"
        for file in sorted(site.rglob("*"))
        if file.suffix in (".html", ".css")
        for address in outside_requests(file.name, file.read_text(encoding="utf-8"))
    ]
    if found:
        raise PluginError("These would be fetched from another host:\n" + "\n".join(found))
