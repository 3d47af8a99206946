"""Images drawn by formula beside pre-training on them: what drawing leaves for learning, in one process each."""

from dataclasses import replace

import torch

from benchmarks.timing import Ratio, compare, images_per_second, take_turns
from tasks.pretrain.drawn import DrawnBatches, positions
from tasks.pretrain.lessons import lesson_of
from tasks.pretrain.plan import DRAWN_PX, NETWORK, Plan
from tasks.pretrain.pretrain import recipe_of
from tasks.train.data import split_evenly
from tasks.train.forward import choose_device
from tasks.train.loop import Learner, fit

IMAGES, VAL, ROUNDS = 3_072, 2, 3


def ratios() -> list[Ratio]:
    device = choose_device("auto")
    plan = Plan(NETWORK, "drawn", DRAWN_PX, IMAGES, seed=0)
    lesson = lesson_of(plan, None, device)
    if not isinstance(lesson.train, DrawnBatches):
        raise TypeError("a plan without data is of drawn images")
    train = lesson.train
    val = replace(train, samples=positions(VAL), epochs=0)
    learner, recipe = Learner(lesson.module, lesson.parts), recipe_of(plan, lesson, device)
    costs = take_turns(
        {
            "draw": lambda _number: _draw(train, plan.batch_size),
            "learn": lambda _number: fit(learner, train, val, recipe),
        },
        ROUNDS,
    )
    meaning = f"how many times faster {NETWORK}'s images are drawn than drawn and learned from on {device}"
    return [compare("drawing", images_per_second(IMAGES), costs["draw"], costs["learn"], meaning)]


def _draw(train: DrawnBatches, batch_size: int) -> None:
    for batch in train.epoch(split_evenly(train.samples.rows, batch_size), 0, 0):
        last = batch.inputs
    if last.is_cuda:
        torch.cuda.synchronize()
