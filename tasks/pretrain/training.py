"""One pre-training run: its recipe, its live state, its steps, and the checkpoints it resumes from."""

import copy
import json
import math
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tasks.backbone.layouts import resnet18
from tasks.backbone.network import memory_format
from tasks.pretrain.formula import SAMPLER_VERSION, draw_clouds, render, sample_classes, seeded

RECIPE_VERSION = f"formula-1.{SAMPLER_VERSION}"
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
CLOUD_STEPS = 100
VARIANTS = 2
NORM_BATCHES = 64
# Parts of a run's random stream; each is one number of the key given to `seeded`.
WEIGHTS, CLOUDS, IMAGES, NORMS = range(4)


@dataclass(frozen=True)
class Recipe:
    """What decides the weights. The run ends at `steps` or `seconds`, whichever comes first.

    Only runs ended by `steps` are reproducible, because the schedules follow the budget spent.
    `batch` images are drawn by each of `threads` workers per step. `contrast` is the difficulty at the end:
    1 is colour on cluttered grounds, as in photographs; near 0, light on dark, as in documents and drawings.
    """

    width: int = 24
    input_px: int = 64
    steps: int = 20_000
    seconds: float = math.inf
    seed: int = 0
    threads: int = 2
    batch: int = 96
    ifs: int = 100
    contours: int = 100
    contrast: float = 1.0
    peak_rate: float = 2e-3


@dataclass(frozen=True)
class Progress:
    """How far a run is: steps done, images seen, wall time spent in seconds."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0

    def fraction(self, recipe: Recipe) -> float:
        """Give the share of the budget spent; 1 or more is the end."""
        return max(self.step / recipe.steps, self.seconds / recipe.seconds)


@dataclass(frozen=True)
class Run:
    """The live state: `replicas` share one set of weights, `average` is their moving average."""

    replicas: tuple[nn.Module, ...]
    average: nn.Module
    optimiser: torch.optim.AdamW
    device: torch.device


def learning_rate(fraction: float, peak: float) -> float:
    """Warm up over the first 2 % of the budget, then fall along a cosine to 1 % of `peak`."""
    if fraction < 0.02:
        return peak * (fraction + 0.001) / 0.021
    return peak * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * min(fraction, 1))))


def background_contrast(fraction: float, most: float = 1.0) -> float:
    """Ramp from 0.1 to `most` over the first 40 % of the budget; learning does not start without it."""
    return min(most, 0.1 + (most - 0.1) * fraction / 0.4)


def image_side_px(fraction: float, input_px: int) -> int:
    """Draw three quarters of `input_px` (in multiples of 8 px) until the last fifth of the budget."""
    return input_px if fraction >= 0.8 else max(8, input_px * 3 // 4 // 8 * 8)


def start(recipe: Recipe, device: torch.device) -> Run:
    """Make a run's first state; its weights depend on the recipe's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(torch.device("cpu"), recipe.seed, WEIGHTS).initial_seed())
        net = resnet18(recipe.width, recipe.ifs + recipe.contours)
    net = net.to(device).to(memory_format=memory_format(device))
    average = copy.deepcopy(net).requires_grad_(False)
    replicas = [net, *(copy.deepcopy(net) for _ in range(recipe.threads - 1))]
    for replica in replicas[1:]:
        for theirs, ours in zip(replica.parameters(), net.parameters(), strict=True):
            theirs.data = ours.data
    optimiser = torch.optim.AdamW(_groups(net), lr=recipe.peak_rate, fused=True)
    return Run(tuple(replicas), average, optimiser, device)


