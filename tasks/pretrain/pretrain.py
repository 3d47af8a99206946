"""Pre-training of a backbone by the training loop that everything else uses, and its weights with their card."""

import os
import sys
from pathlib import Path

import cv2
import torch
import torchvision

from tasks.backbone.cards import Card, read_card, write_card
from tasks.contracts.images import PIXELS_VERSION
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace
from tasks.pretrain.drawn import MEAN, STD
from tasks.pretrain.lessons import Lesson, lesson_of
from tasks.pretrain.own import OwnSet, open_own
from tasks.pretrain.plan import Place, Plan
from tasks.pretrain.saving import restate_norms, save_weights
from tasks.train.checkpoint import SECONDS_BETWEEN, Checkpoint
from tasks.train.data import order_of, split_evenly
from tasks.train.forward import choose_device
from tasks.train.launch import answer, run_joined
from tasks.train.loop import Learner, Recipe, fit
from tasks.train.ranks import current, joined

EMA, WEIGHT_DECAY = 0.999, 0.05
LEAST_SHARE = 64  # images of a batch for each process: batch norms and contrasts see a share at a time
_NORM_BATCHES = 64
_LICENCE = {"drawn": "Apache-2.0, with graft"}
_KNOWS = {
    "drawn": (
        "shapes and textures, not objects",
        (
            "natural images: it has seen none, so it knows no object, scene, face or writing; that is no promise of "
            "fairness, for what is trained on it can still err more for some groups than for others"
        ),
    ),
    "labelled": ("the classes of its source set", "what its source set does not show, and whom it shows too seldom"),
    "unlabelled": (
        "what stays the same under crops, tones and blur in its source set",
        "what its source set does not show, and whom it shows too seldom",
    ),
}


def train(place: Place, plan: Plan, seconds_between: float = SECONDS_BETWEEN) -> Card:
    """Train by `plan` and write weights and card; a killed training goes on to the same weights.

    On a CPU one process for each core shares the work: twice as fast as threads that share each operation.
    Raises what `fit` and `lesson_of` raise.
    """
    processes = 1 if torch.cuda.is_available() else min(len(os.sched_getaffinity(0)), plan.batch_size // LEAST_SHARE)
    if processes > 1:
        run_joined("tasks.pretrain.pretrain", (place.ws.root, place.name, plan.to_json()), processes)
    else:
        _train_here(place, plan, seconds_between)
    return read_card(place.card)


def _train_here(place: Place, plan: Plan, seconds_between: float) -> None:
    device = choose_device("auto")
    own = open_own(place.private) if plan.data else None
    lesson = lesson_of(plan, own, device)
    images = lesson.epochs * len(lesson.train.samples)
    say(f"pre-training {plan.network} at {plan.input_px} px: {images:,} images, {lesson.kind}, on {device}")
    recipe = recipe_of(plan, lesson, device)
    checkpoint = Checkpoint(place.private / "checkpoint.safetensors", _key(plan, own, device), seconds_between)
    fit(Learner(lesson.module, lesson.parts), lesson.train, lesson.val, recipe, checkpoint)
    if current().is_first:  # the others have nothing more to do, and would wait in vain for long
        _save(place, plan, lesson, checkpoint.seconds)


def recipe_of(plan: Plan, lesson: Lesson, device: torch.device) -> Recipe:
    """How a lesson is taken."""
    return Recipe(
        epochs=lesson.epochs,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        patience=lesson.epochs,
        seed=plan.seed,
        device=device,
        weight_decay=WEIGHT_DECAY,
        label_smoothing=lesson.label_smoothing,
        ema=EMA,
    )


def _key(plan: Plan, own: OwnSet | None, device: torch.device) -> dict[str, object]:
    versions = [plan.version, PIXELS_VERSION, torchvision.__version__, cv2.__version__]
    return {
        "versions": versions,
        "plan": plan.recipe(),
        "own": own.sha256 if own else "",
        "device": [device.type, current().size, torch.get_num_threads()],
    }


def _save(place: Place, plan: Plan, lesson: Lesson, seconds: float) -> None:
    order = order_of(lesson.train.samples, "shuffled", plan.seed, lesson.epochs)
    parts = split_evenly(order, plan.batch_size)[:_NORM_BATCHES]
    batches = (batch.inputs.cpu() for batch in lesson.train.epoch(parts, plan.seed, lesson.epochs))
    restate_norms(lesson.module.cpu(), batches)
    mean, std = (MEAN,) * 3, (STD,) * 3
    told = {"network": plan.network, "input_px": plan.input_px, "mean": mean, "std": std}
    saved = save_weights(lesson.backbone.network, place.weights, told)
    knows, knows_not = _KNOWS[plan.source]
    card = Card(
        network=plan.network,
        input_px=plan.input_px,
        mean=mean,
        std=std,
        parameters=saved.parameters,
        bytes=saved.bytes,
        sha256=saved.sha256,
        source_data=lesson.data,
        source_images=lesson.source_images,
        images_seen=lesson.epochs * len(lesson.train.samples),
        seconds=round(seconds, 1),
        device=_device_name(),
        recipe_version=plan.version,
        recipe=plan.recipe(),
        licence=_LICENCE.get(plan.source, "your own"),
        knows=knows,
        knows_not=knows_not,
    )
    write_card(place.card, card)


def _device_name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cores = len(os.sched_getaffinity(0))
    return f"{cores} CPU core{'s' * (cores > 1)}"


def _main() -> None:
    """One of several processes, as `run_joined` starts it."""
    root, name, plan = sys.argv[1:]
    with joined():
        _train_here(Place(Workspace(Path(root)), name), Plan.from_json(plan), SECONDS_BETWEEN)


if __name__ == "__main__":
    answer(_main)
