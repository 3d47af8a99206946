"""Networks by name, with random weights or with those of a file; the only place that calls `torch.load`."""

import pickle  # noqa: TID251 - for the name of its error alone
import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.backbone.catalog import POOLED, Entry, find_entry, layout_width, weights_folder
from tasks.backbone.download import fetch, is_offline, require_promised
from tasks.backbone.layouts import resnet18
from tasks.backbone.network import Backbone
from tasks.backbone.stages import find_head
from tasks.backbone.timm_zoo import PREFIX as TIMM_PREFIX
from tasks.backbone.timm_zoo import timm_network
from tasks.contracts.errors import BrokenArtifact, one_line
from tasks.contracts.files import sha256_of
from tasks.contracts.model_records import BackboneRef

_NAMED = 3  # so many names of missing or odd tensors go into a message
_CLASSES = 1000  # of the head, which is cut off at once
_TRAINING_HEADS = ("AuxLogits.", "aux1.", "aux2.")  # of Inception and GoogLeNet; not built
_DENSE_LAYER = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")


def backbone_ref(data: dict[str, Any]) -> BackboneRef:
    """The reference in a report that was read as plain data.

    Raises BrokenArtifact where a field is missing, unknown or no three numbers.
    """
    try:
        red, green, blue = (float(part) for part in data["mean"])
        colours = {"mean": (red, green, blue)}
        red, green, blue = (float(part) for part in data["std"])
        return BackboneRef(**{**data, **colours, "std": (red, green, blue)})
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenArtifact(f"no reference to a backbone ({one_line(repr(error))}); run `graft run` again") from None


def build_network(ref: BackboneRef, seed: int = 0) -> Backbone:
    """The backbone of `ref` with random weights that depend on `seed` alone: on CPU, in float32, in eval mode.

    The global random state stays as it was. Raises BrokenArtifact where no network has that name.
    """
    return Backbone(make_network(ref.network, ref.input_px, seed), ref.input_px).eval()


def build_backbone(ref: BackboneRef, root: Path, seed: int = 0) -> Backbone:
    """The backbone of `ref` with its weights: on CPU, in float32, in eval mode. `root` is the workspace.

    torchvision's and timm's are downloaded where they are not here, unless the environment says offline. `seed` is of
    use to the source `random` only. Raises BrokenArtifact (broken weights, or others than `ref` names) and
    BadEnvironment (they cannot be had).
    """
    if ref.source == "random":
        return build_network(ref, seed)
    if ref.source == "local":
        return load_backbone(ref, root / ref.weights_path)
    return load_backbone(ref, fetch(find_entry(ref.name, weights_folder()), is_offline()))


def load_backbone(ref: BackboneRef, path: Path) -> Backbone:
    """The backbone of `ref` with the weights at `path`.

    Raises BrokenArtifact where they are broken, or others than `ref` names.
    """
    if not path.is_file():
        raise BrokenArtifact(
            f"{path}, the weights of {ref.name}, is missing; put it back or `graft run --force select`"
        )
    found = sha256_of(path)
    if found != ref.weights_sha256:
        raise BrokenArtifact(
            f"{path} has sha256 {found[:16]}..., {ref.name} was chosen with {ref.weights_sha256[:16]}...; "
            "put the old file back or `graft run --force select`"
        )
    return _with_weights(ref, path)


