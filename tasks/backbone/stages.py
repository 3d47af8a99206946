"""The structure of a network: its head, and its stages from stem to end, found by one trace on the meta device.

Nothing here knows a network by name. A stage ends where the side of the maps is about to fall, be they laid out as
NCHW (ResNet, VGG, ConvNeXt) or NHWC (Swin); in a chain of blocks that hand tokens on (ViT), with each block.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.backbone.meta import without_numbers
from tasks.contracts.errors import BadUsage, one_line


@dataclass(frozen=True)
class Stage:
    """A run of modules: the one whose output ends it, that output's channels, its side (None: tokens), and all names.

    `modules` are meant one by one, not with what is inside them: a name stands for the parameters and buffers that
    the module itself owns, and for its mode. "" is the network itself.
    """

    end: str
    channels: int
    side: int | None
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Tap:
    """A place whose NCHW map, pooled, is of use to a head; `stage` counts from 0."""

    end: str
    channels: int
    stage: int


@dataclass(frozen=True)
class Structure:
    """A headless network: stages, the names after the last of them, taps of all resolutions, width of the output."""

    stages: tuple[Stage, ...]
    tail: tuple[str, ...]
    taps: tuple[Tap, ...]
    width: int


@dataclass(frozen=True)
class _Map:
    """A square map in either layout."""

    side: int
    channels: int
    first: bool  # whether the channels come first


@dataclass(frozen=True)
class Call:
    """One call of a module, `entered` and `left` by one clock; `given` is its first tensor."""

    name: str
    entered: int
    left: int
    given: Tensor | None
    made: Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what it gave; empty where that is no tensor."""
        return () if self.made is None else tuple(self.made.shape)

    @property
    def map(self) -> _Map | None:
        """What it gave, where that is a square map."""
        match self.shape:
            case (_, channels, height, width) if height == width:
                return _Map(height, channels, first=True)
            case (_, height, width, channels) if height == width:
                return _Map(height, channels, first=False)
        return None

    @property
    def is_tokens(self) -> bool:
        """Whether it gave a sequence, (1, tokens, width)."""
        return len(self.shape) == 3


def find_head(network: nn.Module) -> str:
    """The name of the layer that gives the class scores: the last linear one, or (SqueezeNet) convolution.

    Raises BadUsage where there is none, or it is not clear which.
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    if not layers:
        raise BadUsage(f"{type(network).__name__} has no linear layer and no convolution, so no head to replace")
    name: str = next(reversed(layers))
    if isinstance(layers[name], nn.Conv2d) and any(isinstance(layer, nn.Linear) for layer in layers.values()):
        raise BadUsage(f"{type(network).__name__}: the last layer, {name}, is a convolution; the head is not clear")
    return name


def cut_head(network: nn.Module, input_px: int) -> Structure:
    """Put an identity in the place of the head of `network`, and find its structure for images of `input_px`.

    Raises BadUsage where it takes no such images, or what was cut is not the one head that ends it.
    """
    name, kind = find_head(network), type(network).__name__
    head = network.get_submodule(name)
    width = head.in_features if isinstance(head, nn.Linear) else head.in_channels
    network.set_submodule(name, nn.Identity())
    traced = without_numbers(network).eval()
    try:
        calls = trace(traced, input_px)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise BadUsage(
            f"{kind} without {name}, its last layer, takes no image of {input_px} px; give a network that ends in "
            f"one classifier and takes this side ({one_line(str(error))[:120]})"
        ) from None
    owners = {module for module, part in traced.named_modules() if owns_state(part)}
    at = next((call.left for call in calls if call.name == name), None)
    after = [call.name for call in calls if at is not None and call.name in owners and call.entered > at]
    if at is None or after or calls[-1].shape[1:] != (width,):
        what = f"{after[0]} follows it" if after else f"without it come {calls[-1].shape[1:]} numbers, not {width}"
        raise BadUsage(f"{kind}: {name} is not the one head ({what}); give a network with a single classifier")
    return _structure(traced, calls)


def trace(network: nn.Module, input_px: int) -> list[Call]:
    """All calls of a forward pass in the order in which they end; the last is the network's own.

    `network` is on the meta device and gets one image. Its hooks stay: give a copy.
    """
    calls: list[Call] = []
    clock = iter(range(1 << 62))
    entered: dict[str, list[int]] = defaultdict(list)

    def enter(name: str) -> None:
        entered[name].append(next(clock))

    def leave(name: str, inputs: tuple[object, ...], output: object) -> None:
        given = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        made = output if isinstance(output, Tensor) else None
        calls.append(Call(name, entered[name].pop(), next(clock), given, made))

    for name, module in network.named_modules():
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: enter(name))
        module.register_forward_hook(lambda _module, inputs, output, name=name: leave(name, inputs, output))
    with torch.no_grad():
        network(torch.empty(1, 3, input_px, input_px, device="meta"))
    return calls


def owns_state(module: nn.Module) -> bool:
    """Whether it has parameters or buffers of its own, those of its children aside."""
    return next(own_state(module), None) is not None


def own_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of `module` itself, with their names there; those of its children aside."""
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def _structure(traced: nn.Module, calls: list[Call]) -> Structure:
    times = Counter(call.name for call in calls)  # a module that is called again (a shared ReLU) cannot mark a place
    once = [call for call in calls if times[call.name] == 1 and call.name]
    maps = _at_rest(traced, once)
    chains = _chains(traced, once)
    ends = _with_chains(_falls(maps), chains, once)
    places = [
        Tap(call.name, found.channels, _place(ends, call.left))
        for call in _falls([call for call in maps if call.map and call.map.first])
        if not chains and (found := call.map)
    ]
    held = _held(traced, calls, ends)
    stages = tuple(_stage(end, names) for end, names in zip(ends, held, strict=False))
    return Structure(stages, held[-1], tuple(places), calls[-1].shape[1])


