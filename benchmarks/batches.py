"""Fine-tuning with augmented batches, as the train stage does it, beside a bare loop on tensors in memory."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.networks import DEFAULTS, SIDE_PX, Trial, pictures, recipe, trial
from benchmarks.pictures import samples_of
from benchmarks.timing import Ratio, compare, images_per_second, take_turns
from tasks.augment.policy import make_policy
from tasks.backbone.network import to_input
from tasks.contracts.params import AugmentParams
from tasks.train.data import ImageBatches, split_evenly
from tasks.train.forward import forward
from tasks.train.loop import fit
from tasks.train.strategies import FineTuning, parameter_groups

TRAIN, VAL, EPOCHS, ROUNDS = 320, 16, 4, 3


def ratios() -> list[Ratio]:
    strategy = FineTuning(DEFAULTS.fine_tuning.frozen_stages)
    loaded, bare, pixels, settings = trial(strategy), trial(strategy), pictures(TRAIN + VAL), recipe(EPOCHS)
    policy = make_policy(AugmentParams(policy="light"), SIDE_PX)
    train = ImageBatches(samples_of(pixels, 0, TRAIN), pixels, loaded.ref, policy)
    val = ImageBatches(samples_of(pixels, TRAIN, TRAIN + VAL), pixels, loaded.ref)
    inputs = to_input(torch.from_numpy(pixels[:TRAIN]), SIDE_PX, bare.ref.mean, bare.ref.std).to(settings.device)
    targets = torch.from_numpy(train.samples.targets).to(settings.device)
    bare.net.to(settings.device)
    costs = take_turns(
        {
            "loaded": lambda _number: fit(loaded.whole(EPOCHS), train, val, settings),
            "bare": lambda _number: _bare(bare, inputs, targets, settings.device),
        },
        ROUNDS,
    )
    meaning = f"share of the ceiling: a bare loop on tensors in memory, {SIDE_PX} px, light policy; higher is better"
    return [compare("batches", images_per_second(TRAIN * EPOCHS), costs["loaded"], costs["bare"], meaning)]


def _bare(of: Trial, inputs: Tensor, targets: Tensor, device: torch.device) -> None:
    groups = parameter_groups(of.whole(EPOCHS).parts, DEFAULTS.weight_decay)
    optimizer = torch.optim.AdamW([dict(group) for group in groups], lr=DEFAULTS.learning_rate, fused=True)
    for _ in range(EPOCHS):
        for part in split_evenly(np.arange(len(targets)), DEFAULTS.batch_size):
            logits = forward(of.net, inputs[part], device)
            loss = functional.cross_entropy(logits, targets[part], label_smoothing=DEFAULTS.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    loss.item()  # waits for a GPU
