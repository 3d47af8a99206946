"""What the promotion rule decided, as the registry keeps it: no more than that, so that reading it stays quick."""

from dataclasses import dataclass

from tasks.contracts.records import Statistic


@dataclass(frozen=True)
class Gate:
    """A bound that a version must keep to become champion by itself."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Decision:
    """Whether the new version becomes champion, why, and the figures on the promotion split that decided it.

    `by` is what the promotion rests on: `first`, `better` or `new data`; empty where there is none.
    """

    promote: bool
    why: str
    images: int = 0
    new_images: int = 0
    candidate: float | None = None
    champion: float | None = None
    by: str = ""
    look: int = 0
    figures: tuple[Statistic, ...] = ()
    gates: tuple[Gate, ...] = ()


FIRST = Decision(True, "it is the first version", by="first")
