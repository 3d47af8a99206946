"""The backbones there are: embedded ones, torchvision's and timm's by name, and those made or brought by the user.

Nothing here loads weights or asks a network; where the weights of an entry lie, or would lie, is a plain path.
"""

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.backbone.cards import read_card, three
from tasks.backbone.entry import SMALLEST_LAYOUT_PX
from tasks.backbone.entry import Entry as Entry
from tasks.backbone.local import require_file, with_header
from tasks.backbone.timm_zoo import PREFIX as TIMM_PREFIX
from tasks.backbone.timm_zoo import timm_entry, timm_names, timm_search
from tasks.contracts.errors import BadUsage, BrokenArtifact, one_line

EMBEDDED = Path(__file__).parent / "embedded"
EMBEDDED_PREFIX, LOCAL_PREFIX = "embedded/", "local/"
LOCAL = "models/backbones"  # in a workspace: weights with their cards, as `graft pretrain` leaves them
POOLED = "-pooled"  # after the name of a torchvision network: one linear layer in the place of its whole classifier
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_IMAGENET = 1_281_167  # images for training; Russakovsky et al., 2015
_SWAG = 3_600_000_000  # about so many; Singh et al., 2022 (Revisiting weakly supervised pre-training)
_SOURCES = {  # a pattern of the name of torchvision's weights -> the data and how many images they are
    r"IMAGENET1K_V\d+": ("ImageNet-1k", _IMAGENET),
    r"IMAGENET1K_SWAG_E2E_V\d+": ("Instagram with hashtags (SWAG), fine-tuned on ImageNet-1k", _SWAG + _IMAGENET),
    r"IMAGENET1K_SWAG_LINEAR_V\d+": ("Instagram with hashtags (SWAG), head on ImageNet-1k", _SWAG),
}
_SWAG_LICENCE = "https://github.com/facebookresearch/SWAG/blob/main/LICENSE"
_LICENCES = {None: "BSD-3-Clause", _SWAG_LICENCE: "CC-BY-NC-4.0 (SWAG)"}


