"""What changed between two states of `data/raw`, and whether that is enough to train anew."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.contracts.params import OnChangeParams


@dataclass(frozen=True)
class DataChange:
    """Numbers of files by what became of them; `before` and `after` are the hashes of the two states.

    `moved` files have the content of one that has gone: their folder, and so perhaps their label, is another.
    `files` is how many there are now.
    """

    before: str
    after: str
    added: int
    removed: int
    changed: int
    moved: int
    files: int

    @property
    def count(self) -> int:
        """Files that are not what they were."""
        return self.added + self.removed + self.changed + self.moved

    @property
    def share(self) -> float:
        """The same as a share of all files, those that have gone included; 0 where nothing changed."""
        return self.count / max(self.files + self.removed, 1)

    def words(self) -> str:
        """For people: `12 files added, 1 removed`."""
        told = {"added": self.added, "removed": self.removed, "changed": self.changed, "moved": self.moved}
        parts = [f"{n:,} {what}" for what, n in told.items() if n]
        if not parts:
            return "no file has changed"
        number, what = parts[0].split(" ")
        return ", ".join([f"{number} file{'' if number == '1' else 's'} {what}", *parts[1:]])


def compare(before: Mapping[str, str], after: Mapping[str, str], hashes: tuple[str, str]) -> DataChange:
    """Compare two states, each a content hash for each path; `hashes` are those of the states as a whole."""
    gone = Counter(before[path] for path in before.keys() - after.keys())
    come = Counter(after[path] for path in after.keys() - before.keys())
    moved = (gone & come).total()
    return DataChange(
        before=hashes[0],
        after=hashes[1],
        added=come.total() - moved,
        removed=gone.total() - moved,
        changed=sum(before[path] != after[path] for path in before.keys() & after.keys()),
        moved=moved,
        files=len(after),
    )


def why_not(change: DataChange, settings: tuple[str, ...], policy: OnChangeParams) -> str:
    """Why nothing is to be trained for this; empty where a run is due.

    `settings` names the committed files that changed: these always count, for a person committed them.
    """
    if settings:
        return ""
    if not change.count:
        return "neither the data nor the committed settings have changed"
    if change.count < policy.files:
        return f"{change.words()}, fewer than operate.on_change.files: {policy.files}"
    if change.share < policy.share:
        return f"{change.words()}, {change.share:.2%} of the data; operate.on_change.share: {policy.share:g}"
    return ""
