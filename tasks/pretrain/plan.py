"""What decides the weights of a pre-training, and what they are worth telling about."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Source = Literal["drawn", "labelled", "unlabelled"]


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
