"""Each guess about wolkvox, marked as such in the code, stands on its page, and nothing else does."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "airflow_provider_wolkvox"
PAGE = ROOT / "docs" / "guesses.md"


def test_the_page_of_guesses_has_a_row_for_each_guess_in_the_code():
    marked = Counter(
        {
            str(path.relative_to(PACKAGE)): len(re.findall("GUESS", path.read_text()))
            for path in PACKAGE.rglob("*.py")
            if "simulator" not in path.parts
        }
    )
    told = Counter(re.findall(r"^\| `([a-z0-9_/]+\.py)` \|", PAGE.read_text(), re.M))
    assert told == +marked
    assert told.total() > 20


def test_each_row_says_what_it_decides_what_changes_it_and_how_to_find_out():
    rows = [line.strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert all(len(row) == 5 and all(cell.strip() for cell in row) for row in rows)
