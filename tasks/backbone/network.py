"""A network cut at its head: pooled features of several stages, a new head, and stages that can be frozen one by one.

Nothing here knows a network by name: tasks/backbone/stages.py finds head and stages by structure.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.backbone.heads import HeadKind, make_head
from tasks.backbone.stages import cut_head

FEATURE_STAGES = 3  # the last ones, concatenated: on little data the last vector alone does worse
BATCH_NORM_MOMENTUM = 0.1  # torch's own default, the share of a batch in the running statistics
_DROPPED_WITH = {"StochasticDepth": "p", "DropPath": "drop_prob"}  # a class of torchvision, timm -> its probability


class Backbone(nn.Module):
    """A network without its head. Call it for features: (batch, 3, height, width) -> (batch, `features`).

    Raises BadUsage where `network` takes no images of `input_px`, or has no clear head.
    """

    def __init__(self, network: nn.Module, input_px: int, feature_stages: int = FEATURE_STAGES) -> None:
        super().__init__()
        if feature_stages < 1:
            raise ValueError(f"a backbone gives features of at least 1 stage, not of {feature_stages}")
        found = cut_head(network, input_px)
        self.network, self.input_px = network, input_px
        self.stages, self.tail = found.stages, found.tail
        self._found = found
        self.tap(feature_stages)

    def tap(self, feature_stages: int) -> None:
        """Let the features be those of so many last stages, fewer where there are not so many."""
        self.taps = self._found.taps[-feature_stages:]
        width = self._found.width
        self.with_last = not self.taps or self.taps[-1].channels != width  # else the last tap is that vector
        self.features = sum(tap.channels for tap in self.taps) + width * self.with_last

    def forward(self, images: Tensor) -> Tensor:
        """Average-pooled maps at the taps, and the vector before the head where it adds something."""
        pooled: list[Tensor] = []
        hooks = [
            self.network.get_submodule(tap.end).register_forward_hook(
                lambda _module, _inputs, output: pooled.append(pool(output))
            )
            for tap in self.taps
        ]
        try:
            last: Tensor = self.network(images)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([*pooled, last] if self.with_last else pooled, dim=1)


class TransferNet(nn.Module):
    """Backbone and classifier: (batch, 3, height, width) -> logits (batch, classes)."""

    def __init__(self, backbone: Backbone, classes: int, dropout: float = 0.0, head: HeadKind = "linear") -> None:
        super().__init__()
        self.classes = classes
        self.backbone = backbone
        self.head = make_head(head, backbone.features, classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores before the softmax."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def pool(maps: Tensor) -> Tensor:
    """The mean over each map: (batch, channels, height, width) -> (batch, channels)."""
    return functional.adaptive_avg_pool2d(maps, 1).flatten(1)


def set_stochastic_depth(network: nn.Module, rate: float) -> int:
    """Let each residual branch be left out in training, from never at the stem up to `rate` at the end.

    Sets the StochasticDepth of torchvision and the DropPath of timm, and returns how many it found: 0 where the
    network has none, which is for the caller to say. Huang et al., 2016 (Deep networks with stochastic depth).
    Raises ValueError where `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the rate of stochastic depth is in [0, 1), not {rate}")
    branches = [module for module in network.modules() if type(module).__name__ in _DROPPED_WITH]
    for i, module in enumerate(branches):
        setattr(module, _DROPPED_WITH[type(module).__name__], rate * i / max(1, len(branches) - 1))
    return len(branches)


def quicken_batch_norm(network: nn.Module) -> None:
    """Let no running statistics follow the images slower than torch's default does.

    MobileNetV3 and MNASNet come with momenta of .01 and .0003, made for millions of steps: a training of a few
    hundred ends with statistics that are not those of its images, and at chance.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:
            module.momentum = max(module.momentum, BATCH_NORM_MOMENTUM)


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
