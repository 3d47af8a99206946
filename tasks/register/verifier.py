"""Does a version still hold: its tag against the saved run, every file against its hash, the model against itself."""

from dataclasses import dataclass

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import sha256_of
from tasks.contracts.workspace import Workspace
from tasks.register.bundle import load_bundle
from tasks.register.contents import RECORD
from tasks.register.history import MODEL, History, Version
from tasks.register.saved import BUNDLE, RAW, bundle_of, check_cache, outputs
from tasks.register.store import has_remote, opened


@dataclass(frozen=True)
class Verdict:
    """What is wrong, in words, and what could not be looked at because it is not here; both empty where all is well."""

    checked: tuple[str, ...]
    problems: tuple[str, ...]
    absent: tuple[str, ...]


def verify(ws: Workspace, known: History, wanted: tuple[Version, ...]) -> Verdict:
    """Check the `wanted` versions, and the registry as a whole."""
    problems, absent = list(_of_registry(known)), []
    for version in wanted:
        wrong, away = _of_version(ws, version)
        problems += wrong
        absent += [f"{version.name}: {place}" for place in away]
    return Verdict(tuple(version.name for version in wanted), tuple(problems), tuple(absent))


def require_sound(ws: Workspace, version: Version) -> None:
    """Raise BrokenArtifact where the tag, the saved run and the bundle of a version do not agree."""
    if wrong := _of_bundle(ws, version):
        raise BrokenArtifact(wrong[0])


def _of_registry(known: History) -> list[str]:
    wrong = [f"{ref} is in the registry and graft did not write it; it counts for nothing" for ref in known.strange]
    numbers = [one.number for one in known.assignments]
    for what, have in ((MODEL, [version.number for version in known.versions]), ("champion", numbers)):
        if gone := sorted(set(range(1, max(have, default=0) + 1)) - set(have)):
            wrong.append(f"{what}: number {gone[0]} is missing; a tag was deleted, `git fetch --tags` may have it")
    return wrong


def _of_version(ws: Workspace, version: Version) -> tuple[list[str], list[str]]:
    try:
        files = outputs(ws, version)
    except BrokenArtifact as error:
        return [str(error)], []
    wrong = [
        f"{version.name}: the tag notes {version.note.get(key)} for {place}, its saved run has {files.get(place)}"
        for key, place in (("bundle", BUNDLE), ("data", RAW))
        if version.note.get(key) != files.get(place)
    ]
    with opened(ws) as store:
        altered, absent = check_cache(store, version, files)
    wrong += altered
    if wrong or (any(place.startswith(BUNDLE) for place in absent) and not has_remote(ws)):
        return wrong, absent
    return _of_bundle(ws, version), absent


def _of_bundle(ws: Workspace, version: Version) -> list[str]:
    """The bundle as it would be used: taken out of the cache, against the tag's hash, and loaded."""
    try:
        folder = bundle_of(ws, version)
        pinned, found = version.note.get("bundle_sha256"), sha256_of(folder / RECORD)
        if pinned != found:
            return [
                f"{version.name}: {folder / RECORD} has sha256 {found[:16]}..., its tag notes {str(pinned)[:16]}..."
            ]
        load_bundle(folder)
    except BrokenArtifact as error:
        return [f"{version.name}: {error}"]
    return []