def weights_folder() -> Path:
    """Where torch hub keeps weights, so that those a user has already are found."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", str(Path(cache) / "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def entries(folder: Path, root: Path | None = None) -> tuple[Entry, ...]:
    """All that have a name: embedded ones, those of the workspace `root`, torchvision's with its default weights.

    The weights of these are kept in `folder`. timm's, far more, are not among them: `search_entries` finds them.
    Raises BrokenArtifact where a card cannot be read.
    """
    return (*embedded_entries(), *local_entries(root), *torchvision_entries(folder))


def find_entry(name: str, folder: Path, root: Path | None = None) -> Entry:
    """The entry called `name`: an embedded one with or without `embedded/`, `local/NAME` of the workspace `root`.

    `timm/NAME` is one of timm's. Raises BadUsage that tells the nearest names, or that timm is not installed, and
    BrokenArtifact where its card cannot be read.
    """
    if name.startswith(TIMM_PREFIX):
        names = timm_names()
        if name not in names:
            raise BadUsage(_unknown(name, names))
        return timm_entry(name, folder)
    short = name.removeprefix(EMBEDDED_PREFIX)
    carded = {card.stem: card for card in _cards(EMBEDDED)}
    if short in carded:
        return _embedded(carded[short])
    own = {LOCAL_PREFIX + card.stem: card for card in _cards(root / LOCAL)} if root else {}
    if name in own:
        return _local(own[name])
    known = {entry.name: entry for entry in torchvision_entries(folder)}
    if name in known:
        return known[name]
    raise BadUsage(_unknown(name, [*(EMBEDDED_PREFIX + one for one in carded), *own, *known]))


def search_entries(words: str, folder: Path, root: Path | None = None) -> tuple[Entry, ...]:
    """The entry called `words` alone, or where there is none, all whose names contain it (timm's: begin with it).

    Raises BadUsage that tells the nearest names where there are none either, or that there are too many.
    """
    try:
        return (find_entry(words, folder, root),)
    except BadUsage:
        if words.startswith(TIMM_PREFIX):
            found = timm_search(words, folder)
        else:
            found = tuple(one for one in entries(folder, root) if words.lower() in one.name.lower())
        if not found:
            raise
        return found


def embedded_entries() -> tuple[Entry, ...]:
    """What ships with graft, read from the cards beside the weights.

    Raises BrokenArtifact where a card cannot be read.
    """
    return tuple(_embedded(card) for card in _cards(EMBEDDED))


def local_entries(root: Path | None) -> tuple[Entry, ...]:
    """The backbones with a card in the workspace `root`, none without one. Raises BrokenArtifact as above."""
    return tuple(_local(card) for card in _cards(root / LOCAL)) if root else ()


def torchvision_entries(folder: Path) -> tuple[Entry, ...]:
    """The classification networks of torchvision with their default weights; imports torch, which takes seconds."""
    from torchvision import models

    return tuple(
        _torchvision(name, models.get_model_weights(name).DEFAULT, folder) for name in models.list_models(module=models)
    )


def local_entry(network: str, weights: str, root: Path) -> Entry:
    """A safetensors file of one's own that fits `network`: torchvision's, timm's, or a layout as in `resnet18-w24`.

    `weights` is its path in the workspace `root`. `mean`, `std` and `input_px` in its header (as JSON) win over
    those of the network.
    Raises BadUsage (no such file or network) and BrokenArtifact (a broken header).
    """
    require_file(network, weights, root)
    return with_header(network_entry(network), weights, root)


def layout_width(network: str) -> int | None:
    """The first width in a name such as `resnet18-w24`, which stands for a network of layouts.py; else None."""
    found = re.fullmatch(r"resnet18-w([1-9][0-9]{0,3})", network)
    return int(found[1]) if found else None


def _cards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _embedded(card: Path) -> Entry:
    return _carded(card, EMBEDDED_PREFIX, "install graft anew")


def _local(card: Path) -> Entry:
    entry = _carded(card, LOCAL_PREFIX, "make it anew, or remove both files")
    return replace(entry, source="local", given=f"{LOCAL}/{entry.file.name}")


def _carded(path: Path, prefix: str, remedy: str) -> Entry:
    weights = path.with_suffix(".safetensors")
    try:
        card = read_card(path)
        base = network_entry(card.network)
    except (BrokenArtifact, BadUsage) as error:
        named = "" if str(path) in str(error) else f"{path}: "
        raise BrokenArtifact(f"{named}{error}; {remedy}") from None
    fixed = base.smallest_px == base.input_px
    return Entry(
        name=prefix + path.stem,
        source="embedded",
        network=card.network,
        parameters=card.parameters,
        megabytes=card.bytes / 1e6,
        input_px=card.input_px,
        smallest_px=card.input_px if fixed else min(base.smallest_px, card.input_px),
        mean=card.mean,
        std=card.std,
        data=card.source_data,
        images=card.source_images,
        licence=card.licence,
        file=weights,
        sha256=card.sha256,
        card=card,
    )


def _torchvision(name: str, weights: Any, folder: Path) -> Entry:
    preset = weights.transforms()
    licence = weights.meta.get("license")
    data = next((data for pattern, data in _SOURCES.items() if re.fullmatch(pattern, weights.name)), (weights.name, 0))
    return Entry(
        name=name,
        source="torchvision",
        network=name,
        parameters=weights.meta["num_params"],
        megabytes=round(weights.meta["_file_size"] * 2**20 / 1e6, 1),
        input_px=preset.crop_size[0],
        smallest_px=max(weights.meta["min_size"]),
        mean=three(preset.mean),
        std=three(preset.std),
        data=data[0],
        images=data[1],
        licence=f"{_LICENCES.get(licence, licence)}; ImageNet's terms apply",
        file=folder / weights.url.rpartition("/")[2],
        gmacs=weights.meta.get("_ops", 0.0),
        url=weights.url,
    )


def network_entry(network: str) -> Entry:
    """An entry of `network` as such, whatever its weights; its own are of no matter.

    Raises BadUsage that tells the nearest names where nothing is called so.
    """
    if network.startswith(TIMM_PREFIX):
        return find_entry(network, weights_folder())
    if layout_width(network):
        numbers = {"parameters": 0, "megabytes": 0.0, "input_px": 224, "smallest_px": SMALLEST_LAYOUT_PX}
        rest = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "data": "", "images": 0, "licence": "", "file": Path()}
        return Entry(network, "local", network, **numbers, **rest)  # type: ignore[arg-type]
    known = {entry.name: entry for entry in torchvision_entries(weights_folder())}
    plain = network.removesuffix(POOLED)
    if plain not in known:
        raise BadUsage(_unknown(network, [*known, "resnet18-w24"]))
    return replace(known[plain], network=network)


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(nearest)}?" if nearest else "`graft backbones` lists what there is"
    return f"unknown backbone {one_line(name)!r}; {hint}"
