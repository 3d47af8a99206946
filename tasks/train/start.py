"""A start from the weights of a version instead of the backbone's: what of them serves a new training, and what not.

The body is taken whole. Of the head, classes that are still there keep their rows, new ones get the fresh random rows
of a training from the backbone, and classes that went take theirs with them. A head of another form is fresh.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasks.backbone.network import Backbone, TransferNet
from tasks.backbone.weights import load_state
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.model_records import Attempt, BackboneRef

BACKBONE = "the backbone"
_BODY, _HEAD = "backbone.", "head."
_SAME = ("network", "weights_sha256", "input_px", "mean", "std")  # of two backbones


@dataclass(frozen=True)
class Start:
    """A version as a place to start from.

    `model` is its ModelRecord as plain data, `seen` the content hashes of every image that its weights learned from,
    `learned` the versions that these are of with their commits, and `classes` are those of the new training.
    """

    version: str
    sha256: str
    weights: Path
    model: dict[str, Any]
    seen: frozenset[str]
    learned: dict[str, str]
    classes: tuple[str, ...]

    def fill(self, net: TransferNet) -> None:
        """Give a fresh network the body of the version, and what of the head still serves.

        Raises BrokenArtifact where the body does not fit.
        """
        old = load_state(self.weights)
        fresh = net.head.state_dict()
        before = {name.removeprefix(_HEAD): value for name, value in old.items() if name.startswith(_HEAD)}
        head = adapted_head(before, fresh, (self.model["classes"], self.classes)) or fresh
        body = {name: value for name, value in old.items() if name.startswith(_BODY)}
        try:
            net.load_state_dict(body | {_HEAD + name: value for name, value in head.items()})
        except RuntimeError as error:
            problem = " ".join(str(error).split())[:200]
            raise BrokenArtifact(f"the weights of {self.version} do not fit what its record says: {problem}") from None


def adapted_head(
    old: Mapping[str, Tensor], fresh: Mapping[str, Tensor], classes: tuple[Sequence[str], Sequence[str]]
) -> dict[str, Tensor] | None:
    """The tensors of a `fresh` head with what an `old` one knew; None where the two are not of one form.

    `classes` are those of the old head and of the fresh one. Rows of the last layer go by the class's name.
    """
    before, now = classes
    kept = [label for label in now if label in before]
    to, of = (torch.tensor([labels.index(label) for label in kept], dtype=torch.long) for labels in (now, before))
    last = max(name.split(".")[0] for name in fresh)
    found = {}
    if old.keys() != fresh.keys():
        return None
    for name, tensor in fresh.items():
        by_class = name.startswith(f"{last}.") and tensor.ndim > 0
        if old[name].shape[by_class:] != tensor.shape[by_class:]:
            return None
        found[name] = tensor.index_copy(0, to, old[name][of]) if by_class else old[name]
    return found


def why_not(start: Start, ref: BackboneRef, backbone: Backbone, held_out: Mapping[str, Iterable[str]]) -> str:
    """Why a start is not tried; empty where it is.

    `ref` and `backbone` are what was selected, `held_out` the content hashes of each split that nothing may have
    learned from: an image that the version learned would flatter it.
    """
    theirs = start.model["backbone"]
    if any(theirs.get(name) != _plain(getattr(ref, name)) for name in _SAME):
        return f"{start.version} was not tried: it has {theirs.get('name')} for a backbone, {ref.name} was selected"
    known = {split: len(start.seen.intersection(hashes)) for split, hashes in held_out.items()}
    if any(known.values()):
        said = ", ".join(f"{count} of {split}" for split, count in known.items() if count)
        return f"{start.version} was not tried: it learned from images that are held out now ({said})"
    body, unmoved = load_state(start.weights), backbone.state_dict()
    if all(_BODY + name in body and torch.equal(value, body[_BODY + name]) for name, value in unmoved.items()):
        return f"{start.version} was not tried: its body is the backbone as it came, which only a head was put on"
    return ""


def verdict(chosen: Attempt, other: Attempt) -> str:
    """What a training started from and why, in a sentence; `other` is the best attempt of the other start."""
    if chosen.val_accuracy == other.val_accuracy:
        ours, theirs = f"loss {chosen.val_loss:.3f}", f"{other.val_loss:.3f}"
    else:
        ours, theirs = f"{chosen.val_accuracy:.1%}", f"{other.val_accuracy:.1%}"
    return f"started from {chosen.start or BACKBONE}: val {ours} against {theirs} from {other.start or BACKBONE}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
