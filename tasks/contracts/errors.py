"""One class per kind of failure; each carries the exit code that the door returns.

A message is one line: what is wrong, where, and what to do about it.
"""


class GraftError(Exception):
    """A failure that a user can act on. Shown as one line, never as a traceback."""

    exit_code = 4


class GateRefused(GraftError):
    """A gate stopped the run: the data or the model is not fit to go on with."""

    exit_code = 1


class BadUsage(GraftError):
    """A wrong argument, parameter or place: nothing was started."""

    exit_code = 2


class BadData(GraftError):
    """The input data cannot be used as it is."""

    exit_code = 3


class BadEnvironment(GraftError):
    """The machine lacks something: disk, memory, a tool, a lock that another run holds."""

    exit_code = 4


class BrokenArtifact(GraftError):
    """A weights file, bundle or report is not what it says it is."""

    exit_code = 5


def one_line(text: str) -> str:
    """Fold `text` to one printable line: control characters (terminal escapes among them) become spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
