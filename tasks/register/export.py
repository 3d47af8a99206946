"""A version's bundle for use elsewhere: copied out, and checked where it arrived."""

import shutil
from pathlib import Path

from tasks.contracts.errors import BadUsage
from tasks.contracts.files import replacing
from tasks.contracts.workspace import Workspace
from tasks.register.bundle import load_bundle
from tasks.register.history import Version
from tasks.register.saved import bundle_of
from tasks.register.verifier import require_sound


def export_bundle(ws: Workspace, version: Version, folder: Path) -> None:
    """Copy the bundle of `version` into the new `folder`.

    Raises BadUsage where there is something already, and BrokenArtifact where the bundle does not hold.
    """
    require_new(folder)
    require_sound(ws, version)
    with replacing(folder) as part:
        shutil.copytree(bundle_of(ws, version), part, copy_function=shutil.copyfile)
        load_bundle(part)


def require_new(folder: Path) -> None:
    """Raise BadUsage where `folder` is there and not empty: nothing is overwritten."""
    if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise BadUsage(f"{folder} is there already; name a new folder")
