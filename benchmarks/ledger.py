"""What the backbone panel has measured, one JSON line each, so that a run goes on where another one stopped."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Key:
    """What a figure is of: `pixels` is the hash of the image set, `start` what the arm starts from and its recipe."""

    problem: str
    pixels: str
    each: int
    seed: int
    arm: str
    start: str
    rate: float = 0.0


@dataclass(frozen=True)
class Score:
    """Accuracy in % on the test set; on val, where a network learned, the share of it and minus the loss."""

    test: float
    val: tuple[float, float] = (0.0, 0.0)


class Ledger:
    """The lines of one file; several processes may add to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scores: dict[Key, Score] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            found = json.loads(line)
            self._scores[Key(**found["of"])] = Score(found["test"], tuple(found["val"]))

    def get(self, key: Key) -> Score | None:
        """The score, None where it was not measured."""
        return self._scores.get(key)

    def add(self, key: Key, score: Score) -> Score:
        """Keep the score, in memory and at the end of the file by one write."""
        self._scores[key] = score
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"of": asdict(key), **asdict(score)}) + "\n")
        return score
