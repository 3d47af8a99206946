"""Fetching weights: aside, measured, checked by the hash in the name that torchvision gives, and only then in place.

Nobody promises a hash of timm's; what came is pinned by its sha256 in the reports of whoever uses it.
"""

import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tasks.backbone.catalog import Entry
from tasks.contracts.errors import BadEnvironment, BadUsage, BrokenArtifact, one_line
from tasks.contracts.files import replacing, sha256_of
from tasks.contracts.progress import progress

MIRROR = "GRAFT_WEIGHTS_MIRROR"  # a base address that serves the files of the weights folder under their names there
OFFLINE = "GRAFT_OFFLINE"
_TIMEOUT_S = 10.0  # to connect, and for each silence after that
_PIECE = 1 << 20
_REMEDIES = {"embedded": "install graft anew", "local": "put back the file of its card, or `dvc pull`"}
_SLACK = 1.05  # sizes are published rounded; what is much larger is some other file


class CannotDownload(BadEnvironment):
    """The network, the server or the disk said no; nothing was kept, and the next file would fare no better.

    `reason` says why in a few words, without a path or an address.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotServed(CannotDownload):
    """The server is there but does not have this file; another may be there."""


def is_offline() -> bool:
    """Whether the environment forbids the network."""
    return os.environ.get(OFFLINE, "").lower() in ("1", "true", "yes", "on")


def fetch(entry: Entry, offline: bool) -> Path:
    """The weights file of `entry`, downloaded where it is not here yet.

    Raises CannotDownload (NotServed where only this file is missing), BadUsage for a mirror that is no http
    address, and BrokenArtifact where other bytes came than the name promises, or no weights; those are removed.
    """
    if entry.is_here:
        return entry.file
    remedy = f"fetch it with `graft backbones --fetch {entry.name}` where there is a network"
    if not entry.url:
        raise BrokenArtifact(f"{entry.file}, the weights of {entry.name}, is missing; {_REMEDIES[entry.source]}")
    if offline:
        raise CannotDownload(
            f"the weights of {entry.name} are not on this machine and the network is switched off; {remedy}",
            "the network is switched off",
        )
    url = _address(entry)
    try:
        with replacing(entry.file) as part:
            _copy(url, part, entry)
            require_promised(part, entry)
            if entry.file.suffix == ".safetensors":
                _require_safetensors(part, url)
    except urllib.error.HTTPError as error:
        error.close()
        kind = NotServed if error.code in (404, 410) else CannotDownload
        answer = f"answered {error.code} {one_line(str(error.reason))[:60]}"
        raise kind(f"{url} {answer}; {remedy}", f"the server {answer}") from None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None) or error
        reason = getattr(cause, "strerror", None) or one_line(str(cause))[:100]
        raise CannotDownload(f"{url} could not be kept as {entry.file} ({reason}); {remedy}", reason) from None
    return entry.file


def require_promised(path: Path, entry: Entry) -> str:
    """The sha256 of the weights of `entry` at `path`, after it was found to be the promised one.

    Raises BrokenArtifact where it is not: by the card, or by the first digits, which torchvision writes in the name.
    """
    named = re.search(r"-([0-9a-f]{8,64})\.pth$", entry.file.name)
    promised = entry.sha256 or (named[1] if named else "")
    found = sha256_of(path)
    if not found.startswith(promised):
        again = f"`graft backbones --fetch {entry.name}`"
        place, remedy = (entry.file, f"delete it, then {again}") if path == entry.file else ("the download", again)
        raise BrokenArtifact(
            f"{place} is not the weights of {entry.name}: its sha256 is {found[:16]}..., not {promised[:16]}...; "
            + _REMEDIES.get(entry.source, remedy)
        )
    if not promised and entry.file.suffix == ".pth":
        raise BrokenArtifact(f"{entry.file} has no hash in its name, so that nobody can tell what it is")
    return found


def _require_safetensors(part: Path, url: str) -> None:
    """Raises BrokenArtifact where it is none, or cut: all there is to see where nobody promises a hash."""
    try:
        with safe_open(part, framework="numpy"):
            return
    except SafetensorError as error:
        raise BrokenArtifact(
            f"{url} sent no safetensors file ({one_line(str(error))[:100]}); nothing was kept"
        ) from None


def _address(entry: Entry) -> str:
    mirror = os.environ.get(MIRROR, "")
    url = f"{mirror.rstrip('/')}/{entry.file.name}" if mirror else entry.url
    if not url.startswith(("https://", "http://")):
        raise BadUsage(f"{MIRROR}={mirror}: expected an address that starts with https:// or http://")
    return url


def _copy(url: str, part: Path, entry: Entry) -> None:
    limit = int(max(entry.megabytes, 1) * 1e6 * _SLACK)
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, part.open("wb") as file:  # noqa: S310
        promised: int | None = answer.length
        size = promised or int(entry.megabytes * 1e6)
        pieces = iter(lambda: answer.read(_PIECE), b"")
        for piece in progress(pieces, -(-size // _PIECE), f"downloading {entry.name}", "MB"):
            file.write(piece)
            if file.tell() > limit:
                raise BrokenArtifact(f"{url} sends more bytes than the weights of {entry.name} have; nothing was kept")
        if promised is not None and file.tell() < promised:
            raise OSError(f"the connection was cut after {file.tell():,} of {promised:,} bytes")
