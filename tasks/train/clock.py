"""Where the time goes: seconds by what they were spent on, and the one change that would help most."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What the training thread itself spends adds up to the whole; what workers spend beside it is overlapped.
OWN = {"train": "forward and backward", "wait": "waiting for batches", "validate": "validation", "write": "checkpoints"}
BESIDE = {"draw": "drawing", "read": "reading", "augment": "augmenting", "normalise": "normalising"}
_ADVICE = {
    "train": "a GPU, a smaller backbone or, where stages are frozen, train.views",
    "draw": "a larger network: drawing takes longer than learning",
    "read": "a faster disk, or a smaller quality.prepared_px",
    "augment": "more train.workers, a lighter augment.policy, or train.views",
    "normalise": "quality.prepared_px at the side that the backbone takes",
    "validate": "a smaller val split",
    "write": "a faster disk",
}


class Clock:
    """Adds up seconds; several threads may use one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Count what is done inside as `what`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(what, time.perf_counter() - started)

    def add(self, what: str, seconds: float) -> None:
        """Count so many seconds as `what`."""
        with self._lock:
            self.seconds[what] = self.seconds.get(what, 0.0) + seconds


def time_line(own: Clock, making: Clock) -> str:
    """One line: where the training's time went, what making batches took beside it, and what would help most."""
    spent = {what: own.seconds.get(what, 0.0) for what in OWN}
    beside = {what: making.seconds[what] for what in BESIDE if what in making.seconds}
    whole = sum(spent.values()) or 1.0
    most = max(spent, key=lambda what: spent[what])
    if most == "wait":
        most = max(beside, key=lambda what: beside[what], default="read")
    shares = ", ".join(f"{OWN[what]} {seconds / whole:.0%}" for what, seconds in spent.items() if seconds)
    made = ", ".join(f"{BESIDE[what]} {seconds:.1f} s" for what, seconds in beside.items())
    return f"{whole:.1f} s: {shares}; batches: {made}; what would help most: {_ADVICE[most]}"