def _stage(end: Call, names: tuple[str, ...]) -> Stage:
    found = None if end.is_tokens else end.map
    return Stage(end.name, found.channels, found.side, names) if found else Stage(end.name, end.shape[-1], None, names)


def _at_rest(traced: nn.Module, once: list[Call]) -> list[Call]:
    """The calls that give a map and lie at no place where a skip connection is still to come.

    That is the case inside a block that ends in a smaller map, or in tokens.
    """
    blocks = {
        call.name: call
        for call in once
        if (call.map or call.is_tokens) and not isinstance(traced.get_submodule(call.name), nn.Sequential)
    }

    def is_open(block: Call | None, side: int) -> bool:
        return block is not None and (block.map is None or block.map.side < side)

    return [
        call
        for call in once
        if call.map
        and call.map.side > 1
        and not any(is_open(blocks.get(outer), call.map.side) for outer in _outer(call.name))
    ]


def _falls(maps: list[Call]) -> list[Call]:
    """The last call of each side, as long as sides fall."""
    last = {call.map.side: call for call in maps if call.map}
    return sorted(
        (call for side, call in last.items() if all(last[s].left < call.left for s in last if s > side)),
        key=lambda call: call.left,
    )


def _chains(traced: nn.Module, once: list[Call]) -> list[list[Call]]:
    """Blocks side by side, of one class, each of which takes the very tokens that the one before gave."""
    makers: dict[int, list[Call]] = defaultdict(list)
    chains: dict[str, list[Call]] = {}
    for call in once:
        if not call.is_tokens or next(traced.get_submodule(call.name).parameters(), None) is None:
            continue
        alike = [one for one in makers[id(call.given)] if _are_alike(traced, one.name, call.name)]
        chain = chains[call.name] = chains[alike[-1].name] if alike else []
        chain.append(call)
        makers[id(call.made)].append(call)
    long = {id(chain): chain for chain in chains.values() if len(chain) > 1}.values()
    closed = {call.name for chain in long for call in chain} | {call.name for call in once if call.map}
    return [chain for chain in long if closed.isdisjoint(_outer(chain[0].name))]


def _are_alike(traced: nn.Module, one: str, other: str) -> bool:
    together = one.rpartition(".")[0] == other.rpartition(".")[0]
    return together and type(traced.get_submodule(one)) is type(traced.get_submodule(other))


def _with_chains(falls: list[Call], chains: list[list[Call]], once: list[Call]) -> list[Call]:
    """Ends of stages: each block of a chain is one, and the stem reaches to the tokens that the first one takes."""
    if not chains:
        return falls
    first = min(chains, key=lambda chain: chain[0].entered)[0]
    before = [call for call in falls if call.left < first.entered]
    stem = [call for call in once if call.made is first.given and call.left < first.entered]
    blocks = [call for chain in chains for call in chain]
    return sorted([*(before[:-1] if stem else before), *stem[-1:], *blocks], key=lambda call: call.left)


def _held(traced: nn.Module, calls: list[Call], ends: list[Call]) -> list[tuple[str, ...]]:
    """The names of each stage and, last, of the tail: a module belongs where it is first entered.

    So what a container of several stages owns (class token, position embedding) is in the first of them. A module
    that is never called (the output projection of torch's attention) goes with the nearest one around it that is.
    """
    entered: dict[str, int] = {}
    for call in calls:
        entered[call.name] = min(call.entered, entered.get(call.name, call.entered))
    held: list[list[str]] = [[] for _ in range(len(ends) + 1)]
    for name, module in traced.named_modules():
        if name or owns_state(module):
            called = next(one for one in (name, *_outer(name), "") if one in entered)
            held[_place(ends, entered[called])].append(name)
    return [tuple(names) for names in held]


def _place(ends: list[Call], moment: int) -> int:
    return sum(end.left < moment for end in ends)


def _outer(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name
