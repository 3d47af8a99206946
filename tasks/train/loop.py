"""The one training loop: AdamW, warm-up and cosine, label smoothing, early stopping with the best weights kept."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.backbone.features import best_device
from tasks.backbone.network import memory_format
from tasks.backbone.threads import fitting_threads
from tasks.contracts.errors import BadData, BadEnvironment
from tasks.contracts.progress import progress, say
from tasks.contracts.records import Epoch
from tasks.train.data import Batch, Batches
from tasks.train.strategies import ParameterGroup

WARM_UP = 0.1  # of all steps
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """How long and how fast; one `seed` decides order, augmentation and dropout."""

    epochs: int
    batch_size: int
    learning_rate: float
    label_smoothing: float
    patience: int
    seed: int
    device: torch.device


@dataclass(frozen=True)
class Fitted:
    """What came out: the epoch whose weights the module now has, and every epoch's figures."""

    best_epoch: int
    history: tuple[Epoch, ...]


def choose_device(wanted: str) -> torch.device:
    """The device that `train.device` means; `auto` takes CUDA where it works.

    Raises BadEnvironment where CUDA is asked for and is not there: training never falls back unannounced.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise BadEnvironment("train.device is cuda, but torch finds no CUDA GPU here; use --set train.device=auto")
    return best_device() if wanted == "auto" else torch.device(wanted)


def fit(module: nn.Module, groups: list[ParameterGroup], train: Batches, val: Batches, recipe: Recipe) -> Fitted:
    """Train `module` in place on `train`; it ends with the weights of the epoch of least loss on `val`.

    A module that is in evaluation mode when handed over (a frozen one) stays in it.
    Raises BadData where the loss is no longer a number.
    """
    modes = {name: part.training for name, part in module.named_modules()}
    module.to(recipe.device).to(memory_format=memory_format(recipe.device))
    optimizer = torch.optim.AdamW([dict(group) for group in groups], lr=recipe.learning_rate)
    history: list[Epoch] = []
    best, best_state = 0, copy.deepcopy(module.state_dict())
    with fitting_threads(module, (recipe.batch_size, *train.shape)):
        for epoch in progress(range(recipe.epochs), recipe.epochs, "training", "epochs"):
            set_modes(module, modes)
            loss = _train_epoch(module, optimizer, train, recipe, epoch)
            val_loss, val_accuracy = _validate(module, val, recipe.device)
            if not math.isfinite(val_loss):
                raise BadData(f"the val loss is no number at epoch {epoch + 1}; lower train.learning_rate")
            history.append(Epoch(epoch + 1, loss, val_loss, val_accuracy))
            if epoch == 0 or val_loss < history[best].val_loss:
                best, best_state = epoch, copy.deepcopy(module.state_dict())
            if epoch - best >= recipe.patience:
                break
    module.load_state_dict(best_state)
    module.eval()
    chosen = history[best]
    say(f"epoch {best + 1} of {len(history)} is the best on val: accuracy {chosen.val_accuracy:.3f}")
    return Fitted(best + 1, tuple(history))


def set_modes(module: nn.Module, modes: dict[str, bool]) -> None:
    """Put each part back into the mode that it was handed over in."""
    for name, part in module.named_modules():
        part.training = modes[name]


def learning_rate_at(step: int, total: int) -> float:
    """The share of the peak rate at `step` of `total`: linear warm-up, then half a cosine down to zero."""
    warm = max(1, round(total * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def _train_epoch(
    module: nn.Module, optimizer: torch.optim.Optimizer, train: Batches, recipe: Recipe, epoch: int
) -> float:
    steps = -(-len(train.samples) // recipe.batch_size)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(train.samples))
    total = seen = 0.0
    with torch.random.fork_rng(devices=[recipe.device] if recipe.device.type == "cuda" else []):
        torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # dropout; the caller's stream is left alone
        for step, batch in enumerate(train.epoch(order, recipe.batch_size, recipe.seed, epoch)):
            share = learning_rate_at(epoch * steps + step, recipe.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * group["rate"] * share
            loss = _loss(module, batch, recipe)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch.targets)
            seen += len(batch.targets)
            if not math.isfinite(total):
                raise BadData(
                    f"the training loss is no number at epoch {epoch + 1}, batch {step + 1}; "
                    f"lower train.learning_rate (now {recipe.learning_rate:g})"
                )
    return total / seen


def _loss(module: nn.Module, batch: Batch, recipe: Recipe) -> Tensor:
    targets = batch.targets.to(recipe.device)
    weights = batch.weights.to(recipe.device)
    logits = forward(module, batch.inputs, recipe.device)
    losses = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=recipe.label_smoothing)
    return (losses * weights).sum() / weights.sum()


@torch.inference_mode()
def _validate(module: nn.Module, val: Batches, device: torch.device) -> tuple[float, float]:
    module.eval()
    order = np.arange(len(val.samples))
    loss = correct = 0.0
    for batch in val.epoch(order, EVALUATION_BATCH, 0, 0):
        logits = forward(module, batch.inputs, device)
        targets = batch.targets.to(device)
        loss += functional.cross_entropy(logits, targets, reduction="sum").item()
        correct += (logits.argmax(1) == targets).sum().item()
    return loss / len(order), correct / len(order)


def forward(module: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Logits in float32; the arithmetic is bfloat16 where the device has instructions for it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        logits: Tensor = module(inputs.to(device, non_blocking=True))
    return logits.float()


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here: a GPU that has it, or a CPU with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
