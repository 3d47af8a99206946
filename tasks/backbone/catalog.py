"""The backbones there are: embedded ones, torchvision's ImageNet-1k networks by name, and files of one's own.

Nothing here loads weights or asks a network; where the weights of an entry lie, or would lie, is a plain path.
"""

import difflib
import json
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open

from tasks.contracts.errors import BadUsage, BrokenArtifact, one_line

EMBEDDED = Path(__file__).parent / "embedded"
EMBEDDED_PREFIX = "embedded/"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALLEST_LAYOUT_PX, LARGEST_PX = 16, 1024

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Entry:
    """A backbone on offer. `parameters` counts the whole network as published, `megabytes` its weights file.

    Sides are in px: `input_px` is the one it was trained at, `smallest_px` the smallest it takes (equal to
    `input_px` where it takes no other). `mean` and `std` are of pixels in [0, 1]. `file` is where the weights
    are, or will be once `url` is downloaded; of a local one, `given` is that path as the params give it.
    `sha256` is empty where nobody vouches for the whole of it.
    """

    name: str
    source: str
    network: str
    parameters: int
    megabytes: float
    input_px: int
    smallest_px: int
    mean: Colour
    std: Colour
    data: str
    licence: str
    file: Path
    url: str = ""
    sha256: str = ""
    given: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the weights file is on this machine; it is not opened."""
        return self.file.is_file()

    @property
    def where(self) -> str:
        """`embedded`, the path of the file, or `to download`."""
        if self.source == "embedded":
            return "embedded"
        return str(self.file) if self.is_here else "to download"

    def side_px(self, prepared_px: int) -> int:
        """The side of the input for images prepared at `prepared_px`: enlarging them would add nothing but time."""
        return max(self.smallest_px, min(self.input_px, prepared_px))


def weights_folder() -> Path:
    """Where torch hub keeps weights, so that those a user has already are found."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", str(Path(cache) / "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def entries(folder: Path) -> tuple[Entry, ...]:
    """All that have a name: the embedded ones, then torchvision's with its default weights, kept in `folder`."""
    return (*embedded_entries(), *torchvision_entries(folder))


def find_entry(name: str, folder: Path) -> Entry:
    """The entry called `name`, an embedded one with or without `embedded/`.

    Raises BadUsage that tells the nearest names.
    """
    short = name.removeprefix(EMBEDDED_PREFIX)
    embedded = {entry.name.removeprefix(EMBEDDED_PREFIX): entry for entry in embedded_entries()}
    if short in embedded:
        return embedded[short]
    known = {entry.name: entry for entry in torchvision_entries(folder)}
    if name in known:
        return known[name]
    raise BadUsage(_unknown(name, [*(EMBEDDED_PREFIX + one for one in embedded), *known]))


def embedded_entries() -> tuple[Entry, ...]:
    """What ships with graft, read from the cards beside the weights.

    Raises BrokenArtifact where a card cannot be read.
    """
    return tuple(_embedded(card) for card in sorted(EMBEDDED.glob("*.json")))


def torchvision_entries(folder: Path) -> tuple[Entry, ...]:
    """The classification networks of torchvision with their default weights; imports torch, which takes seconds."""
    from torchvision import models

    return tuple(
        _torchvision(name, models.get_model_weights(name).DEFAULT, folder) for name in models.list_models(module=models)
    )


def local_entry(network: str, weights: str, root: Path) -> Entry:
    """A safetensors file of one's own that fits `network`: a name of torchvision's, or a layout as in `resnet18-w24`.

    `weights` is its path in the workspace `root`. `mean`, `std` and `input_px` in its header (as JSON) win over
    those of the network.
    Raises BadUsage (no such file or network) and BrokenArtifact (a broken header).
    """
    path = root / weights
    if not path.is_file():
        raise BadUsage(f"{path} is no file; select.candidates names it as weights of {network}")
    base = _plain_layout(network) if layout_width(network) else _find_torchvision(network)
    header, parameters = _header(path)
    fixed = base.smallest_px == base.input_px
    return replace(
        base,
        name=f"local/{PurePosixPath(weights).with_suffix('')}",
        source="local",
        parameters=parameters,
        megabytes=path.stat().st_size / 1e6,
        input_px=base.input_px if fixed else max(base.smallest_px, _side(header, path) or base.input_px),
        mean=_colour(header, "mean", path) or base.mean,
        std=_colour(header, "std", path) or base.std,
        data="your own",
        licence="your own",
        file=path,
        url="",
        given=weights,
    )


def layout_width(network: str) -> int | None:
    """The first width in a name such as `resnet18-w24`, which stands for a network of layouts.py; else None."""
    found = re.fullmatch(r"resnet18-w([1-9][0-9]{0,3})", network)
    return int(found[1]) if found else None


def _embedded(card_path: Path) -> Entry:
    weights = card_path.with_suffix(".safetensors")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        return Entry(
            name=EMBEDDED_PREFIX + card_path.stem,
            source="embedded",
            network=f"{card['layout']}-w{int(card['width'])}",
            parameters=int(card["parameters"]),
            megabytes=weights.stat().st_size / 1e6,
            input_px=int(card["input_px"]),
            smallest_px=SMALLEST_LAYOUT_PX,
            mean=_three(card["mean"]),
            std=_three(card["std"]),
            data=str(card["source_data"]),
            licence="Apache-2.0, with graft",
            file=weights,
            sha256=str(card["sha256"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenArtifact(f"{card_path} is no card of a backbone ({one_line(repr(error))}); install anew") from None


def _torchvision(name: str, weights: Any, folder: Path) -> Entry:
    preset = weights.transforms()
    licence = weights.meta.get("license", "BSD-3-Clause (torchvision)")
    return Entry(
        name=name,
        source="torchvision",
        network=name,
        parameters=weights.meta["num_params"],
        megabytes=round(weights.meta["_file_size"] * 2**20 / 1e6, 1),
        input_px=preset.crop_size[0],
        smallest_px=max(weights.meta["min_size"]),
        mean=_three(preset.mean),
        std=_three(preset.std),
        data=f"ImageNet-1k, {weights.name}",
        licence=f"{licence}; ImageNet's terms apply",
        file=folder / weights.url.rpartition("/")[2],
        url=weights.url,
    )


def _plain_layout(network: str) -> Entry:
    numbers = {"parameters": 0, "megabytes": 0.0, "input_px": 224, "smallest_px": SMALLEST_LAYOUT_PX}
    rest = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "data": "", "licence": "", "file": Path()}
    return Entry(network, "local", network, **numbers, **rest)  # type: ignore[arg-type]


def _find_torchvision(network: str) -> Entry:
    known = {entry.name: entry for entry in torchvision_entries(weights_folder())}
    if network not in known:
        raise BadUsage(_unknown(network, [*known, "resnet18-w24"]))
    return known[network]


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(nearest)}?" if nearest else "`graft backbones` lists what there is"
    return f"unknown backbone {one_line(name)!r}; {hint}"


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The metadata of a safetensors file and how many floating-point numbers it holds."""
    try:
        with safe_open(path, framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
            numbers = sum(math.prod(one.get_shape()) for one in slices if one.get_dtype() not in ("I64", "BOOL"))
            return file.metadata() or {}, numbers
    except (SafetensorError, OSError) as error:
        raise BrokenArtifact(f"{path} is no safetensors file ({one_line(str(error))}); save it again") from None


def _side(header: dict[str, str], path: Path) -> int | None:
    found = _parsed(header, "input_px", path)
    if found is None or (isinstance(found, int) and SMALLEST_LAYOUT_PX <= found <= LARGEST_PX):
        return found
    raise BrokenArtifact(
        f"{path}: input_px in its header is {found!r}, not a side of {SMALLEST_LAYOUT_PX} to {LARGEST_PX}"
    )


def _colour(header: dict[str, str], key: str, path: Path) -> Colour | None:
    found = _parsed(header, key, path)
    if found is None:
        return None
    try:
        colour = _three(found)
    except (ValueError, TypeError):
        colour = (math.nan,) * 3
    if all(0 <= part <= 1 for part in colour) and (key != "std" or all(colour)):
        return colour
    raise BrokenArtifact(f"{path}: {key} in its header is {header[key][:40]!r}, not three numbers from 0 to 1")


def _parsed(header: dict[str, str], key: str, path: Path) -> Any:
    try:
        return json.loads(header[key]) if key in header else None
    except ValueError:
        raise BrokenArtifact(f"{path}: {key} in its header is no JSON: {header[key][:40]!r}") from None


def _three(values: Any) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
