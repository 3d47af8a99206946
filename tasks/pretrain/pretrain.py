"""Pre-train the embedded backbone on formula-generated images and write it with its card.

    python -m tasks.pretrain.pretrain --out NAME.safetensors --seconds 2000

A killed run goes on from NAME.resume when the same command is given again.
"""

import argparse
import hashlib
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from tasks.pretrain.training import (
    MEAN,
    RECIPE_VERSION,
    STD,
    Progress,
    Recipe,
    advance,
    finish,
    read_checkpoint,
    start,
    write_checkpoint,
    write_whole,
)

LAYOUT = "resnet18"
REPORT_STEPS = 100
CHECKPOINT_STEPS = 500
HEADER = ("layout", "width", "recipe_version", "input_px", "mean", "std")


@dataclass(frozen=True)
class Card:
    """What a user must know about saved weights; `mean` and `std` are for pixels in [0, 1]."""

    layout: str
    width: int
    input_px: int
    seed: int
    images_seen: int
    seconds: float
    device: str
    recipe_version: str = RECIPE_VERSION
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    knows: str = "shapes and textures, not objects"
    source_data: str = "formula-generated images, no natural-image data"


def save_backbone(net: nn.Module, out: Path, card: Card) -> None:
    """Write a network without its `fc` to `out` (safetensors) and its card to `out` with .json.

    Weights are stored as fp16; whatever belongs to a batch norm stays as it is (fp32), because
    small variances would underflow. Both files appear whole or not at all.
    """
    state = {name: value for name, value in net.state_dict().items() if not name.startswith("fc.")}
    exact = {name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    tensors = {
        name: (value if name.rpartition(".")[0] in exact else value.half()).cpu().contiguous()
        for name, value in state.items()
    }
    facts = asdict(card)
    header = {key: value if isinstance(value := facts[key], str) else json.dumps(value) for key in HEADER}
    content = _ordered(save(tensors, header))
    facts |= {
        "parameters": sum(p.numel() for name, p in net.named_parameters() if name in tensors),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_whole(out, content)
    write_whole(out.with_suffix(".json"), (json.dumps(facts, indent=2) + "\n").encode())


def pretrain(recipe: Recipe, out: Path, device: torch.device) -> Progress:
    """Run a recipe to its end, going on from `out` with .resume if there is one, and save."""
    resume = out.with_suffix(".resume")
    run, progress = start(recipe, device), Progress()
    if resume.exists():
        progress = read_checkpoint(run, recipe, resume)
        _say(f"resumed at step {progress.step}")
    steps = advance(run, recipe, progress, recipe.steps)
    for progress, loss, accuracy in steps:
        if progress.step % REPORT_STEPS == 0:
            rate = progress.images / progress.seconds
            _say(f"step {progress.step} loss {loss:.3f} accuracy {accuracy:.3f} images/s {rate:.0f}")
        if progress.step % CHECKPOINT_STEPS == 0:
            write_checkpoint(run, recipe, progress, resume)
    cores = "1 CPU core" if recipe.threads == 1 else f"{recipe.threads} CPU cores"
    place = cores if device.type == "cpu" else "1 GPU"
    spent = (progress.images, round(progress.seconds, 1), place)
    card = Card(LAYOUT, recipe.width, recipe.input_px, recipe.seed, *spent)
    save_backbone(finish(run, recipe), out, card)
    resume.unlink(missing_ok=True)
    return progress


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and pre-train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="weights file, NAME.safetensors")
    parser.add_argument("--width", type=int, default=Recipe.width, help="channels of the first stage")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="end after so many steps")
    parser.add_argument("--seconds", type=float, default=math.inf, help="end after so much wall time")
    parser.add_argument("--input-px", type=int, default=Recipe.input_px, help="image side, a multiple of 32")
    parser.add_argument("--contrast", type=float, default=Recipe.contrast, help="1: cluttered colour; 0.1: plain")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=Recipe.threads, help="CPU workers")
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)  # workers share the cores by images, twice as fast as by rows of a matrix
    progress = pretrain(Recipe(**given), out, device)
    _say(f"saved {out} after {progress.images} images in {progress.seconds:.0f} s")


def _ordered(content: bytes) -> bytes:
    # safetensors writes its header in a random order, which would give equal weights unequal hashes.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
