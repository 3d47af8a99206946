"""Text of strangers (labels, file names, notes) made fit for a reader: nothing in it acts, nothing hides.

Records hold text as it is; whatever writes for people or for other programs comes through here.
"""

import re

from tasks.contracts.errors import one_line

_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"  # terminal escapes, lone surrogates
_TURNING = "\u202a-\u202e\u2066-\u2069"  # the order of letters
_HIDDEN = re.compile(f"[{_CONTROLS}{_TURNING}]")
_ESCAPED = re.compile(f"[{_CONTROLS}{_TURNING}\u2028\u2029]")  # the last two end a line in a script
_MARKS = re.compile(r"[\\`*_{}\[\]#|~!$]")
_FIRST = re.compile(r"^(\d*)([-+=:.)])")  # a list, a line below a heading, a numbered list
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ADDRESS = re.compile(r"(?<=:)/(?=/)|(?<=www)\.", re.IGNORECASE)


def visible(text: str) -> str:
    """`text` with a replacement character for each one that is not shown, or that shows the others in another order."""
    return _HIDDEN.sub("\ufffd", text)


def for_terminal(text: str) -> str:
    """`text` without what would steer a terminal; line ends and tabs stay."""
    return visible(text).replace("\r", " ")


def json_text(text: str) -> str:
    """JSON with the same characters as escapes: equal when read, and fit for a terminal, a script or a file."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shortened(text: str, most: int = 300) -> str:
    """On one line, at most `most` characters, the cut shown."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def markdown(text: str, most: int = 300) -> str:
    """`text` as one line of Markdown that says just that: no markup, no link, no HTML, no end of a table's cell."""
    line = "".join(_ENTITIES.get(c, c) for c in shortened(text, most))
    line = _ADDRESS.sub(lambda found: f"&#{ord(found[0])};", _MARKS.sub(r"\\\g<0>", line))
    return _FIRST.sub(r"\1\\\2", line)
