"""Progress of long work: a bar on a terminal, plain lines elsewhere. Always on stderr."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tasks.contracts.text import for_terminal, without_passwords

T = TypeVar("T")
LOG = logging.getLogger("graft")
LOG.propagate = False  # what is said is on the terminal already: a library that prints all records would say it again
_SECONDS_BETWEEN_LINES = 10.0
QUIET = "GRAFT_QUIET"  # set in the environment by `--quiet`, so that child processes are quiet too


def say(text: str) -> None:
    """One plain line about what is going on, which the log of the run gets as well."""
    text = without_passwords(text)
    LOG.info("%s", text)
    if not os.environ.get(QUIET):
        sys.stderr.write(for_terminal(text) + "\n")
        sys.stderr.flush()


def progress(items: Iterable[T], total: int, what: str, unit: str = "images") -> Iterator[T]:
    """Yield `items` and show how far it is: `what` names the work, `unit` what is counted."""
    with meter(total, what, unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def meter(
    total: int, what: str, unit: str = "images", done: int = 0, note: Callable[[], str] = str
) -> Iterator[Callable[[int], None]]:
    """Give a function that is told of so many units more; `note` is asked what to show beside speed and time left.

    `done` of them were done before.
    """
    if os.environ.get(QUIET):
        yield lambda _units: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, initial=done, desc=what, unit=f" {unit}", leave=False, dynamic_ncols=True) as bar:

            def advance(units: int) -> None:
                if bar.update(units):  # the bar was drawn: the next time with what is true now
                    bar.set_postfix_str(note(), refresh=False)

            yield advance
    else:
        yield _Lines(total, what, unit, done, note).advance


class _Lines:
    """A plain line every few seconds."""

    def __init__(self, total: int, what: str, unit: str, done: int, note: Callable[[], str]) -> None:
        self._total, self._what, self._unit, self._done, self._before = total, what, unit, done, done
        self._note = note
        self._started = self._last = time.monotonic()

    def advance(self, units: int) -> None:
        self._done += units
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES and self._done < self._total:
            self._last = now
            pace = (self._done - self._before) / (now - self._started)
            left = f"{pace:.3g} a second, about {(self._total - self._done) / pace:.0f} s left"
            say(
                ", ".join(
                    filter(None, (f"{self._what}: {self._done:,} of {self._total:,} {self._unit}", left, self._note()))
                )
            )


@contextmanager
def doing(what: str) -> Iterator[None]:
    """A line before and, with the seconds it took, a line after a piece of work of unknown length."""
    started = time.monotonic()
    say(f"{what} ...")
    yield
    say(f"{what}: {time.monotonic() - started:.1f} s")
