"""Which candidate wins, why in words, and what to say where it is no better than its controls."""

from collections.abc import Sequence

from tasks.contracts.model_records import Candidate
from tasks.contracts.records import Finding, Statistic

CHEAPER_WITHIN = 0.01  # of accuracy: a smaller backbone wins if it is no further behind
_REMEDIES = {
    "random_features": "one that saw similar images may do better: `graft backbones` lists what there is; or fine-tune",
    "raw_pixels": "look at the images: colour or position alone may give the class away (reports/bias.json)",
}


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The most accurate candidate, or a smaller one within CHEAPER_WITHIN of it whose interval overlaps."""
    best = ranked(candidates)[0]
    close = [one for one in candidates if _value(one) >= _value(best) - CHEAPER_WITHIN and _overlap(one, best)]
    return min(close, key=lambda one: (one.backbone.parameters, -_value(one), one.backbone.name))


def ranked(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates, the most accurate first; equals by size, then by name."""
    order = sorted(candidates, key=lambda one: (-_value(one), one.backbone.parameters, one.backbone.name))
    return tuple(order)


def reason(chosen: Candidate, candidates: Sequence[Candidate]) -> str:
    """Why `chosen`, in one plain sentence with figures."""
    best = ranked(candidates)[0]
    images = f"{chosen.accuracy.n:,} training images"
    told = f"{chosen.backbone.name} gets {_value(chosen):.1%} of {images} right by a linear probe"
    if len(candidates) == 1:
        return f"{told}; it is the only candidate."
    if chosen is not best:
        return (
            f"{told}, within a point of {best.backbone.name} ({_value(best):.1%}) with {_millions(chosen)} parameters "
            f"instead of {_millions(best)}."
        )
    second = ranked(candidates)[1]
    return (
        f"{told}, the most of {len(candidates)} candidates; next is {second.backbone.name} with {_value(second):.1%}."
    )


def no_gain(chosen: Candidate, control: Statistic, gain: Statistic) -> tuple[Finding, ...]:
    """A warning where `gain`, the paired difference in accuracy to `control`, may be chance or worse; else nothing."""
    if gain.low is not None and gain.low > 0:
        return ()
    what = {"random_features": "the same network with random weights", "raw_pixels": "raw pixels in small"}[
        control.name
    ]
    message = (
        f"frozen features of {chosen.backbone.name} are not clearly better than {what}: {_value(chosen):.1%} against "
        f"{_percent(control)}"
    )
    check = {"random_features": "no_gain_over_random", "raw_pixels": "no_gain_over_pixels"}[control.name]
    return (Finding(check, "warn", chosen.backbone.name, gain, message, _REMEDIES[control.name]),)


def _value(candidate: Candidate) -> float:
    """The accuracy; a probe on two groups or more always has one."""
    if candidate.accuracy.value is None:
        raise ValueError(f"the accuracy of {candidate.backbone.name} was not measured")
    return candidate.accuracy.value


def _percent(statistic: Statistic) -> str:
    return "nothing" if statistic.value is None else f"{statistic.value:.1%}"


def _overlap(one: Candidate, other: Candidate) -> bool:
    a, b = one.accuracy, other.accuracy
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return one is other
    return a.low <= b.high and b.low <= a.high


def _millions(candidate: Candidate) -> str:
    return f"{candidate.backbone.parameters / 1e6:.1f} M"
