"""Which version a training may start from, pinned in `models/start.json` before an unattended run begins."""

from tasks.contracts.errors import BadEnvironment, BrokenArtifact
from tasks.contracts.files import sha256_of, write_record
from tasks.contracts.model_records import StartPin
from tasks.contracts.progress import doing, say
from tasks.contracts.workspace import Workspace
from tasks.register.registry import Version, bundle_of, champion, data_of, history


def pin_start(ws: Workspace, worktree: Workspace) -> None:
    """Name the champion in the worktree's `models/start.json`, once it and all that it learned from are here and hold.

    What is missing or broken is said, and the file then says that there is no start. Before the first champion the file
    stays as it is.
    """
    found = champion(ws)
    if found is None:
        return
    with doing(f"reading {found.name}, the champion"):
        pin = _pin(ws, found)
    write_record(worktree.start, pin)


def _pin(ws: Workspace, found: Version) -> StartPin:
    from tasks.register.bundle import load_bundle  # brings torch
    from tasks.train.model import WEIGHTS

    try:
        bundle = load_bundle(bundle_of(ws, found))
        learned = {found.name: found.commit, **bundle.record["model"].get("learned", {})}
        for name in learned:
            _require_data(ws, name, learned[name])
        return StartPin(found.name, sha256_of(bundle_of(ws, found) / WEIGHTS), learned)
    except (BrokenArtifact, BadEnvironment) as error:
        say(f"training does not start from {found.name}, the champion, but from the backbone: {error}")
        return StartPin(why=f"{found.name}, the champion, could not be used when the run began")  # no path of a machine


def _require_data(ws: Workspace, name: str, commit: str) -> None:
    """Raise BrokenArtifact where the images of a version are not known any more."""
    version = next((one for one in history(ws).versions if one.name == name), None)
    if version is None or version.commit != commit:
        raise BrokenArtifact(f"{name}, whose images its weights know, is not here as it was then; `git fetch --tags`")
    data_of(ws, version)