def advance(
    run: Run,
    recipe: Recipe,
    progress: Progress,
    until: int,
) -> Iterator[tuple[Progress, float, float]]:
    """Train until step `until` or the end of the budget; yield progress, loss and accuracy per step."""
    classes = sample_classes(recipe.seed, recipe.ifs, recipe.contours, run.device)
    clouds = None
    began = time.monotonic() - progress.seconds
    with ThreadPoolExecutor(recipe.threads) as pool:
        while progress.step < until and progress.fraction(recipe) < 1:
            if clouds is None or progress.step % CLOUD_STEPS == 0:
                key = (recipe.seed, CLOUDS, progress.step // CLOUD_STEPS)
                clouds = draw_clouds(classes, recipe.input_px, VARIANTS, seeded(run.device, *key))
            loss, accuracy = _step(run, recipe, progress, clouds, pool)
            images = progress.images + recipe.batch * recipe.threads
            progress = Progress(progress.step + 1, images, time.monotonic() - began)
            yield progress, loss, accuracy


def restate_norms(net: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Copy a network with its batch-norm statistics re-estimated in fp32 as the mean over batches."""
    restated = copy.deepcopy(net).float().train()
    norms = [module for module in restated.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to ask for a plain mean
    with torch.no_grad():
        for batch in batches:
            restated(batch)
    for norm in norms:
        norm.momentum = 0.1
    return restated.eval()


def finish(run: Run, recipe: Recipe) -> nn.Module:
    """Give the averaged network of a run with batch-norm statistics of the final image mix."""
    classes = sample_classes(recipe.seed, recipe.ifs, recipe.contours, run.device)
    generator = seeded(run.device, recipe.seed, NORMS)
    clouds = draw_clouds(classes, recipe.input_px, VARIANTS, generator)
    batches = (_draw(clouds, recipe, 1.0, generator)[0] for _ in range(NORM_BATCHES))
    return restate_norms(run.average, batches)


def write_checkpoint(run: Run, recipe: Recipe, progress: Progress, path: Path) -> None:
    """Write what `read_checkpoint` needs to go on, in one atomic replacement of `path`."""
    tensors = {name: value.contiguous() for name, value in _live_tensors(run).items()}
    facts = {"recipe": _identity(recipe), "progress": json.dumps(asdict(progress))}
    write_whole(path, save(tensors, facts))


def read_checkpoint(run: Run, recipe: Recipe, path: Path) -> Progress:
    """Fill a fresh run from `path` and give its progress.

    Raises ValueError when the checkpoint belongs to another recipe (the budget may differ).
    """
    with safe_open(path, "pt") as stored:
        facts = stored.metadata()
        if facts["recipe"] != _identity(recipe):
            raise ValueError(
                f"{path} was made by {facts['recipe']}, not {_identity(recipe)}; "
                "give the same arguments, or delete it to start anew"
            )
        for parameter in run.replicas[0].parameters():
            run.optimiser.state[parameter] = {
                "step": torch.zeros((), device=run.device),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        with torch.no_grad():
            for name, value in _live_tensors(run).items():
                value.copy_(stored.get_tensor(name))
    return Progress(**json.loads(facts["progress"]))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and move it into place, so that a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _step(
    run: Run, recipe: Recipe, progress: Progress, clouds: Tensor, pool: ThreadPoolExecutor
) -> tuple[float, float]:
    def shard(number: int) -> tuple[float, float]:
        key = (recipe.seed, IMAGES, progress.step, number)
        images, labels = _draw(clouds, recipe, progress.fraction(recipe), seeded(run.device, *key))
        return _backward(run.replicas[number], images, labels)

    scores = list(pool.map(shard, range(recipe.threads)))
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(progress.fraction(recipe), recipe.peak_rate)
    _merge_gradients(run.replicas)
    run.optimiser.step()
    _follow(run.average, run.replicas[0], min(0.999, (1 + progress.step) / (10 + progress.step)))
    return sum(loss for loss, _ in scores) / len(scores), sum(hits for _, hits in scores) / len(scores)


def _merge_gradients(replicas: tuple[nn.Module, ...]) -> None:
    for sharers in zip(*(net.parameters() for net in replicas), strict=True):
        first, *others = [sharer.grad for sharer in sharers if sharer.grad is not None]
        sharers[0].grad = sum(others, first) / len(sharers)


def _draw(
    clouds: Tensor,
    recipe: Recipe,
    fraction: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    device = generator.device
    labels = torch.randint(len(clouds), (recipe.batch,), generator=generator, device=device)
    side_px = image_side_px(fraction, recipe.input_px)
    images = render(clouds, labels, side_px, background_contrast(fraction, recipe.contrast), generator)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=memory_format(device)), labels


def _backward(net: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    net.zero_grad()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=_has_bf16(images.device)):
        logits = net(images)
    loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), (logits.argmax(1) == labels).float().mean().item()


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16"))


def _groups(net: nn.Module) -> list[dict[str, object]]:
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    for slow, fast in zip(average.parameters(), net.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


def _live_tensors(run: Run) -> dict[str, Tensor]:
    named = list(run.replicas[0].named_parameters())
    live = {f"net.{name}": parameter.detach() for name, parameter in named}
    live |= {f"average.{name}": parameter for name, parameter in run.average.named_parameters()}
    for name, parameter in named:
        live |= {f"{key}.{name}": value for key, value in run.optimiser.state[parameter].items()}
    return live


def _identity(recipe: Recipe) -> str:
    facts = asdict(recipe)
    del facts["steps"], facts["seconds"]
    return json.dumps({"version": RECIPE_VERSION, **facts})
