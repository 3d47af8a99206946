"""The embedded network with a new head, and pixels and recipe for it."""

from dataclasses import dataclass

import numpy as np

from benchmarks.pictures import CLASSES, picture
from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.network import TransferNet
from tasks.backbone.weights import open_entry
from tasks.contracts.params import TrainParams
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import BackboneRef
from tasks.train.loop import Recipe, choose_device
from tasks.train.model import fresh_net
from tasks.train.strategies import ParameterGroup, Strategy, freeze, frozen_modules, parameter_groups

BACKBONE, SIDE_PX = "embedded/formula_resnet18", 64
DEFAULTS = TrainParams()


@dataclass(frozen=True)
class Learner:
    """A network that the same strategy may train again and again: its time does not depend on what it has learned."""

    net: TransferNet
    ref: BackboneRef
    strategy: Strategy

    def ready(self) -> list[ParameterGroup]:
        """Put every part into the mode it trains in; what the optimiser may move."""
        self.net.train()
        freeze(frozen_modules(self.net, self.strategy))
        return parameter_groups(self.net, self.strategy, DEFAULTS.weight_decay)


def learner(strategy: Strategy) -> Learner:
    backbone, ref = open_entry(find_entry(BACKBONE, weights_folder()), SIDE_PX)
    return Learner(fresh_net(backbone, CLASSES, DEFAULTS.dropout, seed=0), ref, strategy)


def pictures(count: int) -> Pixels:
    return np.stack([picture(number, 0, (SIDE_PX, SIDE_PX)) for number in range(count)])


def recipe(epochs: int) -> Recipe:
    """The default training, but for its length, with a patience that no run uses up."""
    p = DEFAULTS
    device = choose_device(p.device)
    return Recipe(epochs, p.batch_size, p.learning_rate, p.label_smoothing, epochs, seed=0, device=device)
