"""A network cut in two where its frozen stages end: the trunk, computed once for each image, and the rest, trained."""

import copy
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle

from tasks.backbone.network import Backbone, TransferNet, pool
from tasks.backbone.stages import Tap, own_state
from tasks.contracts.errors import BadUsage, GraftError, one_line

_CHECKED_IMAGES = 2

OnOutput = Callable[[Tensor], Tensor | None]


class CannotSplit(GraftError):
    """The rest of a network cannot be computed from what its frozen stages give; compute these anew each time."""


class _Reached(Exception):
    """Ends a forward pass where the trunk ends: what follows is not computed."""


@dataclass(frozen=True)
class Piece:
    """A tensor as it lies in a row: its shape and the order of its strides, batch included, and its type."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: torch.dtype

    @property
    def width(self) -> int:
        """How many numbers of a row it takes."""
        return int(torch.Size(self.shape[1:]).numel())

    def restored(self, flat: Tensor) -> Tensor:
        """What `flat` (batch, width) was: with other strides the arithmetic may take another path to other bits."""
        whole = flat.reshape(len(flat), *self.shape[1:]).to(self.dtype)
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return whole.permute(self.order).contiguous().permute(back)


class Trunk(nn.Module):
    """The first `stages` stages of a network: images (batch, 3, height, width) -> rows (batch, `width`).

    A row is the activation at the end of the last of them, then the pooled taps before it that the head needs, in the
    type that they have (bfloat16 where `autocast`). It has copies of the weights as they are now, in evaluation mode,
    so that it can compute while the network that it is from trains.
    """

    def __init__(self, backbone: Backbone, stages: int, autocast: bool) -> None:
        super().__init__()
        _require_stages(backbone, stages)
        self.stages, self.autocast = stages, autocast
        self.end = backbone.stages[stages - 1].end
        self.taps = tuple(tap for tap in backbone.taps if tap.stage < stages and tap.end != self.end)
        self.network = _copy_of(backbone, stages)
        self.weights_sha256 = _sha256_of(backbone, stages)  # of all in the network that rows depend on
        self.eval()
        self.pieces = tuple(_piece(one) for one in self.outputs(_images(backbone, self.network)))
        self.width = sum(piece.width for piece in self.pieces)

    def forward(self, images: Tensor) -> Tensor:
        """Give the rows of `images`."""
        return torch.cat([one.flatten(1) for one in self.outputs(images)], dim=1)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in evaluation mode: what is frozen neither drops units nor moves statistics."""
        return super().train(False)

    @torch.no_grad()
    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        """The activation at the end, and the pooled taps."""
        pooled: list[Tensor] = []
        with _hooks() as hooked, _arithmetic(images.device, self.autocast):
            for tap in self.taps:
                hooked(self.network, tap.end, lambda output: pooled.append(pool(output)))
            reached: list[Tensor] = []

            def stop(output: Tensor) -> None:
                reached.append(output)
                raise _Reached

            hooked(self.network, self.end, stop)
            try:
                self.network(images)
            except _Reached:
                return (reached[0], *pooled)
        raise CannotSplit(f"{type(self.network).__name__} ends without {self.end}")


class Rest(nn.Module):
    """What follows a trunk: its rows (batch, width) -> logits (batch, classes).

    It has the very parameters of `net`. The network's own forward is run; all before the end of the trunk sees
    tensors of the meta device, which have shapes and nothing to compute, and there the stored activation comes in.
    """

    def __init__(self, net: TransferNet, trunk: Trunk) -> None:
        super().__init__()
        self.net, self.end, self.pieces = net, trunk.end, trunk.pieces
        self.taps: tuple[Tap, ...] = tuple(tap for tap in net.backbone.taps if tap not in trunk.taps)
        self._shapes = {name: tensor.detach().to("meta") for name, tensor in _held(net.backbone, trunk.stages)}

    def forward(self, rows: Tensor) -> Tensor:
        """Give the logits."""
        parts = torch.split(rows, [piece.width for piece in self.pieces], dim=1)
        activation, *pooled = (piece.restored(part) for piece, part in zip(self.pieces, parts, strict=True))
        backbone = self.net.backbone
        with _hooks() as hooked:
            hooked(backbone.network, self.end, lambda _output: activation)
            for tap in self.taps:
                hooked(backbone.network, tap.end, lambda output: pooled.append(pool(output)))
            images = torch.empty(len(rows), 3, backbone.input_px, backbone.input_px, device="meta")
            last: Tensor = functional_call(backbone.network, self._shapes, (images,))
        logits: Tensor = self.net.head(torch.cat([*pooled, last] if backbone.with_last else pooled, dim=1))
        return logits


