"""What is to be learned, put together from what the stages before training left in a workspace."""

from dataclasses import replace

import numpy as np

from tasks.augment.policy import load_policy
from tasks.backbone.weights import backbone_ref
from tasks.contracts.params import TrainParams
from tasks.contracts.prepared import open_checked
from tasks.contracts.records import read_json
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.train.data import load_samples
from tasks.train.model import UNMITIGATED, Head
from tasks.train.settings import recipe_of
from tasks.train.transfer import Task


def open_task(ws: Workspace, params: TrainParams, seed: int) -> tuple[Task, tuple[str, ...]]:
    """The task and its classes.

    Raises BadUsage (a column), BadData (an empty split), BadEnvironment (device) and BrokenArtifact (a file is missing
    or broken).
    """
    checked, pixels = open_checked(ws)
    classes = tuple(sorted(usable(checked, "train")["label"].unique()))
    train, val = (load_samples(checked, ws.weights, split, classes, params.group_by) for split in ("train", "val"))
    task = Task(
        root=ws.root,
        cache=ws.cache,
        checkpoints=ws.checkpoints,
        backbone=backbone_ref(read_json(ws.selection)["chosen"]),
        head=Head(len(classes), params.head, params.feature_stages, params.dropout, params.stochastic_depth),
        train=train,
        val=val,
        pixels=pixels,
        policy=load_policy(ws.augmentation),
        recipe=recipe_of(params, seed),
        workers=params.workers,
        views=params.views,
    )
    return task, classes


def without_mitigation(ws: Workspace, task: Task) -> Task | None:
    """The same task with nothing done against a bias, to compare with; None where nothing is done."""
    policy, even = load_policy(ws.augmentation, mitigated=False), np.ones_like(task.train.weights)
    if policy.transforms == task.policy.transforms and np.array_equal(task.train.weights, even):
        return None
    train = replace(task.train, weights=even)
    return replace(task, train=train, policy=policy, checkpoints=task.checkpoints / UNMITIGATED)
