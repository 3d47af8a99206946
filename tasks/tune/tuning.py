"""The search: the present setting first, then what the budget holds, each trial judged on val alone."""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from tasks.contracts.errors import BadData, BadUsage, GraftError
from tasks.contracts.model_records import Attempt
from tasks.contracts.params import Params
from tasks.contracts.progress import QUIET, say
from tasks.train.transfer import Task
from tasks.tune.budget import HEADS, HEADS_FIRST, HEADS_SHARE, Room, Standing, next_strategy
from tasks.tune.records import Outcome, TuningReport
from tasks.tune.results import best_of, left_out, trials_of
from tasks.tune.space import STRATEGY, Value, fixed_part, settings_of, space_of, value_of, with_values
from tasks.tune.study import Past, Proposal, open_studies, places_of
from tasks.tune.trials import Bench, Clock, Stopped, Watcher

VERSION = 1  # raised when trials of before cannot be compared with those of now
STRATEGIES = (HEADS, "fine_tuning", "scratch")
_TIE = 0.999  # of the step in accuracy that one image is: no loss makes up for an image


@dataclass(frozen=True)
class Tuning:
    """What is tuned: the task and params as they are now, the hash of the checked images, where trials are kept.

    `code` says which code makes the results: of another one, trials are another study's.
    """

    task: Task
    params: Params
    checked_sha256: str
    folder: Path
    code: str = ""

    @property
    def name(self) -> str:
        """The study's name: that of everything that decides a result and is not varied."""
        task = self.task
        facts = [
            self.checked_sha256,
            hashlib.sha256(task.train.weights.tobytes()).hexdigest(),
            asdict(task.backbone),
            fixed_part(self.params),
            str(task.recipe.device),
            [VERSION, self.code],
        ]
        return f"graft-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}"

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those that the present params train."""
        wanted = self.params.train.strategy
        return STRATEGIES if wanted == "auto" else (wanted,)


@dataclass(frozen=True)
class Limits:
    """Seconds for this call, and trials in all, those of earlier calls included."""

    seconds: float = math.inf
    trials: float = math.inf


def tune(tuning: Tuning, limits: Limits, clock: Clock = time.monotonic) -> TuningReport:
    """Search until the limits; a search that was killed goes on.

    For the holder of the workspace's lock. Raises BadUsage where the budget does not hold one training with the
    present settings, and what `transfer` raises with these.
    """
    search = _Search(tuning, limits, clock)
    for strategy in tuning.strategies:
        search.try_present(strategy)
    while following := search.next_strategy():
        search.try_one(following)
    shutil.rmtree(tuning.folder / "checkpoints", ignore_errors=True)
    return search.report()


def value_of_attempt(attempt: Attempt, val_images: int) -> float:
    """One number that orders as accuracy does and, where that is equal, as a smaller loss does."""
    return attempt.val_accuracy + _TIE * math.exp(-attempt.val_loss) / val_images


class _Search:
    """One call: studies, bench and clock."""

    def __init__(self, tuning: Tuning, limits: Limits, clock: Clock) -> None:
        self.tuning, self.limits, self.clock = tuning, limits, clock
        self.started = clock()
        self.head_seconds = 0.0
        task = replace(tuning.task, checkpoints=tuning.folder / "checkpoints")
        self.bench = Bench(task, tuning.params)
        stages = len(self.bench.backbone.stages)
        self.knobs = {strategy: space_of(strategy, tuning.params, stages) for strategy in STRATEGIES}
        names = {strategy: f"{tuning.name}-{strategy}" for strategy in STRATEGIES}
        params = tuning.params
        opened = open_studies(tuning.folder / "trials.db", names.values(), params.seed, params.train.epochs)
        self.studies = {strategy: opened[name] for strategy, name in names.items()}
        if revived := sum(study.revive() for study in self.studies.values()):
            say(f"a killed search left {revived} trial(s), tried again now")

    def left(self) -> float:
        return self.limits.seconds - (self.clock() - self.started)

    def try_present(self, strategy: str) -> None:
        """Measure the present setting, unless it was."""
        if self._was_measured(strategy):
            return
        self.studies[strategy].queue(places_of(self.knobs[strategy], self._present(strategy)))
        while not self._was_measured(strategy):
            self.try_one(strategy, is_present=True)

    def try_one(self, strategy: str, *, is_present: bool = False) -> None:
        """One trial from proposal to end."""
        study, knobs, present = self.studies[strategy], self.knobs[strategy], self._present(strategy)
        if strategy == HEADS:
            _ = self.bench.features  # made now: their cost is paid once, and is not that of a trial
        if not study.past():
            study.queue(places_of(knobs, present))
        proposal = study.propose(knobs, present)
        is_present = is_present and proposal.values == present
        watcher = self._watcher(strategy, None if is_present else proposal)
        params = with_values(self.tuning.params, {**proposal.values, STRATEGY: strategy})
        value = None
        try:
            with _hushed(strategy == HEADS):
                attempt = self.bench.train(params, watcher, keep=is_present)
            outcome, value = watcher.outcome("finished", attempt), value_of_attempt(attempt, self._val_images)
        except Stopped as stopped:
            outcome = watcher.outcome(stopped.state)
            if is_present:
                study.give_up(proposal)
                raise BadUsage(_too_short(self.limits, outcome)) from None
        except GraftError as error:
            if is_present or not isinstance(error, BadData):  # which a training raises where its loss is no number
                study.give_up(proposal)
                raise
            outcome = watcher.outcome("diverged")
        study.close(proposal, outcome, value)
        self.head_seconds += outcome.seconds if strategy == HEADS else 0.0
        shutil.rmtree(self.bench.task.checkpoints, ignore_errors=True)
        self._tell(strategy, outcome)

    def next_strategy(self) -> str | None:
        """What to try next within the limits."""
        ended = sum(len(study.past()) for study in self.studies.values())
        heads_first = HEADS_FIRST if math.isinf(self.limits.trials) else min(HEADS_FIRST, int(self.limits.trials) // 2)
        room = Room(
            seconds=self.left(),
            trials=self.limits.trials - ended,
            head_seconds=HEADS_SHARE * self.limits.seconds - self.head_seconds,
            heads_first=heads_first,
        )
        heads, fine, scratch = (self._standing(strategy) for strategy in STRATEGIES)
        return next_strategy(heads, fine, scratch, room)

    def report(self) -> TuningReport:
        """Everything that was tried, those of earlier calls included."""
        say("weighing what mattered")
        presents = {strategy: self._present(strategy) for strategy in self.tuning.strategies}
        rows = trials_of({name: study.past() for name, study in self.studies.items()}, presents)
        present, best = (best_of(rows, only_present=only) for only in (True, False))
        standings = {strategy: self._standing(strategy) for strategy in STRATEGIES}
        return TuningReport(
            study=self.tuning.name,
            checked_sha256=self.tuning.checked_sha256,
            val_images=self._val_images,
            trials=rows,
            present=present.number,
            best=best.number,
            settings=()
            if best.is_present
            else settings_of(self.tuning.params, {STRATEGY: best.strategy, **best.settings}),
            importances=tuple(study.importances(name) for name, study in self.studies.items() if study.past()),
            left_out=left_out(self.tuning.params, standings, self.left()),
            interrupted=sum(study.failed() for study in self.studies.values()),
            seconds=self.clock() - self.started,
            budget_s=None if math.isinf(self.limits.seconds) else self.limits.seconds,
        )

    @property
    def _val_images(self) -> int:
        return len(self.tuning.task.val)

    def _present(self, strategy: str) -> dict[str, Value]:
        return {knob.key: value_of(self.tuning.params, knob.key) for knob in self.knobs[strategy]}

    def _was_measured(self, strategy: str) -> bool:
        present = self._present(strategy)
        return any(past.values == present and past.value is not None for past in self.studies[strategy].past())

    def _watcher(self, strategy: str, judged: Proposal | None) -> Watcher:
        """Heads are not judged by the epoch: to ask takes longer than to train one."""
        unknown = self._standing(strategy).cost_s is None
        return Watcher(
            follows="probe" if strategy == HEADS else strategy,
            images=len(self.tuning.task.train),
            epochs=self.tuning.params.train.epochs,
            deadline=self.started + self.limits.seconds,
            judge=judged.is_behind if judged and strategy != HEADS else None,
            room_s=self.left() if judged and unknown else None,
            clock=self.clock,
        )

    def _standing(self, strategy: str) -> Standing:
        past = self.studies[strategy].past()
        best = max((one.value for one in past if one.value is not None), default=-math.inf)
        return Standing(strategy, len(past), best, _cost_s(past))

    def _tell(self, strategy: str, outcome: Outcome) -> None:
        number = sum(len(study.past()) for study in self.studies.values()) - 1
        accuracy = "" if outcome.val_accuracy is None else f", val accuracy {outcome.val_accuracy:.3f}"
        say(f"trial {number}, {strategy}: {outcome.state.replace('_', ' ')}{accuracy}, {outcome.seconds:.1f} s")


def _cost_s(past: list[Past]) -> float | None:
    """Seconds that the next whole trial of a strategy takes: those that are usual, or what one was expected to take.

    Trials usually stop early, so the pace times all epochs counts only until one has finished. One that takes longer
    than is usual is stopped at the deadline.
    """
    finished = [one.outcome.seconds for one in past if one.value is not None]
    return median(finished) if finished else max((one.outcome.expected_s or 0.0 for one in past), default=0.0) or None


def _too_short(limits: Limits, outcome: Outcome) -> str:
    needed = f"; all its epochs take about {outcome.expected_s:.0f} s" if outcome.expected_s else ""
    return (
        f"--budget of {limits.seconds:.0f} s does not hold one training with the present settings, which all others "
        f"are compared with{needed}; the next `graft tune` goes on with it"
    )


@contextmanager
def _hushed(hush: bool) -> Iterator[None]:
    """Trials that take less than a second each say nothing of their own."""
    before = os.environ.get(QUIET)
    if hush:
        os.environ[QUIET] = "1"
    try:
        yield
    finally:
        if hush and before is None:
            del os.environ[QUIET]
