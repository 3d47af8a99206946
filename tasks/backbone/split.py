"""A network cut in two where its frozen stages end: the trunk, computed once for each image, and the rest, trained."""

import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle

from tasks.backbone.meta import without_numbers
from tasks.backbone.network import Backbone, TransferNet, pool
from tasks.backbone.stages import Tap, own_state, trace
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
        raise RuntimeError(f"{type(self.network).__name__} ended without {self.end}")


class Stub(nn.Module):
    """Stands for a frozen module: gives `given` where that is set, else the shape that the module would give.

    `shape` is for one image; the first number grows with the batch.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.given: Tensor | None = None
        self.images = 1

    def forward(self, *_: object, **__: object) -> Tensor:
        """Give it, whatever comes."""
        if self.given is not None:
            return self.given
        first, *others = self.shape
        return torch.empty(self.images * first, *others, device="meta")


class Rest(nn.Module):
    """What follows a trunk: its rows (batch, width) -> logits (batch, classes).

    It runs the network's own forward on the network's own modules; only the frozen ones are stubs, which give shapes
    on the meta device, but for the last of them: there the stored activation comes in. What reads anything else that
    was before fails.
    """

    def __init__(self, net: TransferNet, trunk: Trunk) -> None:
        super().__init__()
        backbone = net.backbone
        self.pieces, self.input_px, self.with_last = trunk.pieces, backbone.input_px, backbone.with_last
        self.autocast = trunk.autocast
        self.taps: tuple[Tap, ...] = tuple(tap for tap in backbone.taps if tap not in trunk.taps)
        self.network, self.head = _stubbed(backbone, trunk), net.head
        self.stubs = [module for module in self.network.modules() if isinstance(module, Stub)]
        self.entry = cast(Stub, self.network.get_submodule(trunk.end))
        own = {name for name, _ in self.network.named_parameters()} | {n for n, _ in self.network.named_buffers()}
        # class token, position embedding: they meet nothing but shapes
        self._shapes = {
            name: tensor.detach().to("meta") for name, tensor in _held(backbone, trunk.stages) if name in own
        }

    def forward(self, rows: Tensor) -> Tensor:
        """Give the logits."""
        parts = torch.split(rows, [piece.width for piece in self.pieces], dim=1)
        self.entry.given, *pooled = (piece.restored(part) for piece, part in zip(self.pieces, parts, strict=True))
        for stub in self.stubs:
            stub.images = len(rows)
        with _hooks() as hooked:
            for tap in self.taps:
                hooked(self.network, tap.end, lambda output: pooled.append(pool(output)))
            images = torch.empty(len(rows), 3, self.input_px, self.input_px, device="meta")
            last: Tensor = functional_call(self.network, self._shapes, (images,))
        self.entry.given = None
        logits: Tensor = self.head(torch.cat([*pooled, last] if self.with_last else pooled, dim=1))
        return logits


def split(net: TransferNet, stages: int, autocast: bool) -> tuple[Trunk, Rest]:
    """`net` in two parts behind its first `stages` stages, which give its logits bit for bit (in evaluation mode).

    `autocast`: whether the arithmetic is bfloat16. Have `net` on the device it will train on, whose types a row holds.
    Raises BadUsage where there are not so many stages, CannotSplit where the parts give other logits than the whole:
    something then passes by the end of the trunk.
    """
    _require_stages(net.backbone, stages)
    modes = {module: module.training for module in net.modules()}
    images = _images(net.backbone, net.backbone.network)
    try:
        trunk = Trunk(net.backbone, stages, autocast)
        rest = Rest(net, trunk)
        modes |= {module: module.training for module in rest.modules()}
        net.eval()
        rest.eval()
        with torch.no_grad(), _arithmetic(images.device, autocast):
            whole, parts = net(images), rest(trunk(images))
    except (RuntimeError, NotImplementedError) as error:
        raise CannotSplit(_refusal(net.backbone, stages, one_line(str(error))[:120])) from None
    finally:
        for module, mode in modes.items():
            module.training = mode
    if parts.device != whole.device or not torch.equal(parts, whole):
        raise CannotSplit(_refusal(net.backbone, stages, "its two parts give other logits than the whole"))
    return trunk, rest


def _refusal(backbone: Backbone, stages: int, reason: str) -> str:
    kind, end = type(backbone.network).__name__, backbone.stages[stages - 1].end
    return f"{kind} cannot be cut behind {end} ({reason}); its frozen stages are computed anew in each epoch"


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


def _stubbed(backbone: Backbone, trunk: Trunk) -> nn.Module:
    """The network with stubs for the frozen modules; all others, and all tensors, are the very same objects."""
    frozen = {name for stage in backbone.stages[: trunk.stages] for name in stage.modules}
    calls = trace(without_numbers(backbone.network).eval(), backbone.input_px)
    times = Counter(call.name for call in calls)
    shapes = {call.name: call.shape for call in calls if call.shape and times[call.name] == 1}
    memo: dict[int, Any] = {id(one): one for one in (*backbone.network.parameters(), *backbone.network.buffers())}
    for name, module in backbone.network.named_modules():
        inside = {f"{name}.{part}" if part else name for part, _ in module.named_modules()}
        if name and name not in frozen:
            memo[id(module)] = module
        elif name in shapes and inside <= frozen and (name == trunk.end or trunk.end not in inside):
            memo[id(module)] = Stub(shapes[name])
    return copy.deepcopy(backbone.network, memo)


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