def split(net: TransferNet, stages: int, autocast: bool) -> tuple[Trunk, Rest]:
    """`net` in two parts behind its first `stages` stages, which give its logits bit for bit (in evaluation mode).

    `autocast`: whether the arithmetic is bfloat16. Raises BadUsage where there are not so many stages, CannotSplit
    where the parts give other logits than the whole: something then passes by the end of the trunk.
    """
    trunk = Trunk(net.backbone, stages, autocast)
    rest = Rest(net, trunk)
    images = _images(net.backbone, net.backbone.network)
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.no_grad(), _arithmetic(images.device, autocast):
            whole, parts = net(images), rest(trunk(images))
    except (RuntimeError, NotImplementedError) as error:
        raise CannotSplit(_refusal(net, trunk, one_line(str(error))[:120])) from None
    finally:
        for module, mode in modes.items():
            module.training = mode
    if parts.device != whole.device or not torch.equal(parts, whole):
        raise CannotSplit(_refusal(net, trunk, "its two parts give other logits than the whole"))
    return trunk, rest


def _refusal(net: TransferNet, trunk: Trunk, reason: str) -> str:
    kind = type(net.backbone.network).__name__
    return f"{kind} cannot be cut behind {trunk.end} ({reason}); its frozen stages are computed anew in each epoch"


def _require_stages(backbone: Backbone, stages: int) -> None:
    if not 1 <= stages <= len(backbone.stages):
        raise BadUsage(
            f"a trunk has 1 to {len(backbone.stages)} stages, not {stages}: "
            f"{', '.join(stage.end for stage in backbone.stages)}"
        )


def _copy_of(backbone: Backbone, stages: int) -> nn.Module:
    """The network with what belongs to its first `stages` stages; tensors of the others are left empty."""
    held = {id(tensor) for _, tensor in _held(backbone, stages)}
    memo: dict[int, Any] = {}
    for tensor in (*backbone.network.parameters(), *backbone.network.buffers()):
        if id(tensor) not in held:
            empty = tensor.new_empty(0)
            memo[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(backbone.network, memo).requires_grad_(False)


def _sha256_of(backbone: Backbone, stages: int) -> str:
    digest = hashlib.sha256()
    for name, tensor in _held(backbone, stages):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _held(backbone: Backbone, stages: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the first `stages` stages, by their names in the network."""
    for stage in backbone.stages[:stages]:
        for name in stage.modules:
            for own, tensor in own_state(backbone.network.get_submodule(name)):
                yield f"{name}.{own}" if name else own, tensor


def _images(backbone: Backbone, network: nn.Module) -> Tensor:
    """Random images, the same each time, where the weights are."""
    shape = (_CHECKED_IMAGES, 3, backbone.input_px, backbone.input_px)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(next(network.parameters()).device)


def _arithmetic(device: torch.device, autocast: bool) -> AbstractContextManager[object]:
    """bfloat16 where it is asked for; where shapes alone are traced, no arithmetic is done."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=autocast)


def _piece(tensor: Tensor) -> Piece:
    strides = tensor.stride()
    order = sorted(range(tensor.ndim), key=lambda dim: -strides[dim])
    return Piece(tuple(tensor.shape), tuple(order), tensor.dtype)


@contextmanager
def _hooks() -> Iterator[Callable[[nn.Module, str, OnOutput], None]]:
    """Hooks on outputs by the name of a module, for as long as this lasts; what one returns replaces the output."""
    handles: list[RemovableHandle] = []

    def hook(network: nn.Module, name: str, on_output: OnOutput) -> None:
        module = network.get_submodule(name)
        handles.append(module.register_forward_hook(lambda _module, _inputs, output: on_output(output)))

    try:
        yield hook
    finally:
        for handle in handles:
            handle.remove()
