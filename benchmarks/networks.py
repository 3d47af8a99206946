"""The embedded network with a new head, and pixels and recipe for it."""

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.pictures import CLASSES, picture
from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.network import TransferNet
from tasks.backbone.weights import build_network, open_entry
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.params import TrainParams
from tasks.contracts.prepared import Pixels
from tasks.train.loop import Learner, Recipe
from tasks.train.model import Head, fresh_net
from tasks.train.settings import recipe_of
from tasks.train.strategies import Strategy, parts_of, set_state, whole

BACKBONE, SIDE_PX, LARGE_PX = "embedded/formula_resnet18", 64, 96
DEFAULTS = TrainParams()


@dataclass(frozen=True)
class Trial:
    """A network that the same strategy may train again and again: its time does not depend on what it has learned."""

    net: TransferNet
    ref: BackboneRef
    strategy: Strategy

    def whole(self, epochs: int) -> Learner:
        """The network with its parts, each in the mode it trains in."""
        parts = parts_of(self.net, self.strategy, self.ref.source, epochs)
        set_state(parts, 0)
        return Learner(self.net, tuple(parts))

    def head(self) -> Learner:
        """The head alone."""
        return Learner(self.net.head, tuple(whole("head", self.net.head)))


def trial(strategy: Strategy) -> Trial:
    backbone, ref = open_entry(find_entry(BACKBONE, weights_folder()), SIDE_PX)
    return Trial(fresh_net(backbone, Head(CLASSES, dropout=DEFAULTS.dropout), seed=0), ref, strategy)


def large_trial(strategy: Strategy) -> Trial:
    """A whole ResNet-18 at LARGE_PX, its weights random: what it costs does not depend on them."""
    ref = BackboneRef("resnet18", "random", "resnet18", "", LARGE_PX, (0.5,) * 3, (0.25,) * 3, 0)
    return Trial(fresh_net(build_network(ref), Head(CLASSES, dropout=DEFAULTS.dropout), seed=0), ref, strategy)


def pictures(count: int, side_px: int = SIDE_PX) -> Pixels:
    return np.stack([picture(number, 0, (side_px, side_px)) for number in range(count)])


def recipe(epochs: int) -> Recipe:
    """The default training, but for its length, with a patience that no run uses up."""
    return replace(recipe_of(DEFAULTS, seed=0), epochs=epochs, patience=epochs)
