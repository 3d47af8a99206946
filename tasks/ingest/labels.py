"""Labels as words: which of them are probably one class, written in two ways."""

import re
import unicodedata
from collections.abc import Iterable

from tasks.contracts.samples import class_order

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_GAPS = re.compile(r"[\s_\-]+")
_GAP_IN_WORDS = re.compile(r"(?<!\d) | (?!\d)")  # "1-2" is not "12"


def alike_labels(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of labels that differ only in case, spaces, underscores, hyphens or Unicode form, in class order.

    Numbers are alike only when they are equal: -1 is not 1.
    """
    groups: dict[str, list[str]] = {}
    for label in class_order(labels):
        groups.setdefault(_key(label), []).append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _key(label: str) -> str:
    text = unicodedata.normalize("NFKC", label).casefold().strip()
    if _NUMBER.fullmatch(text):
        return text
    return _GAP_IN_WORDS.sub("", _GAPS.sub(" ", text)) or text  # "-" and "_" are signs, not gaps
