"""What decides the weights of a pre-training, where they will lie, and what they are worth telling about."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.backbone.cards import read_card
from tasks.contracts.errors import BadUsage, one_line
from tasks.contracts.workspace import Workspace

Source = Literal["drawn", "labelled", "unlabelled"]

SAMPLER_VERSION = 2  # of the classes that are drawn, raised when a seed gives others
NETWORK = "resnet18-w32"
IMAGES = 1_000_000
DRAWN_PX = 64  # drawn images have nothing more to show at a larger side, and cost four times as much at twice the side
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SIDES_PX = {"drawn": (32, 256), "labelled": (32, 1024), "unlabelled": (32, 1024)}
_VERSIONS = {"drawn": f"drawn-{SAMPLER_VERSION}", "labelled": "labelled-1", "unlabelled": "contrast-1"}


@dataclass(frozen=True)
class Plan:
    """The network, what it learns from and for how long.

    `images` is how many it sees, in whole epochs; `data` is the folder of one's own set, empty for drawn images.
    """

    network: str
    source: Source
    input_px: int
    images: int
    seed: int
    data: str = ""
    batch_size: int = 192

    def __post_init__(self) -> None:
        """Raise BadUsage where a number is none that one can train with."""
        low, high = _SIDES_PX[self.source]
        if not low <= self.input_px <= high or (self.source == "drawn" and self.input_px % 32):
            multiple = ", a multiple of 32" * (self.source == "drawn")
            raise BadUsage(f"--px {self.input_px}: expected a side of {low} to {high} px{multiple}")
        if self.images < 1:
            raise BadUsage(f"--images {self.images}: expected 1 or more")

    @property
    def version(self) -> str:
        """The recipe's name, with a number that is raised when it makes other weights."""
        return _VERSIONS[self.source]

    @property
    def learning_rate(self) -> float:
        """The peak rate of AdamW; contrasts are learned with more care."""
        return 1e-3 if self.source == "unlabelled" else 2e-3

    def to_json(self) -> str:
        """As text, for another process."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """What `to_json` gave."""
        return cls(**json.loads(text))

    def recipe(self) -> dict[str, Any]:
        """For the card; where the data lie on this machine is nobody else's business."""
        told = asdict(self) | {"learning_rate": self.learning_rate}
        del told["data"]
        return told


@dataclass(frozen=True)
class Place:
    """Where a backbone of a workspace lies, and what there is of it while it is trained."""

    ws: Workspace
    name: str

    def __post_init__(self) -> None:
        """Raise BadUsage where the name is no name of a file."""
        if not _NAME.fullmatch(self.name):
            raise BadUsage(f"{one_line(self.name)[:80]!r} is no name for a backbone; use letters, digits, _, - and .")

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.ws.backbones / f"{self.name}.safetensors"

    @property
    def card(self) -> Path:
        """The card beside it."""
        return self.ws.backbones / f"{self.name}.json"

    def has(self, plan: Plan, data: str = "") -> bool:
        """Whether the backbone of `plan` is there already; `data` is the hash of the own set that it names.

        Raises BadUsage where there is another one of this name: nobody's weights are replaced.
        """
        if not self.card.is_file() and (self.private.is_dir() or not self.weights.exists()):
            return False  # not begun, or killed before the card was written
        if not self.weights.is_file():
            raise BadUsage(f"{self.card} is there without its weights; `dvc pull` them, or remove it")
        if self.card.is_file():
            card = read_card(self.card)
            if (card.recipe, card.recipe_version) == (plan.recipe(), plan.version) and data in card.source_data:
                return True
        raise BadUsage(f"{self.weights} is there already and of another recipe; choose another name, or remove it")

    @property
    def private(self) -> Path:
        """What is needed until it is done."""
        return self.ws.private / "pretraining" / self.name
