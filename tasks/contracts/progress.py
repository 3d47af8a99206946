"""Progress of long work: a bar on a terminal, plain lines elsewhere. Always on stderr."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_SECONDS_BETWEEN_LINES = 10.0
QUIET = "GRAFT_QUIET"  # set in the environment by `--quiet`, so that child processes are quiet too


def say(text: str) -> None:
    """One plain line about what is going on."""
    if not os.environ.get(QUIET):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def progress(items: Iterable[T], total: int, what: str, unit: str = "images") -> Iterator[T]:
    """Yield `items` and show how far it is: `what` names the work, `unit` what is counted."""
    if os.environ.get(QUIET):
        yield from items
        return
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, unit=f" {unit}", leave=False, dynamic_ncols=True)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and done < total:
            last = now
            left = (now - started) / done * (total - done)
            say(f"{what}: {done:,} of {total:,} {unit}, about {left:.0f} s left")


@contextmanager
def doing(what: str) -> Iterator[None]:
    """A line before and, with the seconds it took, a line after a piece of work of unknown length."""
    started = time.monotonic()
    say(f"{what} ...")
    yield
    say(f"{what}: {time.monotonic() - started:.1f} s")
