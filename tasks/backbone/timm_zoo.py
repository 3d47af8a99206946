"""timm's networks, an extra: their names, what timm says of their weights, and the networks themselves.

Weights are fetched by download.py, like all others: timm itself is never asked for any, so it never uses the network.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.backbone.cards import three
from tasks.backbone.entry import Entry
from tasks.contracts.errors import BadUsage, BrokenArtifact, one_line

PREFIX = "timm/"
_HUB = "https://huggingface.co"
_MOST_FOUND = 100  # a network takes a tenth of a second to lay out, a large one more
_SMALLEST_PX = 32  # most networks halve the side five times
_IMAGENET = re.compile(r"(^|_)in(1|12|21|22)k(_|$)")  # in a tag, which names the data in the order of training


def is_installed() -> bool:
    """Whether there is a timm here; it is not imported, which takes seconds."""
    return find_spec("timm") is not None


def timm_names() -> list[str]:
    """All with weights in timm's own format on the hub, under `timm/` and the name and tag that timm gives them.

    Raises BadUsage where timm is not installed.
    """
    timm = _timm()
    return [PREFIX + name for name in timm.list_pretrained() if _repository(timm.get_pretrained_cfg(name))]


def timm_search(words: str, folder: Path) -> tuple[Entry, ...]:
    """The entries of all whose names begin with `words`, `timm/` included.

    Raises BadUsage where timm is not installed, or where they are too many to lay out one by one.
    """
    found = [name for name in timm_names() if name.startswith(words.lower())]
    if len(found) > _MOST_FOUND:
        raise BadUsage(f"timm has {len(found):,} networks called {one_line(words)}...; give more of the name")
    return tuple(timm_entry(name, folder) for name in found)


def timm_entry(name: str, folder: Path) -> Entry:
    """The entry of one of `timm_names()`; its weights are, or will be, in `folder`. Nobody promises their sha256.

    timm does not publish sizes, so the network is laid out, without memory, and measured.
    """
    import torch

    timm = _timm()
    plain = name.removeprefix(PREFIX)
    cfg = timm.get_pretrained_cfg(plain)
    with torch.device("meta"):
        network = timm.create_model(plain, pretrained=False)
    side = cfg.input_size[-1]
    return Entry(
        name=name,
        source="timm",
        network=name,
        parameters=sum(one.numel() for one in network.parameters()),
        megabytes=round(sum(one.nbytes for one in network.state_dict().values()) / 1e6, 1),
        input_px=side,
        smallest_px=side if cfg.fixed_input_size else min(side, (cfg.min_input_size or (_SMALLEST_PX,))[-1]),
        mean=three(cfg.mean),
        std=three(cfg.std),
        data=f"as timm's tag says: {cfg.tag}" if cfg.tag else "not said by timm",
        images=0,
        licence=(cfg.license or "unknown") + "; ImageNet's terms apply" * bool(_IMAGENET.search(cfg.tag or "")),
        file=folder / f"{plain}.safetensors",
        url=f"{_HUB}/{_repository(cfg)}/resolve/main/model.safetensors",
    )


def timm_network(name: str, classes: int) -> Any:
    """The network called `name` with random weights and a head of `classes`, also where it was published without one.

    Raises BadUsage where timm is not installed and BrokenArtifact where this timm has no such network.
    """
    timm = _timm()
    try:
        return timm.create_model(name.removeprefix(PREFIX), pretrained=False, num_classes=classes)
    except RuntimeError:
        raise BrokenArtifact(f"this timm has no network {one_line(name)!r}; install the version that did") from None


def _timm() -> Any:
    if not is_installed():
        raise BadUsage("networks called timm/... need timm, which is an extra: `pip install graft[timm]`")
    import timm

    return timm


def _repository(cfg: Any) -> str:
    """Where timm itself keeps the weights, "" where others do: those may be in another form."""
    found: str = cfg.hf_hub_id or ""
    return found if found.startswith(PREFIX) else ""
