"""Which backbones compete: those that the params name, or whatever can be had; what is left out is said."""

from collections.abc import Sequence
from pathlib import Path

from tasks.backbone.catalog import Entry, embedded_entries, find_entry, local_entry, torchvision_entries, weights_folder
from tasks.backbone.download import CannotDownload, NotServed, fetch
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.model_records import LeftOut
from tasks.contracts.params import LocalBackbone
from tasks.contracts.progress import say

# the report holds no more of it: the words of a network error differ from run to run, and DVC hashes the report
UNREACHABLE = "it could not be downloaded"
MOST_UNASKED = 150e6  # parameters: a larger cached network competes only when it is named
TO_DOWNLOAD = ("resnet18", "mobilenet_v3_large", "resnet50")  # photographs deserve ImageNet weights


def named_entries(candidates: Sequence[str | LocalBackbone], root: Path, offline: bool) -> tuple[Entry, ...]:
    """The entries that the params name, their weights here; `root` is the workspace.

    All names are looked up before anything is downloaded. Raises BadUsage (no such name or file), BrokenArtifact
    (other bytes than promised), BadEnvironment (cannot be downloaded).
    """
    folder = weights_folder()
    found = [
        find_entry(one, folder, root) if isinstance(one, str) else local_entry(one.network, one.weights, root)
        for one in candidates
    ]
    for entry in found:
        fetch(entry, offline)
    return tuple(dict.fromkeys(found))


def default_entries(offline: bool) -> tuple[tuple[Entry, ...], tuple[LeftOut, ...]]:
    """The embedded backbones, what torch has cached, and of TO_DOWNLOAD what can be had; and what cannot, with why.

    Once the network has said no, nothing more is asked of it. Raises BadUsage on a mirror that is no address.
    """
    folder = weights_folder()
    found, left_out = list(embedded_entries()), []
    refused = "the network is switched off" if offline else ""
    cached = [one.name for one in torchvision_entries(folder) if one.is_here and one.parameters <= MOST_UNASKED]
    for entry in (find_entry(name, folder) for name in dict.fromkeys((*TO_DOWNLOAD, *cached))):
        try:
            if refused and not entry.is_here:
                raise CannotDownload(refused, refused)
            fetch(entry, offline)
            found.append(entry)
        except NotServed as error:
            left_out.append(_left_out(entry, error.reason))
        except CannotDownload as error:
            say(f"{entry.name}: {error.reason}")
            left_out.append(_left_out(entry, refused or UNREACHABLE))
            refused = refused or UNREACHABLE
        except BrokenArtifact:
            left_out.append(_left_out(entry, "other bytes came than its name promises"))
    return tuple(found), tuple(left_out)


def _left_out(entry: Entry, reason: str) -> LeftOut:
    return LeftOut(
        entry.name,
        f"its weights ({entry.megabytes:.0f} MB) are not on this machine: {reason}",
        f"`graft backbones --fetch {entry.name}` where there is a network, then `graft run --force select`",
    )
