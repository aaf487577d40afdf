"""What people save as a table is understood, or refused by file, line and column; nothing is lost on the way."""

from __future__ import annotations

import pytest

from airflow_provider_wolkvox.records_file import read

RECORDS = [{"customer_id": "c0", "tel1": "3005550100"}, {"customer_id": "c1", "tel1": "3005550101"}]


def rows_of(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read(str(file)))


def table(separator=",", end="\n", before="", after=""):
    lines = [
        f"customer_id{separator}tel1{after}",
        *(f"{each['customer_id']}{separator}{each['tel1']}{after}" for each in RECORDS),
    ]
    return before + end.join(lines) + end


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv", table()),
        ("R.CSV", table()),
        ("r.csv", table(";")),
        ("r.csv", table("\t")),
        ("r.csv", table("|")),
        ("r.txt", table(";")),
        ("r.txt", table("\t")),
        ("r.tsv", table("\t")),
        ("r.csv", table(end="\r\n")),
        ("r.csv", table(";", before="sep=;\n")),
        ("r.csv", table(";", before="sep=;\r\n", end="\r\n")),
        ("r.csv", table("^", before="SEP=^\n")),
        ("r.csv", table(";", before='"sep=;"\n'.replace('"', ""))),
        ("r.csv", "\ufeff" + table(";")),
        ("r.csv", "\ufeff" + table(";", before="sep=;\n")),
        ("r.csv", table(";", after=";;")),
        ("r.csv", table(";").replace("\n", ";;\n").replace("tel1;;", "tel1")),
        ("r.csv", table().replace("\n", "\n\n")),
        ("r.csv", table(";") + ";\n;\n"),
        ("r.csv", table().rstrip("\n")),
        ("r.csv", '"customer_id","tel1"\n"c0","3005550100"\n"c1","3005550101"\n'),
        ("r.csv", " customer_id , tel1 \nc0,3005550100\nc1,3005550101\n"),
        ("r.jsonl", '{"customer_id": "c0", "tel1": "3005550100"}\n\n{"customer_id": "c1", "tel1": "3005550101"}'),
        ("records", '\ufeff{"customer_id": "c0", "tel1": "3005550100"}\n{"customer_id": "c1", "tel1": "3005550101"}\n'),
    ],
)
def test_whatever_a_spreadsheet_makes_of_a_table_the_same_records_are_read(tmp_path, name, content):
    assert [row.cells for row in rows_of(tmp_path, name, content)] == RECORDS


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "r.csv",
            "customer_id,tel1\nc0,3005550100,x\n",
            "line 2, column 3: a value stands where the header has no name",
        ),
        (
            "r.csv",
            "customer_id,,tel1\nc0,x,3005550100\n",
            "line 2, column 2: a value stands where the header has no name",
        ),
        ("r.csv", "customer_id,tel1\n\nc0\n", "line 3: the line ends after column 1, and the header has 2"),
        ("r.csv", "sep=;\ncustomer_id;tel1\nc0\n", "line 3: the line ends after column 1"),
        ("r.csv", "customer_id,tel1,tel1\n", "line 1, column 3: the header names 'tel1' twice"),
        ("r.csv", "sep=;\ncustomer_id;customer_id\n", "line 2, column 2: the header names 'customer_id' twice"),
        ("r.csv", "customer_id,tel\u200b1\n", "line 1, column 2: the header holds a character that nobody sees"),
        ("r.csv", b"PK\x03\x04\x14", "line 1, column 1: the header holds a character that nobody sees"),
        ("r.csv", 'customer_id;name\nc0;"Ana\nc1;Luis\n', "line 3: not CSV"),
        ("r.jsonl", '{"customer_id": "c0", "tel1": "1", "tel1": "2"}', "line 1: not a JSON object"),
        ("r.csv", '"customer_id;tel1"\n"c0;1"\n', "line 1: the header has no column customer_id"),
        ("r.csv", "Customer_ID;tel1\n", "which wolkvox requires; it has 'Customer_ID', 'tel1'"),
        ("r.csv", "", "line 1: there is no header"),
        ("r.csv", "\n\n", "line 1: there is no header"),
        ("r.csv", "customer_id\nc0\nJos\xe9\n".encode("cp1252"), "line 3: the file is not in UTF-8"),
        ("r.csv", table().encode("utf-16"), "line 1: the file is not in UTF-8"),
        ("r.jsonl", b"\x80\n", "line 1: the file is not in UTF-8"),
        ("r.csv", "customer_id\n" + "x" * 200_000 + "\n", "line 2: not CSV"),
        ("r.jsonl", '{"customer_id": "c0"}\n\n{"customer_id"\n', "line 3: not a JSON object"),
        ("r.jsonl", "[" * 100_000 + "\n", "line 1: not a JSON object"),
        ("r.xlsx", b"PK\x03\x04\xff\xfe", "line 1: the file is not in UTF-8"),
        ("r.dat", table(), "line 1: not a JSON object, which each line is to be unless the file's name ends in .csv"),
    ],
)
def test_what_cannot_be_read_is_named_by_line_and_column(tmp_path, name, content, says):
    try:
        said = "; ".join(row.wrong for row in rows_of(tmp_path, name, content) if row.wrong)
    except ValueError as refused:
        said = str(refused)
        assert name in said
    assert says in said


def test_all_lines_that_do_not_fit_are_named_at_once(tmp_path):
    content = "customer_id;tel1\nc0\nc1;3005550101\nc2;3005550102;x\n"
    assert [row.wrong for row in rows_of(tmp_path, "r.csv", content)] == [
        "line 2: the line ends after column 1, and the header has 2",
        "",
        "line 4, column 3: a value stands where the header has no name",
    ]


def test_an_exponent_in_json_stays_what_was_written_and_is_no_number(tmp_path):
    [row] = rows_of(tmp_path, "r.jsonl", '{"customer_id": 3.00555E+09, "opt1": 7.5}')
    assert row.cells == {"customer_id": "3.00555E+09", "opt1": 7.5}


def test_a_cell_is_found_by_line_and_column_after_lines_that_hold_nothing_and_cells_of_several_lines(tmp_path):
    content = 'sep=;\ncustomer_id;opt1;tel1\n\nc0;"two\nlines";3005550100\nc1;;3005550101\n'
    first, second = rows_of(tmp_path, "r.csv", content)
    assert first.cells["opt1"] == "two\nlines"
    assert (first.where("tel1"), second.where("tel1"), second.where()) == (
        "line 5, column 3",
        "line 6, column 3",
        "line 6",
    )
