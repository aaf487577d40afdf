"""What people and their tables put where a number, an agent or a campaign is asked for, and what must become of it.

Each value comes from a habit: a spreadsheet's cell, a column of pandas, a form, a copied web page, a YAML file. The
numbers are invented. `digits` is what is dialled; where it is None the value is rejected before any request, and the
message holds `says`.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

try:
    import numpy as np
    import pandas as pd
except ImportError:  # they are pinned for the newest Airflow only
    np = pd = None  # type: ignore[assignment]


class Value(NamedTuple):
    """One value.

    :param name: where it comes from, for the test's name
    :param value: as a program holds it
    :param digits: what it becomes; None if it is rejected
    :param says: a part of the message of one that is rejected, in lower case
    """

    name: str
    value: Any
    digits: str | None = None
    says: str = ""


FLOAT = "read it as text"
MISSING = "missing"
TWO = "one number"
MARK = "u+"

PHONES_AS_TEXT = [
    Value("plain", "3005550101", "3005550101"),
    Value("blanks", "300 555 0101", "3005550101"),
    Value("dashes", "300-555-0101", "3005550101"),
    Value("dots", "300.555.0101", "3005550101"),
    Value("no-break blanks of a spreadsheet", "300\u00a0555\u00a00101", "3005550101"),
    Value("narrow no-break blanks", "300\u202f555\u202f0101", "3005550101"),
    Value("brackets", "(300) 555 0101", "3005550101"),
    Value("square brackets", "[300] 555 0101", "3005550101"),
    Value("blanks around it", "  3005550101  ", "3005550101"),
    Value("a line break at the end of a cell", "3005550101\n", "3005550101"),
    Value("the carriage return of a file from Windows", "3005550101\r\n", "3005550101"),
    Value("international", "+573005550101", "573005550101"),
    Value("international with blanks", "+57 300 555 0101", "573005550101"),
    Value("international with dashes", "+57-300-555-0101", "573005550101"),
    Value("a country's code in brackets", "(57) 3005550101", "573005550101"),
    Value("an international code in brackets", "(+57) 300 555 0101", "573005550101"),
    Value("a country's code without plus", "57 300 555 0101", "573005550101"),
    Value("Bogota's landline", "(601) 555 0101", "6015550101"),
    Value("Lima's mobile", "987 600 001", "987600001"),
    Value("Lima's mobile, international", "+51 987 600 001", "51987600001"),
    Value("Santiago's mobile", "+56 9 8760 0001", "56987600001"),
    Value("Guayaquil's mobile", "099 876 0001", "0998760001"),
    Value("Mexico's mobile", "+52 55 5550 0101", "525555500101"),
    Value("a number of the United States", "+1 (213) 555-0123", "12135550123"),
    Value("a landline of seven digits", "555-0101", "5550101"),
    Value("an extension of five digits", "10001", "10001"),
    Value("a leading zero", "0300 555 0101", "03005550101"),
    Value("the plus apart", "+ 57 300 555 0101", "573005550101"),
    # Text of a float, which dialled one digit more.
    Value("a float's text", "3005550101.0", says=FLOAT),
    Value("a float's text with two zeros", "3005550101.00", says=FLOAT),
    Value("a short float's text", "5550101.0", says=FLOAT),
    Value("a float's text with a comma", "3005550101,0", says=FLOAT),
    Value("an exponent", "3.00555E+09", says=FLOAT),
    Value("an exponent in Spanish", "3,00555E+09", says=FLOAT),
    Value("an exponent without its sign", "3.0055501e9", says=FLOAT),
    Value("a whole exponent", "3E+09", says=FLOAT),
    # Two numbers in one cell, which were dialled as one.
    Value("two numbers with a dash", "3005550101 - 3005550102", says=TWO),
    Value("two numbers with a dash and no blanks", "3005550101-3005550102", says=TWO),
    Value("two numbers with a slash", "3005550101/3005550102", says=TWO),
    Value("two numbers with a slash and blanks", "3005550101 / 3005550102", says=TWO),
    Value("two numbers with a blank", "3005550101 3005550102", says=TWO),
    Value("two numbers with a tab", "3005550101\t3005550102", says=TWO),
    Value("two numbers with a comma", "3005550101, 3005550102", says=TWO),
    Value("two numbers with a semicolon", "3005550101;3005550102", says=TWO),
    Value("two numbers with an 'o'", "3005550101 o 3005550102", says=TWO),
    Value("two numbers with an 'y'", "3005550101 y 3005550102", says=TWO),
    Value("two numbers in two lines", "3005550101\n3005550102", says=TWO),
    Value("a number and a landline's area", "3005550101 601", says=TWO),
    Value("two landlines", "5550101 5550102", says=TWO),
    Value("two landlines with a dash", "555-0101 - 555-0102", says=TWO),
    # Missing.
    Value("empty", "", says=MISSING),
    Value("blanks alone", "   ", says=MISSING),
    Value("nan as text", "nan", says=MISSING),
    Value("NaN as text", "NaN", says=MISSING),
    Value("None as text", "None", says=MISSING),
    Value("null as text", "null", says=MISSING),
    Value("a spreadsheet's error", "#N/A", says=MISSING),
    Value("pandas' missing as text", "<NA>", says=MISSING),
    Value("a dash for nothing", "-", says=MISSING),
    # Marks that nobody sees.
    Value("a left-to-right mark", "\u200e3005550101", says=MARK),
    Value("the marks of a phone's contacts", "\u202a+57 300 555 0101\u202c", says=MARK),
    Value("a zero-width blank", "300\u200b5550101", says=MARK),
    Value("a byte order mark", "\ufeff3005550101", says=MARK),
    Value("a NUL", "300\x005550101", says=MARK),
    # Other scripts and signs.
    Value("full-width digits", "３００５５５０１０１", says="digits"),
    Value("Arabic digits", "٣٠٠٥٥٥٠١٠١", says="digits"),
    Value("superscript digits", "300555010¹", says="digits"),
    Value("a letter o for a zero", "3OO5550101", says="digits"),
    Value("a spreadsheet's apostrophe", "'3005550101", says="digits"),
    Value("a formula", "=3005550101", says="digits"),
    Value("an extension", "601 555 0101 ext. 12", says="extension"),
    Value("an extension by x", "6015550101x12", says="extension"),
    Value("an extension in Spanish", "6015550101 ext 12", says="extension"),
    Value("the zero that is not dialled from abroad", "+57 (0) 300 555 0101", says="(0)"),
    Value("the zero without blanks", "+57(0)3005550101", says="(0)"),
    Value("two plus signs", "++573005550101", says="'+'"),
    Value("a plus at the end", "573005550101+", says="'+'"),
    Value("the international prefix of a phone's display", "tel:+573005550101", says="digits"),
    Value("a WhatsApp address", "573005550101@c.us", says="digits"),
    Value("too short", "0101", says="5 to 20"),
    Value("negative", "-3005550101", says="digits"),
    Value("a template that was not rendered", "{{ params.phone }}", says="digits"),
    Value("markup", "<b>3005550101</b>", says="digits"),
    Value("100 kB", "3" * 100_000, says="5 to 20"),
    Value("a lone surrogate", "300555\ud8000101", says="digits"),
]

PHONES_OF_PROGRAMS = [
    Value("an int", 3005550101, "3005550101"),
    Value("a short int", 10001, "10001"),
    Value("a float", 3005550101.0, says=FLOAT),
    Value("a float's NaN", float("nan"), says=MISSING),
    Value("infinity", float("inf"), says=FLOAT),
    Value("a Decimal", Decimal("3005550101"), says=FLOAT),
    Value("a Decimal's NaN", Decimal("NaN"), says=MISSING),
    Value("None", None, says=MISSING),
    Value("True", True, says="text"),
    Value("a negative int", -3005550101, says="negative"),
    Value("an int of 5,000 digits", 10**5000, says="at most 20"),
    Value("bytes", b"3005550101", says="text"),
    Value("a list", ["3005550101"], says="text"),
    Value("a dict", {"phone": "3005550101"}, says="text"),
    Value("a day", date(2026, 11, 27), says="text"),
    Value("an instant", datetime(2026, 11, 27), says="text"),
]
if np is not None:
    PHONES_OF_PROGRAMS += [
        Value("numpy's int64", np.int64(3005550101), "3005550101"),
        Value("numpy's uint64", np.uint64(3005550101), "3005550101"),
        Value("numpy's float64", np.float64(3005550101), says=FLOAT),
        Value("numpy's NaN", np.float64("nan"), says=MISSING),
        Value("numpy's bool", np.bool_(True), says="text"),
        Value("numpy's text", np.str_("300 555 0101"), "3005550101"),
        Value("a column turned float by an empty cell", pd.Series([3005550101, None]).iloc[0], says=FLOAT),
        Value("that empty cell", pd.Series([3005550101, None]).iloc[1], says=MISSING),
        Value("a column of pandas' own whole numbers", pd.Series([3005550101], dtype="Int64").iloc[0], "3005550101"),
        Value("pandas' missing", pd.NA, says=MISSING),
        Value("pandas' missing instant", pd.NaT, says=MISSING),
        Value("a column of text", pd.Series(["300 555 0101"]).iloc[0], "3005550101"),
    ]

AGENTS = [
    Value("text", "10001", "10001"),
    Value("blanks around it", " 10001 ", "10001"),
    Value("an int", 10001, "10001"),
    Value("a leading zero", "00017", "00017"),
    Value("a float's text", "10001.0", says=FLOAT),
    Value("a float", 10001.0, says=FLOAT),
    Value("an exponent", "1.0001E+04", says=FLOAT),
    Value("empty", "", says=MISSING),
    Value("nan", "nan", says=MISSING),
    Value("None", None, says=MISSING),
    Value("a name", "Ana", says="digits"),
    Value("two agents", "10001, 10002", says="digits"),
    Value("a template of a server", "{{ 10000 + 1 }}", says="digits"),
    Value("a mark that nobody sees", "\u200e10001", says=MARK),
    Value("100 kB", "1" * 100_000, says="digits"),
    Value("True", True, says="text"),
]

DIAL_PREFIXES = [
    Value("text", "9", "9"),
    Value("an int", 9, "9"),
    Value("none", "", ""),
    Value("a float's text", "9.0", says=FLOAT),
    Value("a float", 9.0, says=FLOAT),
    Value("a plus", "+57", says="digits"),
    Value("a word", "nueve", says="digits"),
]

SPOILED = "read it as text"
# A field of a customer's record that is no number to dial; `digits` is the text that is sent.
FIELDS = [
    Value("text", "Ana María", "Ana María"),
    Value("blanks around it", " c0 ", "c0"),
    Value("a leading zero", "0042", "0042"),
    Value("an int", 42, "42"),
    Value("a float of JSON", 42.0, "42"),
    Value("a part of one", 7.5, "7.5"),
    Value("None", None, ""),
    Value("a float's NaN", float("nan"), ""),
    Value("a Decimal's NaN", Decimal("NaN"), ""),
    Value("nan as text", "nan", says=SPOILED),
    Value("infinity", float("inf"), says=SPOILED),
    Value("infinity as text", "-inf", says=SPOILED),
    Value("an exponent", "3.00555E+09", says=SPOILED),
    Value("an exponent in Spanish", "3,00555E+09", says=SPOILED),
    Value("a float that has lost digits", 1e300, says=SPOILED),
    Value("pandas' missing as text", "<NA>", says=SPOILED),
    *(
        Value(f"a spreadsheet's error {error}", error, says=SPOILED)
        for error in ("#N/A", "#N/D", "#REF!", "#VALUE!", "#¡VALOR!", "#DIV/0!", "#NAME?", "#¿NOMBRE?")
    ),
    Value("a hash and words", "#12 B", "#12 B"),
    Value("True", True, says="must be text"),
    Value("bytes", b"c0", says="must be text"),
    Value("a day", date(2026, 11, 27), says="must be text"),
    Value("a list", ["c0"], says="must be text"),
]
if np is not None:
    FIELDS += [
        Value("numpy's int64", np.int64(42), "42"),
        Value("numpy's float64", np.float64(42), "42"),
        Value("numpy's bool", np.bool_(True), says="must be text"),
        Value("pandas' missing", pd.NA, ""),
        Value("pandas' missing instant", pd.NaT, ""),
    ]