def open_entry(entry: Entry, prepared_px: int) -> tuple[Backbone, BackboneRef]:
    """The backbone of `entry`, whose weights are here, for images prepared at `prepared_px`; and its reference.

    Raises BrokenArtifact where the file is broken, does not fit, or is not the one that its name or card promises.
    """
    sha256, side_px = require_promised(entry.file, entry), entry.side_px(prepared_px)
    ref = BackboneRef(entry.name, entry.source, entry.network, sha256, side_px, entry.mean, entry.std, 0, entry.given)
    backbone = _with_weights(ref, entry.file)
    return backbone, replace(ref, parameters=sum(p.numel() for p in backbone.parameters()))


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; floating-point ones as float32.

    Raises BrokenArtifact where the file is missing or broken, or holds NaN or infinity.
    """
    try:
        return _sound(load_file(path), path)
    except (SafetensorError, OSError) as error:
        raise BrokenArtifact(f"{path} is no safetensors file ({one_line(str(error))}); get it anew") from None


def _load_torchvision(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` whose hash was checked."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise BrokenArtifact(f"{path} is no file of weights ({one_line(str(error))[:150]}); get it anew") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise BrokenArtifact(f"{path} holds something else than named tensors; get it anew")
    return _sound(state, path)


def _sound(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = tensor.float()
            if not bool(torch.isfinite(state[name]).all()):
                raise BrokenArtifact(f"{path}: {one_line(name)} holds NaN or infinity; get it anew")
    return state


def _with_weights(ref: BackboneRef, path: Path) -> Backbone:
    """The network of `ref` with the weights at `path`, whose hash was checked."""
    network = make_network(ref.network, ref.input_px, seed=0)
    _fill(network, (_load_torchvision if ref.source == "torchvision" else load_state)(path), path)
    return Backbone(network, ref.input_px).eval()


def make_network(name: str, input_px: int, seed: int) -> nn.Module:
    """A whole network, with its head, in eval mode; heads that only help training are left out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if width := layout_width(name):
            network: nn.Module = resnet18(width, _CLASSES)
        elif name.startswith(TIMM_PREFIX):
            network = timm_network(name, _CLASSES)
        else:
            network = _torchvision_network(name, input_px)
    return network.eval()


def _torchvision_network(name: str, input_px: int) -> nn.Module:
    from torchvision import models

    plain = name.removesuffix(POOLED)
    try:
        family = models.get_model_builder(plain).__module__.rpartition(".")[2]
    except ValueError:
        raise BrokenArtifact(
            f"this torchvision has no network {one_line(name)!r}; install the version that did"
        ) from None
    families: dict[str, dict[str, Any]] = {
        "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": True},
        "inception": {"aux_logits": False, "transform_input": True, "init_weights": True},
        "vision_transformer": {"image_size": input_px},
    }
    network: nn.Module = models.get_model(plain, weights=None, **families.get(family, {}))
    if plain != name:
        network.set_submodule(*_pooled_head(network, name))
    return network


def _pooled_head(network: nn.Module, name: str) -> tuple[str, nn.Linear]:
    """The name of the classifier that ends `network`, and one linear layer for its place."""
    block = find_head(network).partition(".")[0]
    first = next(module for module in network.get_submodule(block).modules() if hasattr(module, "weight"))
    if not isinstance(first, nn.Linear):
        raise BrokenArtifact(f"there is no network {one_line(name)!r}: its classifier is not of linear layers alone")
    return block, nn.Linear(first.in_features, _CLASSES)


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load `state`; every name and shape must fit, but for the heads: those may be missing or of other classes."""
    ignored = (find_head(network) + ".", *_TRAINING_HEADS)
    own = network.state_dict()
    wanted = OrderedDict(
        (_DENSE_LAYER.sub(r"\1\2", name), tensor) for name, tensor in state.items() if not name.startswith(ignored)
    )
    # torch reads old forms of some modules by a version number, which a .pth has and safetensors has not
    wanted._metadata = getattr(state, "_metadata", own._metadata)  # type: ignore[attr-defined]
    odd = [name for name, tensor in wanted.items() if name in own and tensor.shape != own[name].shape]
    missing, unexpected = ([], []) if odd else network.load_state_dict(wanted, strict=False)
    missing = [name for name in missing if not name.startswith(ignored) and not name.endswith("num_batches_tracked")]
    problems = [
        f"{len(names)} {what} ({', '.join(name[:80] for name in names[:_NAMED])}{', ...' * (len(names) > _NAMED)})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", odd))
        if names
    ]
    if problems:
        raise BrokenArtifact(
            f"{path} does not fit {type(network).__name__}: tensors {one_line('; '.join(problems))}; "
            f"name the network that these weights are of, with {POOLED} after it where they lack its whole classifier"
        )
