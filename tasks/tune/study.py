"""The trials of one strategy in an SQLite file, and what to try next. The only module that imports optuna.

Proposals depend on the seed and on the trials that ended, not on which process asks: a search that was killed goes on
as one that was not.
"""

import math
import sqlite3
import zlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.records import Statistic, Status
from tasks.tune.records import Importances, Outcome
from tasks.tune.space import Choice, Count, Knob, Value, place_of, value_at

_RANDOM_FIRST = 8  # proposals before the estimator has enough to go by
_PRUNED_BY = 4  # finished trials before one can be behind them
_WARM_UP = 0.25  # of the epochs, in which no trial is stopped: what thaws by and by starts slowly
LEAST_FOR_IMPORTANCE = 16  # finished trials; fANOVA (Hutter et al., 2014) on fewer follows single trials
_WAIT_S = 60.0  # for another reader of the file
_OUTCOME, _VALUES = "outcome", "values"


@dataclass(frozen=True)
class Past:
    """A trial that ended: when it started (for the order), what was set, how it went; its value if it finished."""

    started: float
    values: dict[str, Value]
    outcome: Outcome
    value: float | None


@dataclass(frozen=True)
class Proposal:
    """A trial that has begun."""

    trial: optuna.Trial
    values: dict[str, Value]

    def is_behind(self, epoch: int, val_loss: float) -> bool:
        """Note an epoch; whether its trial does worse than half of those that finished did by then."""
        self.trial.report(-val_loss, epoch)
        return self.trial.should_prune()


class Study:
    """The trials of one strategy."""

    def __init__(self, storage: Any, name: str, seed: int, epochs: int) -> None:
        self._seed, self._stream = seed, zlib.crc32(name.encode())  # strategies do not try the same points
        self._past: list[Past] | None = None
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(_PRUNED_BY, round(_WARM_UP * epochs)),
        )

    def revive(self) -> int:
        """Mark what a dead process left as failed and put its settings first in the queue; returns how many.

        One that died before all was proposed needs no queue: the same is proposed again.
        For the holder of the workspace's lock alone: then nobody else's trial is running.
        """
        left = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in left:
            self._study.tell(trial.number, state=TrialState.FAIL)
            places = trial.params if _VALUES in trial.user_attrs else trial.system_attrs.get("fixed_params")
            if places:
                self._study.enqueue_trial(places)
        return len(left)

    def queue(self, places: dict[str, Value]) -> None:
        """Try these places next, unless they wait already."""
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not any(trial.system_attrs.get("fixed_params") == places for trial in waiting):
            self._study.enqueue_trial(places)

    def propose(self, knobs: tuple[Knob, ...], present: dict[str, Value]) -> Proposal:
        """Begin a trial of what waits in the queue, else of what seems best to try."""
        ended = len(self.past())
        state = int(np.random.SeedSequence([self._seed, self._stream, ended]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=state, n_startup_trials=_RANDOM_FIRST)
        trial = self._study.ask({knob.key: _distribution(knob) for knob in knobs})
        values = {knob.key: value_at(knob, trial.params[knob.key], present[knob.key]) for knob in knobs}
        trial.set_user_attr(_VALUES, values)
        return Proposal(trial, values)

    def close(self, proposal: Proposal, outcome: Outcome, value: float | None) -> None:
        """Note how a trial ended: with a value it finished, without one it was stopped."""
        proposal.trial.set_user_attr(_OUTCOME, asdict(outcome))
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        self._study.tell(proposal.trial, value, state=state)
        self._past = None

    def give_up(self, proposal: Proposal) -> None:
        """Mark a trial as failed: its settings are not judged by it."""
        self._study.tell(proposal.trial, state=TrialState.FAIL)

    def past(self) -> list[Past]:
        """The trials that ended, by number."""
        if self._past is None:
            ended = (TrialState.COMPLETE, TrialState.PRUNED)
            self._past = [_past(trial) for trial in self._study.get_trials(deepcopy=False, states=ended)]
        return self._past

    def failed(self) -> int:
        """How many trials a process left behind."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,)))

    def importances(self, strategy: str) -> Importances:
        """Each setting's share of the variance of the value, the greatest first; too_small with few trials."""
        finished = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        keys = sorted({key for trial in finished for key in trial.params})
        n, estimator = len(finished), "fANOVA, share of the variance of accuracy on val"
        if n < LEAST_FOR_IMPORTANCE or len({trial.value for trial in finished}) == 1:
            status: Status = "too_small" if n < LEAST_FOR_IMPORTANCE else "not_measurable"
            return Importances(
                strategy, n, tuple(Statistic(k, None, n, status=status, estimator=estimator) for k in keys)
            )
        found = get_param_importances(self._study, evaluator=FanovaImportanceEvaluator(seed=self._seed))
        shares = tuple(Statistic(key, float(share), n, estimator=estimator) for key, share in found.items())
        return Importances(strategy, n, shares)


def open_studies(path: Path, names: Iterable[str], seed: int, epochs: int) -> dict[str, Study]:
    """The studies of these names in the file at `path`, made where they are not there; a trial has so many epochs.

    Raises BrokenArtifact where the file is no database.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # graft says what happens
    path.parent.mkdir(parents=True, exist_ok=True)

    def connect() -> sqlite3.Connection:
        file = sqlite3.connect(path, timeout=_WAIT_S)  # given as it is: an address would trip over ? and # in a path
        file.execute("PRAGMA synchronous=NORMAL")  # with the log below a killed process loses nothing
        return file

    try:
        with closing(connect()) as file:
            file.execute("PRAGMA journal_mode=WAL")
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect})
        return {name: Study(storage, name, seed, epochs) for name in names}
    except (sqlite3.DatabaseError, RuntimeError, optuna.exceptions.StorageInternalError) as error:
        raise BrokenArtifact(f"{path} is no study of trials ({error}); move it away and tune anew") from None


def places_of(knobs: tuple[Knob, ...], values: dict[str, Value]) -> dict[str, Value]:
    """Where values lie in the space, as `Study.queue` takes them."""
    return {knob.key: place_of(knob, values[knob.key]) for knob in knobs}


def _distribution(knob: Knob) -> Any:
    match knob:
        case Choice():
            return CategoricalDistribution(knob.options)
        case Count():
            return IntDistribution(knob.low, knob.high)
        case _:
            low, high = (float(place_of(knob, end)) for end in (knob.low, knob.high))
            return FloatDistribution(low, high, log=knob.scale == "log")


def _past(trial: FrozenTrial) -> Past:
    started = trial.datetime_start.timestamp() if trial.datetime_start else math.inf
    outcome = Outcome(**trial.user_attrs[_OUTCOME])
    return Past(
        started, trial.user_attrs[_VALUES], outcome, trial.value if trial.state == TrialState.COMPLETE else None
    )
