"""Text of strangers (labels, file names, notes) made fit for a reader: nothing in it acts, nothing hides.

Records hold text as it is; whatever writes for people or for other programs comes through here.
"""

import re

from tasks.contracts.errors import one_line

_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"  # terminal escapes, lone surrogates
_TURNING = "\u202a-\u202e\u2066-\u2069"  # the order of letters
_HIDDEN = re.compile(f"[{_CONTROLS}{_TURNING}]")
_ESCAPED = re.compile(f"[{_CONTROLS}{_TURNING}\u2028\u2029]")  # the last two end a line in a script
_MARKS = re.compile(
    r"[\\`*_{}\[\]#|~!$&<>@]"
    r"|(?<=\S)\("  # behind a link's text
    r"|(?<!\d):(?=\S)|:(?=[^\s\d])|(?<=www)\.",  # addresses, of mail too; the time of day is none
    re.IGNORECASE,
)
_USER = re.compile(r"://([^\s/]+)@")  # up to the last @, as a password may hold one
_FIRST = re.compile(r"^(\d*)([-+=:.)])")  # a list, a line below a heading, a numbered list


def visible(text: str) -> str:
    """`text` with a replacement character for each one that is not shown, or that shows the others in another order."""
    return _HIDDEN.sub("\ufffd", text)


def for_terminal(text: str) -> str:
    """`text` without what would steer a terminal; line ends and tabs stay."""
    return visible(text).replace("\r", " ")


def without_passwords(text: str) -> str:
    """`text` with a mask for user and password in each address: git and drivers of remotes repeat what they get.

    A token may be either; only ssh has users that are no secret.
    """
    return _USER.sub(_masked_user, text)


def json_text(text: str) -> str:
    """JSON with the same characters as escapes: equal when read, and fit for a terminal, a script or a file."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shortened(text: str, most: int = 300) -> str:
    """On one line, at most `most` characters, the cut shown."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def markdown(text: str, most: int = 300) -> str:
    """`text` as one line of Markdown that says just that: no markup, link, mention, HTML or end of a table's cell."""
    line = _MARKS.sub(lambda found: _entity(found[0]), shortened(text, most))
    return _FIRST.sub(lambda found: found[1] + _entity(found[2]), line)


def _masked_user(found: re.Match[str]) -> str:
    is_ssh = found.string.endswith("ssh", 0, found.start())
    return found[0] if is_ssh and not set(":@") & set(found[1]) else "://***@"


def _entity(character: str) -> str:
    """As a reader of Markdown shows it and follows it nowhere."""
    return f"&#{ord(character)};"
