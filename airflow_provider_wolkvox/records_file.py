"""Files of a campaign's records, as spreadsheets and programs write them: read, or refused by file, line and column."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from airflow_provider_wolkvox.phone import shown

# Which character separates the cells, by how a file's name ends; several where its header has to tell.
_SEPARATORS: Final = {".csv": ";,\t|", ".txt": ";,\t|", ".tsv": "\t"}
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


class Row(NamedTuple):
    """One record of a file.

    :param line: where it stands, from 1; of a record over several lines, the last one
    :param cells: the record: a mapping, unless the file is wrong
    :param names: the columns' names in order; none where a file has no columns
    :param wrong: why it cannot be read, with its place; default empty, it can
    """

    line: int
    cells: Any
    names: Sequence[str] = ()
    wrong: str = ""

    def where(self, name: str = "") -> str:
        """Return where in its file the record stands.

        :param name: one of its fields; default none, the whole record
        """
        if name in self.names:
            return f"line {self.line}, column {self.names.index(name) + 1}"
        return f"line {self.line}"


def read(path: str) -> Iterator[Row]:
    """Yield the records of a file, which is open meanwhile.

    Text in UTF-8, with or without a byte order mark: CSV with a header (`.csv`, `.txt`), separated by commas,
    semicolons, tabs or bars, as its header or a first line `sep=;` tells; separated by tabs (`.tsv`); or, whatever
    else its name ends in, a JSON object in each line. Empty lines are passed over, and so are cells to the right of
    the header that hold nothing.

    A line that does not fit is a row that says what is wrong with it, so that all such lines can be named at once.

    :param path: any path that Airflow's object storage knows
    :raises ValueError: the file is none of these; the message names file, line and column
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    separators = _SEPARATORS.get(PurePosixPath(path.lower()).suffix)
    file: Any
    with ObjectStoragePath(path).open("rb") as file:  # type: ignore[no-untyped-call]
        # In Airflow 3.0 such a file is no iterator.
        lines = _decoded(path, iter(file.readline, b""))
        yield from _objects(path, lines) if separators is None else _table(path, lines, separators)


def _decoded(path: str, lines: Iterator[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            if number == 1 and line.startswith(_UTF_16):
                raise UnicodeError
            # Spreadsheets put a byte order mark before the header.
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeError:
            raise ValueError(
                f"{path}, line {number}: the file is not in UTF-8. Save it so (spreadsheets: 'CSV UTF-8')"
            ) from None


def _objects(path: str, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                record = json.loads(line, parse_float=_number, object_pairs_hook=_without_duplicates)
            except (ValueError, RecursionError):
                yield Row(
                    number,
                    None,
                    wrong=f"line {number}: not a JSON object, which each line is to be "
                    f"unless the file's name ends in {', '.join(_SEPARATORS)}",
                )
            else:
                yield Row(number, record)


def _number(written: str) -> float | str:
    """Return a number, or its text where an exponent tells that a spreadsheet may have dropped its digits."""
    return written if "e" in written.lower() else float(written)


def _without_duplicates(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    if len(found) < len(fields):
        raise ValueError(fields)
    return found


def _table(path: str, lines: Iterator[str], separators: str) -> Iterator[Row]:
    before, header = 0, next(lines, "")
    if header.lower().startswith("sep=") and len(told := header[4:].rstrip("\r\n").strip('"')) == 1:
        # What Excel writes and reads, before the header.
        separators, before, header = told, 1, next(lines, "")
    separator = max(separators, key=header.count)

    def with_header() -> Iterator[str]:
        yield header
        yield from lines

    # Strict: a quote that nobody closed would take the lines after it into its cell.
    rows = csv.reader(with_header(), delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(rows, [])]
        _require_names(path, 1 + before, names)
        for cells in rows:
            line = rows.line_num + before
            if not any(cell.strip() for cell in cells):
                continue
            record = {name: cell for name, cell in zip(names, cells, strict=False) if name}
            yield Row(line, record, names, _why_not_a_row(line, cells, names))
    except csv.Error as wrong:
        raise ValueError(f"{path}, line {rows.line_num + before}: not CSV ({wrong})") from None


def _why_not_a_row(line: int, cells: Sequence[str], names: Sequence[str]) -> str:
    """Return why a line does not fit the header; empty if it does."""
    if len(cells) < len(names):
        return f"line {line}: the line ends after column {len(cells)}, and the header has {len(names)}"
    for place, cell in enumerate(cells):
        if cell.strip() and not (place < len(names) and names[place]):
            return f"line {line}, column {place + 1}: a value stands where the header has no name"
    return ""


def _require_names(path: str, line: int, names: Sequence[str]) -> None:
    if not any(names):
        raise ValueError(f"{path}, line {line}: there is no header")
    for place, name in enumerate(names):
        where = f"{path}, line {line}, column {place + 1}"
        if not name.isprintable():
            # Such a `tel1` would not be checked as a number.
            raise ValueError(f"{where}: the header holds a character that nobody sees. Type the name again")
        if name and name in names[:place]:
            raise ValueError(f"{where}: the header names {shown(name)} twice")
    if "customer_id" not in names:
        found = ", ".join(map(shown, filter(None, names[:10])))
        raise ValueError(
            f"{path}, line {line}: the header has no column customer_id, which wolkvox requires; it has {found}"
        )
