"""What came out of a search, in order, and what was left out of it."""

from collections.abc import Mapping

from tasks.contracts.model_records import LeftOut
from tasks.contracts.params import Params
from tasks.tune.budget import FINE_FIRST, HEADS, Standing
from tasks.tune.records import Trial
from tasks.tune.space import Value, tunes_augmentation
from tasks.tune.study import Past

_NOT_VARIED = "train.epochs, batch_size, schedule, head, feature_stages, views, cutmix, ema, sampling"


def trials_of(past: Mapping[str, list[Past]], presents: Mapping[str, dict[str, Value]]) -> tuple[Trial, ...]:
    """All trials that ended, numbered by their start; `presents` are the present settings by strategy."""
    every = [(one, strategy) for strategy, of in past.items() for one in of]
    every.sort(key=lambda pair: pair[0].started)
    return tuple(
        Trial(number, strategy, one.values, presents.get(strategy) == one.values, one.outcome)
        for number, (one, strategy) in enumerate(every)
    )


def best_of(trials: tuple[Trial, ...], *, only_present: bool = False) -> Trial:
    """The finished trial of greatest accuracy, then of least loss, then the earliest."""
    finished = [one for one in trials if one.outcome.state == "finished" and (one.is_present or not only_present)]
    return max(finished, key=lambda one: (one.outcome.val_accuracy or 0.0, -(one.outcome.val_loss or 0.0)))


def left_out(params: Params, standings: Mapping[str, Standing], left_s: float) -> tuple[LeftOut, ...]:
    """What was not tried and why; `left_s` seconds of the budget are left."""
    found = [_untried(one, standings, left_s) for one in standings.values() if not one.ended]
    found += [_stopped(one, left_s) for one in standings.values() if one.ended and one.cost_s and one.cost_s > left_s]
    if not tunes_augmentation(params):
        why = f"{params.augment.policy} is not one of the built-in policies, which differ in strength alone"
        found.append(LeftOut("augment.policy", why, "set augment.policy to none, light, medium or strong"))
    found.append(LeftOut("flips", "whether a label survives them is not for val to say", "set augment.*_flip yourself"))
    found.append(LeftOut(_NOT_VARIED, "the search is over what regularises and how to transfer", "set them yourself"))
    return tuple(found)


def _untried(one: Standing, standings: Mapping[str, Standing], left_s: float) -> LeftOut:
    name, fine = one.strategy, standings["fine_tuning"]
    if name == "scratch" and fine.ended < FINE_FIRST and left_s > 0:
        why = f"it comes after {FINE_FIRST} trials of fine_tuning, and there were {fine.ended}"
    elif name == HEADS:
        why = "no trial was left for it"
    else:
        why = "no trial or time was left for it"
    return LeftOut(name, why, "a greater --budget or more --trials")


def _stopped(one: Standing, left_s: float) -> LeftOut:
    why = f"a trial takes about {one.cost_s:.0f} s, and {max(0.0, left_s):.0f} s were left"
    return LeftOut(f"more of {one.strategy}", why, "a greater --budget")
