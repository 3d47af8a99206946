"""What the fields of a record mean: the comments beside them, and for those without one the words of our table."""

import ast
import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from tasks.contracts.errors import BadUsage
from tasks.exports.field_words import FIELD_WORDS


def described(record: Any) -> dict[str, str]:
    """The description of each field of a record. Raises BadUsage where one has none, or one is no field."""
    names = [field.name for field in fields(record)]
    words = FIELD_WORDS.get(record.__name__, {}) | _comments(record)
    if set(names) != set(words):
        odd = ", ".join(sorted(set(names) ^ set(words)))
        raise BadUsage(
            f"{record.__name__}: {odd} is a field without a description, or the other way round; put a comment behind "
            "the field or a line into tasks/exports/field_words.py, then run `python -m tasks.exports.schema`"
        )
    return {name: words[name] for name in names}


def _comments(record: Any) -> dict[str, str]:
    """The comment behind each field of a dataclass, or those on the lines right above it."""
    source = textwrap.dedent(inspect.getsource(record))
    said = dict(_comment_lines(source))
    body = ast.parse(source).body[0]
    found: dict[str, str] = {}
    for node in ast.iter_child_nodes(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            words = said.get((node.end_lineno or 0, True)) or _above(node.lineno, said)
            found |= {node.target.id: words} if words else {}
    return found


def _above(line: int, said: dict[tuple[int, bool], str]) -> str:
    """The block of comments that ends before a line."""
    words: list[str] = []
    while (line := line - 1, False) in said:
        words.insert(0, said[line, False])
    return " ".join(words)


def _comment_lines(source: str) -> Iterator[tuple[tuple[int, bool], str]]:
    """((line, does code stand before it), words) of each comment."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            before = token.line[: token.start[1]]
            yield (token.start[0], bool(before.strip())), token.string.lstrip("# ")
