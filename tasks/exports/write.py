"""Everything that leaves graft about one audit, into one folder."""

from pathlib import Path

from tasks.contracts.files import read_table, sha256_of, write_text
from tasks.contracts.workspace import Workspace
from tasks.exports.card import card
from tasks.exports.croissant import croissant
from tasks.exports.facts import Facts, Report, facts_of
from tasks.exports.groups import groups_csv, statistics_csv
from tasks.exports.schema import COMMITTED


def write_exports(ws: Workspace, document: Report, folder: Path) -> list[Path]:
    """Write the exports of an audit's document into `folder`, each file whole, and return their paths.

    Equal documents give equal bytes. Raises BrokenArtifact where `document` is none of an audit.
    """
    facts = facts_of(document)
    texts = {
        "README.md": card(facts),
        "croissant.json": croissant(facts, _formats(ws, facts)),
        "groups.csv": groups_csv(facts),
        "statistics.csv": statistics_csv(facts),
        COMMITTED.name: COMMITTED.read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _formats(ws: Workspace, facts: Facts) -> tuple[str, ...]:
    """The images' formats, if the manifest here is still the one that was audited."""
    if not ws.checked.is_file() or sha256_of(ws.checked) != facts.manifest_sha256:
        return ()
    return tuple(sorted(set(read_table(ws.checked)["format"].dropna())))
