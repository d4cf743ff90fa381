"""Matrices: equal cell by cell."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import Assignment, Expression, Matrix, Sentence, Value
from stepkit.text.answer_spelling import ROW
from stepkit.text.verdicts import Verdict, all_of, different

MATRIX = re.compile(
    r"[\[(]? ?\\begin\{(?P<env>[pbBv]?matrix|smallmatrix|array)\*?\}(?:(?<=array\})\{[^{}]*\})?"
    r"(?P<body>.*?)\\end\{(?P=env)\*?\} ?[\])]?"
)


def read_matrix(form: str, read: Read) -> Value | None:
    match = MATRIX.fullmatch(form)
    if match is None or match["env"] == "vmatrix" or "\\begin" in match["body"]:
        return None
    rows = [row for row in re.sub(r"\\hline", "", match["body"]).split(ROW) if row.strip()]
    return Matrix(form, tuple(tuple(map(read, row.split("&"))) for row in rows))


def compare(a: Matrix, b: Value, comparison: AnswerComparison) -> Verdict:
    if not isinstance(b, Matrix):
        if isinstance(b, (Expression, Assignment, Sentence)):
            return comparison.equal_formulas(a, b)
        return different("a matrix against a single answer")
    if [len(row) for row in a.rows] != [len(row) for row in b.rows]:
        return different("matrices of other shapes")
    return all_of(*map(comparison.equal, cells(a), cells(b)))


def cells(matrix: Matrix) -> list[Value]:
    """Row by row."""
    return [cell for row in matrix.rows for cell in row]
