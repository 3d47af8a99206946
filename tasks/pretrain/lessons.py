"""What is trained on what, for each kind of source: drawn images, labelled ones, and ones without labels."""

import copy
from dataclasses import dataclass, replace

import torch
from torch import nn

from tasks.augment.policy import Policy, make_policy
from tasks.backbone.catalog import network_entry
from tasks.backbone.network import Backbone, TransferNet
from tasks.backbone.weights import build_network
from tasks.contracts.errors import BadUsage
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.params import AugmentParams
from tasks.pretrain.contrast import VIEWS, Contrastive, PairBatches
from tasks.pretrain.drawn import EPOCH_IMAGES, MEAN, STD, VAL_IMAGES, DrawnBatches, positions
from tasks.pretrain.formula import make_world
from tasks.pretrain.own import OwnSet
from tasks.pretrain.plan import Plan
from tasks.train.data import Batches, ImageBatches
from tasks.train.strategies import Part, whole

SHAPES, TEXTURES = 700, 300
_BLOCK_PX = 8  # of the compression that images are drawn with
LABEL_SMOOTHING = 0.1


@dataclass(frozen=True)
class Lesson:
    """A module that learns, the backbone in it, and the batches; `kind` and `data` say for a card what they are.

    `source_images` is 0 where they are endless.
    """

    kind: str
    data: str
    source_images: int
    module: nn.Module
    backbone: Backbone
    train: Batches
    val: Batches
    epochs: int
    label_smoothing: float

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of it learns together."""
        return tuple(whole("all", self.module))


def lesson_of(plan: Plan, own: OwnSet | None, device: torch.device) -> Lesson:
    """The lesson of a plan; `own` is the set that it names.

    Raises BadUsage where the network takes no images of that side, BrokenArtifact where there is none of its name.
    """
    backbone = build_network(_ref(plan), plan.seed)
    backbone.tap(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        if own is None:
            return _drawn(plan, backbone, device)
        return (_labelled if own.classes else _unlabelled)(plan, backbone, own, device)


def takes(network: nn.Module, side_px: int) -> bool:
    """Whether a network takes images of that side, found by their shapes alone."""
    traced = copy.deepcopy(network).to("meta").eval()
    try:
        traced(torch.empty(1, 3, side_px, side_px, device="meta"))
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True


def require_network(plan: Plan) -> None:
    """Raise BadUsage where there is no network of that name, or none that takes images of that side."""
    network_entry(plan.network)
    try:
        build_network(_ref(plan))
    except (RuntimeError, AssertionError, ValueError):
        raise BadUsage(f"{plan.network} takes no images of {plan.input_px} px; try another --px") from None


def _ref(plan: Plan) -> BackboneRef:
    return BackboneRef("", "random", plan.network, "", plan.input_px, (MEAN,) * 3, (STD,) * 3, 0, "")


def _drawn(plan: Plan, backbone: Backbone, device: torch.device) -> Lesson:
    world = make_world(plan.seed, SHAPES, TEXTURES, device)
    images = min(EPOCH_IMAGES, max(plan.images, plan.batch_size))
    epochs = _epochs(plan, images)
    small_px = plan.input_px * 3 // 4 // _BLOCK_PX * _BLOCK_PX
    if not takes(backbone, small_px):
        small_px = plan.input_px
    train = DrawnBatches(world, positions(images), plan.input_px, small_px, device, epochs)
    return Lesson(
        kind=f"{len(world):,} classes of drawn shapes and textures",
        data="images drawn by formula, no natural-image data",
        source_images=0,
        module=TransferNet(backbone, len(world)),
        backbone=backbone,
        train=train,
        val=replace(train, samples=positions(VAL_IMAGES), epochs=0),
        epochs=epochs,
        label_smoothing=LABEL_SMOOTHING,
    )


def _labelled(plan: Plan, backbone: Backbone, own: OwnSet, device: torch.device) -> Lesson:
    policy = make_policy(AugmentParams(policy="medium"), own.pixels.shape[1])
    train = ImageBatches(own.train, own.pixels, _ref(plan), policy, device=device)
    return Lesson(
        kind=f"{len(own.classes):,} classes",
        data=f"your own, {len(own.classes):,} classes, {_named(own)}",
        source_images=len(own.train) + len(own.val),
        module=TransferNet(backbone, len(own.classes)),
        backbone=backbone,
        train=train,
        val=replace(train, samples=own.val, augment=None),
        epochs=_epochs(plan, len(own.train)),
        label_smoothing=LABEL_SMOOTHING,
    )


def _unlabelled(plan: Plan, backbone: Backbone, own: OwnSet, device: torch.device) -> Lesson:
    views = Policy("views", VIEWS, own.pixels.shape[1])
    train = ImageBatches(own.train, own.pixels, _ref(plan), views, device=device)
    return Lesson(
        kind="which two views are of one image",
        data=f"your own, no labels, {_named(own)}",
        source_images=len(own.train) + len(own.val),
        module=Contrastive(backbone),
        backbone=backbone,
        train=PairBatches(train),
        val=PairBatches(replace(train, samples=own.val)),
        epochs=_epochs(plan, len(own.train)),
        label_smoothing=0.0,  # a view's own column is -inf
    )


def _named(own: OwnSet) -> str:
    return f"sha256 {own.sha256}; without what looks like one of {own.held_out:,} images held out here"


def _epochs(plan: Plan, images: int) -> int:
    return max(1, -(-plan.images // images))
