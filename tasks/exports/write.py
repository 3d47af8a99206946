"""Everything that leaves graft about one audit, into one folder."""

from pathlib import Path

from tasks.contracts.errors import BadUsage
from tasks.contracts.files import read_table, sha256_of, write_text
from tasks.contracts.workspace import Workspace
from tasks.exports.card import card, is_card
from tasks.exports.croissant import croissant
from tasks.exports.facts import Facts, Report, facts_of
from tasks.exports.groups import groups_csv, statistics_csv
from tasks.exports.schema import COMMITTED


def write_exports(ws: Workspace, document: Report, folder: Path) -> list[Path]:
    """Write the exports of an audit's document into `folder`, each file whole, and return their paths.

    Equal documents give equal bytes. Raises BrokenArtifact where `document` is none of an audit, BadUsage where a file
    of somebody else's would be lost.
    """
    facts = facts_of(document)
    texts = {
        "README.md": card(facts),
        "croissant.json": croissant(facts, _formats(ws, facts)),
        "groups.csv": groups_csv(facts),
        "statistics.csv": statistics_csv(facts),
        COMMITTED.name: COMMITTED.read_text(encoding="utf-8"),
    }
    _require_room(ws, folder, [folder / name for name in texts])
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _require_room(ws: Workspace, folder: Path, paths: list[Path]) -> None:
    """Raise BadUsage before anything is written."""
    if folder.resolve() == ws.root.resolve():
        raise BadUsage(f"{folder} is the workspace itself; export into a folder of its own")
    if folder.exists() and not folder.is_dir():
        raise BadUsage(f"{folder} is no folder; export into one")
    if folders := [path for path in paths if path.is_dir()]:
        raise BadUsage(f"{folders[0]} is a folder, where a file would be written; export into another folder")
    readme = folder / "README.md"
    if readme.exists() and not is_card(readme.read_text(encoding="utf-8", errors="replace")):
        raise BadUsage(f"{readme} is not of an earlier export and would be lost; export into a folder of its own")


def _formats(ws: Workspace, facts: Facts) -> tuple[str, ...]:
    """The images' formats, if the manifest here is still the one that was audited."""
    if not ws.checked.is_file() or sha256_of(ws.checked) != facts.manifest_sha256:
        return ()
    return tuple(sorted(set(read_table(ws.checked)["format"].dropna())))
