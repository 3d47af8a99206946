"""The registry: versions and the champion as append-only git tags on saved runs, in GTO's format.

`model@v3.0.0` is version 3; `model#champion#2` is the second time that a champion was named. Bundles lie in DVC's
cache; a version's is copied out of it on first use. Besides `flows/stages.py` the only module that imports dvc.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.files import replacing
from tasks.contracts.workspace import Workspace
from tasks.register.promotion import Decision

MODEL = "model"
CHAMPION = "champion"
BUNDLE = "models/bundle"
AUTHOR = {"author": "graft", "author_email": "graft@localhost"}


@dataclass(frozen=True)
class Version:
    """One registered version: its number, the commit of its saved run, and what was noted with it."""

    number: int
    commit: str
    created: str
    champion: bool
    note: dict[str, Any]

    @property
    def name(self) -> str:
        """As people write it: `model@3`."""
        return f"{MODEL}@{self.number}"

    @property
    def title(self) -> str:
        """The name, and whether it is the champion."""
        return f"{self.name}, champion" if self.champion else self.name


def versions(ws: Workspace) -> list[Version]:
    """All versions, oldest first."""
    from gto.registry import GitRegistry

    with GitRegistry.from_url(str(ws.root)) as registry:
        artifact = registry.get_state().artifacts.get(MODEL)
        if artifact is None:
            return []
        found = [
            Version(
                int(v.version.lstrip("v").split(".")[0]),
                v.commit_hexsha,
                v.registrations[0].created_at.isoformat(),
                False,
                json.loads(v.registrations[0].message),
            )
            for v in artifact.versions
            if v.registrations
        ]
    champion = _champion_commit(ws)
    return sorted(
        (Version(v.number, v.commit, v.created, v.commit == champion, v.note) for v in found), key=lambda v: v.number
    )


def find_version(ws: Workspace, name: str = "") -> Version:
    """The version called `3` or `model@3`; without a name, the champion.

    Raises BadUsage where there is none.
    """
    known = versions(ws)
    if not known:
        raise BadUsage(f"{ws.root} has no registered model; make one with `graft run`")
    number = name.removeprefix(f"{MODEL}@")
    for version in known:
        if version.champion if not name else str(version.number) == number:
            return version
    raise BadUsage(f"there is no version {name or CHAMPION}; known: {', '.join(v.name for v in known)}")


def register(ws: Workspace, commit: str, note: dict[str, Any], decision: Decision) -> Version:
    """Tag a saved run as the next version, and as champion where the decision says so.

    `note` is kept in the tag: hashes of bundle and data, the resolved params, the test accuracy.
    """
    import gto.api

    number = max((v.number for v in versions(ws)), default=0) + 1
    note = {**note, "decision": asdict(decision)}
    message = json.dumps(note, sort_keys=True)
    tag = f"v{number}.0.0"
    gto.api.register(str(ws.root), MODEL, commit, version=tag, message=message, **AUTHOR)
    version = Version(number, commit, datetime.now(UTC).isoformat(timespec="seconds"), False, note)
    return crown(ws, version) if decision.promote else version


def crown(ws: Workspace, version: Version) -> Version:
    """Name a version champion, with the reason that its decision noted."""
    import gto.api

    why = version.note["decision"]["why"]
    gto.api.assign(str(ws.root), MODEL, CHAMPION, version=f"v{version.number}.0.0", message=why, **AUTHOR)
    return replace(version, champion=True)


def bundle_of(ws: Workspace, version: Version) -> Path:
    """The bundle of a version, copied out of DVC's cache on first use.

    Raises BrokenArtifact where the cache does not hold it.
    """
    folder = ws.cache / "bundles" / version.commit
    if not folder.is_dir():
        with replacing(folder) as part:
            _get(ws, version, BUNDLE, part)
    return folder


def data_of(ws: Workspace, version: Version) -> Path:
    """The table of checked samples that a version was made from, copied out of DVC's cache on first use."""
    path = ws.cache / "checked" / f"{version.commit}.parquet"
    if not path.is_file():
        with replacing(path) as part:
            _get(ws, version, "data/checked.parquet", part)
    return path


def _get(ws: Workspace, version: Version, path: str, target: Path) -> None:
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        DVCFileSystem(url=str(ws.root), rev=version.commit).get(path, str(target), recursive=True)
    except (DvcException, OSError) as error:
        raise BrokenArtifact(f"{version.name}: {path} is not in the DVC cache ({error}); try `dvc pull`") from error


def _champion_commit(ws: Workspace) -> str | None:
    """Read through DVC: GTO's own list of a stage still names the newer version after a rollback."""
    from dvc.api import artifacts_show
    from dvc.exceptions import DvcException

    try:
        return str(artifacts_show(MODEL, stage=CHAMPION, repo=str(ws.root))["rev"])
    except DvcException:
        return None
