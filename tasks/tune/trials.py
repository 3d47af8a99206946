"""One trial: trained as `graft run` would, watched, and stopped where going on is of no use."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from tasks.augment.policy import make_policy
from tasks.backbone.network import Backbone, TransferNet
from tasks.backbone.weights import build_backbone
from tasks.contracts.model_records import Attempt
from tasks.contracts.params import Params
from tasks.train.checkpoint import Position
from tasks.train.data import RowBatches
from tasks.train.model import fresh_net
from tasks.train.settings import recipe_of, strategies_of
from tasks.train.strategies import FeatureExtraction
from tasks.train.transfer import Task, head_batches, train_head, transfer
from tasks.tune.records import Outcome, State

_STEPS_TO_JUDGE = 8  # batches before the pace of a training is believed
Clock = Callable[[], float]
Judge = Callable[[int, float], bool]  # told of an epoch and its val loss: whether the trial is behind the others


class Stopped(Exception):
    """A trial need not go on."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state: State = state


class Bench:
    """Where trials are trained. The backbone and its features are made once, when they are first needed."""

    def __init__(self, task: Task, present: Params) -> None:
        self.task, self._present = task, present

    @cached_property
    def backbone(self) -> Backbone:
        """With its weights, as select chose it."""
        return build_backbone(self.task.backbone, self.task.root)

    @cached_property
    def features(self) -> tuple[RowBatches, RowBatches]:
        """Of train and val; the cost of every head's trial but the first is its training alone."""
        return head_batches(self.task, self._net(self.task))

    def train(self, params: Params, watch: Callable[[str, Position], None], *, keep: bool = False) -> Attempt:
        """Train with `params`, whose strategy is one; raises what `watch` raises and what `transfer` does.

        A head's training has a checkpoint only with `keep`.
        """
        task = replace(self._task(params), watch=watch)
        (strategy,) = strategies_of(params.train)
        if not isinstance(strategy, FeatureExtraction):
            return transfer(task, strategy).on_val
        features = self.features
        if not keep:
            task = replace(task, seconds_between=math.inf)  # a head is trained sooner than written
        kept = train_head(task, self._net(task), features)
        best = kept.history[kept.best_epoch - 1]
        return Attempt(strategy.name, best.val_accuracy, best.val_loss)

    def _task(self, params: Params) -> Task:
        policy = self.task.policy
        if params.augment.policy != self._present.augment.policy:
            policy = make_policy(params.augment, policy.side_px)
        recipe, processes = recipe_of(params.train, params.seed), params.train.processes
        if processes > 1 and not recipe.at_once:  # here is one process: it takes a batch in their pieces
            recipe = replace(recipe, at_once=-(-recipe.batch_size // processes))
        return replace(
            self.task,
            head=replace(self.task.head, dropout=params.train.dropout),
            recipe=recipe,
            policy=policy,
        )

    def _net(self, task: Task) -> TransferNet:
        return fresh_net(self.backbone, task.head, task.recipe.seed)


@dataclass
class Watcher:
    """Follows one training: asks the judge after each epoch, keeps to the deadline, and measures the pace.

    What it follows is called `follows`; what is trained before that only has to keep to the deadline. `judge` is None
    where the trial is to run to its end. `room_s` is what the whole trial may take where its cost is not known yet;
    None where it is.
    """

    follows: str
    images: int
    epochs: int
    deadline: float
    judge: Judge | None = None
    room_s: float | None = None
    clock: Clock = time.monotonic
    position: Position = field(default_factory=Position)
    _first: Position | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _now: float = field(default=0.0, init=False)
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def __call__(self, name: str, position: Position) -> None:
        """Raise Stopped where the time is over, the pace too slow, or the trial behind."""
        self._now = self.clock()
        if name != self.follows:
            self._in_time()
            return
        if self._first is None:
            self._first, self._since = position, self._now
        told, self.position = len(self.position.history), position
        for epoch in position.history[told:]:
            is_behind = self.judge is not None and self.judge(epoch.epoch, epoch.val_loss)
            if is_behind and epoch.epoch < self.epochs:  # after the last one nothing is saved by stopping
                raise Stopped("pruned")
        self._in_time()
        expected = self.expected_s()
        if self.room_s is not None and expected is not None and expected > self.room_s:
            raise Stopped("too_long")

    def expected_s(self) -> float | None:
        """Seconds that the whole trial takes at the pace so far, if all its epochs are trained; None if too early."""
        done = self._images(self.position) - self._images(self._first) if self._first else 0
        whole = self.images * self.epochs
        steps = self.position.step if not self.position.epoch else _STEPS_TO_JUDGE
        if done <= 0 or steps < _STEPS_TO_JUDGE:
            return None
        return self._since - self._started + (self._now - self._since) / done * whole

    def outcome(self, state: State, on_val: Attempt | None = None) -> Outcome:
        """How the trial ended; the best epoch's figures also where it was stopped."""
        history = self.position.history
        best = history[self.position.best] if history else None
        accuracy, loss = (best.val_accuracy, best.val_loss) if best else (None, None)
        if on_val is not None:
            accuracy, loss = on_val.val_accuracy, on_val.val_loss
        return Outcome(
            state=state,
            seconds=self.clock() - self._started,
            epochs=len(history),
            best_epoch=best.epoch if best else None,
            val_accuracy=accuracy,
            val_loss=loss,
            expected_s=self.expected_s(),
        )

    def _in_time(self) -> None:
        if self._now >= self.deadline:
            raise Stopped("out_of_time")

    def _images(self, position: Position) -> int:
        return position.epoch * self.images + position.seen
