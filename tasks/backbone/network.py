"""A network cut at its head: its stages by structure, pooled features of several stages, and a new head.

Nothing here knows a network by name: the head is the last layer that gives the class scores, and a stage ends
where the spatial resolution is about to fall. So it serves ResNet, VGG, Inception, DenseNet and the rest alike.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURE_STAGES = 3  # the last ones, concatenated: on little data the last vector alone does worse


@dataclass(frozen=True)
class Stage:
    """A run of modules at one resolution: where it ends, and the modules with parameters that it holds."""

    end: str
    channels: int
    side: int
    modules: tuple[str, ...]


class Backbone(nn.Module):
    """A network without its head. Call it for features: (batch, 3, height, width) -> (batch, `features`)."""

    def __init__(self, network: nn.Module, input_px: int) -> None:
        super().__init__()
        head = find_head(network)
        network.set_submodule(head, nn.Identity())
        self.network = network
        self.stages, self.tail, width = find_stages(network, input_px)
        pooled = self.stages[-FEATURE_STAGES:]
        self.with_last = not pooled or pooled[-1].channels != width  # else the last stage, pooled, is that vector
        self.features = sum(stage.channels for stage in pooled) + width * self.with_last
        self._pooled_ends = tuple(stage.end for stage in pooled)

    def forward(self, images: Tensor) -> Tensor:
        """Average-pooled outputs of the last stages, and the vector before the head where it adds something."""
        found: list[Tensor] = []
        hooks = [
            self.network.get_submodule(end).register_forward_hook(
                lambda _module, _inputs, output: found.append(functional.adaptive_avg_pool2d(output, 1).flatten(1))
            )
            for end in self._pooled_ends
        ]
        try:
            last: Tensor = self.network(images)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([*found, last] if self.with_last else found, dim=1)

    def stage_modules(self, upto: int) -> Iterator[nn.Module]:
        """The modules that hold the parameters and buffers of the first `upto` stages, from the stem on."""
        for stage in self.stages[:upto]:
            for name in stage.modules:
                yield self.network.get_submodule(name)


class TransferNet(nn.Module):
    """Backbone and classifier: (batch, 3, height, width) -> logits (batch, classes)."""

    def __init__(self, backbone: Backbone, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = backbone
        self.head = nn.Sequential(
            nn.BatchNorm1d(backbone.features, affine=False),  # stages differ in scale by orders of magnitude
            nn.Dropout(dropout),
            nn.Linear(backbone.features, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class scores before the softmax."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def to_input(pixels: Tensor, input_px: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Prepared pixels as network input; the one way, in training, evaluation and prediction alike.

    `pixels`: uint8 (batch, side, side, 3) on any device. Returns float32 (batch, 3, input_px, input_px),
    resized by antialiased bilinear interpolation where the side differs, normalised by `mean` and `std` in [0, 1].
    """
    images = pixels.permute(0, 3, 1, 2).float().div_(255)
    if images.shape[-1] != input_px:
        images = functional.interpolate(images, (input_px, input_px), mode="bilinear", antialias=True)
    scale = images.new_tensor(std).view(1, 3, 1, 1)
    normal = (images - images.new_tensor(mean).view(1, 3, 1, 1)) / scale
    return normal.contiguous(memory_format=memory_format(normal.device))


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last on a GPU, where it is faster; never on a CPU.

    There, with torch 2.15, the backward pass of narrow layers in that format writes outside its memory: a ResNet-18
    of width 8 to 16 at 48 px crashed or hung in 6 runs of 6.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def find_head(network: nn.Module) -> str:
    """The name of the layer that gives the class scores: the last linear one, or (SqueezeNet) convolution."""
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    name: str = next(reversed(layers))
    if isinstance(layers[name], nn.Conv2d) and any(isinstance(layer, nn.Linear) for layer in layers.values()):
        raise ValueError(f"{type(network).__name__}: the last layer, {name}, is a convolution; the head is not clear")
    return name


def find_stages(network: nn.Module, input_px: int) -> tuple[tuple[Stage, ...], tuple[str, ...], int]:
    """The stages of a headless network from stem to end, the modules after them, and the width of its output.

    Shapes are traced on the meta device: no memory, no arithmetic. A stage ends at the last module that gives a
    square map of its side; networks that hold no such maps (ViT, Swin) have at most the stem as a stage.
    """
    traced = copy.deepcopy(network).to("meta").eval()
    calls: list[tuple[str, torch.Size]] = []
    for name, module in traced.named_modules():
        if name:
            module.register_forward_hook(
                lambda _module, _inputs, output, name=name: calls.append((name, getattr(output, "shape", torch.Size())))
            )
    output = traced(torch.empty(1, 3, input_px, input_px, device="meta"))
    times = Counter(name for name, _ in calls)  # a module that is called again (a shared ReLU) cannot mark a place
    side_of = {name: shape[-1] for name, shape in calls if len(shape) == 4}
    blocks = {name for name, module in traced.named_modules() if name and not isinstance(module, nn.Sequential)}
    maps = [
        (i, shape)
        for i, (name, shape) in enumerate(calls)
        if times[name] == 1
        and len(shape) == 4
        and shape[2] == shape[3] > 1
        # the inside of a block that ends smaller is no place to stop: its skip connection is still to come
        and all(side_of.get(outer, shape[3]) >= shape[3] for outer in _outer(name) if outer in blocks)
    ]
    last_of_side = {shape[2]: i for i, shape in maps}
    ends = sorted(i for side, i in last_of_side.items() if all(last_of_side[s] < i for s in last_of_side if s > side))
    owners = {name for name, module in traced.named_modules() if name and _owns_state(module)}
    stages, start = [], 0
    for end in ends:
        held = tuple(dict.fromkeys(name for name, _ in calls[start : end + 1] if name in owners))
        _, channels, side, _ = calls[end][1]
        stages.append(Stage(calls[end][0], channels, side, held))
        start = end + 1
    tail = tuple(dict.fromkeys(name for name, _ in calls[start:] if name in owners))
    return tuple(stages), tail, output.shape[1]


def _outer(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _owns_state(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False))
