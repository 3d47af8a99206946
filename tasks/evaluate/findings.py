"""What a person must know about an evaluation before using the model."""

from collections.abc import Sequence

from tasks.contracts.model_records import Scores
from tasks.contracts.records import Finding, Statistic

COLLAPSES_BELOW = 0.5  # of the accuracy on clean images, under a mild corruption


def gain_findings(difference: Statistic) -> list[Finding]:
    """Whether the transfer was worth it: `difference` is the candidate's accuracy minus the control's."""
    if difference.value is None or difference.low is None or difference.high is None:
        return []
    value, low, high = (100 * end for end in (difference.value, difference.low, difference.high))
    words = f"{value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
    if difference.high < 0:
        return [
            Finding(
                check="negative_transfer",
                severity="error",
                subject="candidate",
                statistic=difference,
                message=f"The transferred network is worse than the same network trained from scratch: {words}.",
                remedy="Do not use it: choose another backbone (graft backbones), freeze fewer stages, or train anew.",
            )
        ]
    if difference.low > 0:
        return []
    return [
        Finding(
            check="no_gain_over_scratch",
            severity="warn",
            subject="candidate",
            statistic=difference,
            message=f"The transferred network is not better than the same network from scratch beyond chance: {words}.",
            remedy="Collect more test images for a sharper comparison, or choose another backbone (graft backbones).",
        )
    ]


def collapse_findings(name: str, scores: Scores, classes: Sequence[str]) -> list[Finding]:
    """Whether the model `name` calls every image the same class although the split holds several."""
    called = [label for label, column in zip(classes, zip(*scores.confusion, strict=True), strict=True) if any(column)]
    present = sum(one.n > 0 for one in scores.per_class)
    if len(called) != 1 or present < 2:
        return []
    control = name == "scratch"
    return [
        Finding(
            check="one_class_predicted",
            severity="warn" if control else "error",
            subject=name,
            statistic=Statistic("classes_predicted", 1, scores.accuracy.n, estimator="count"),
            message=f"The {name} model calls every test image '{called[0]}', though the split has {present} classes.",
            remedy="The control did not learn, so it says little about the candidate; raise train.epochs."
            if control
            else "Do not use it. Lower train.learning_rate, raise train.epochs, or freeze more stages.",
        )
    ]


def coverage_findings(scores: Scores) -> list[Finding]:
    """Whether there are classes that the test split says nothing about."""
    missing = [one.label for one in scores.per_class if one.n == 0]
    if not missing:
        return []
    named = _listed(missing)
    every = len(missing) == len(scores.per_class)
    return [
        Finding(
            check="no_test_images",
            severity="error" if every else "warn",
            subject="test",
            statistic=Statistic("classes_without_test_images", len(missing), len(scores.per_class), estimator="count"),
            message="The test split has no image, so nothing was measured."
            if every
            else f"No test image of: {named}. How well the model knows them is not measured.",
            remedy="Add images of these classes, or give quality.splits.test a larger share.",
        )
    ]


def never_called_findings(scores: Scores, classes: Sequence[str]) -> list[Finding]:
    """Whether there are classes with test images that the candidate never names, though it names others."""
    named = [any(column) for column in zip(*scores.confusion, strict=True)]
    never = [one for one, called in zip(scores.per_class, named, strict=True) if one.n and not called]
    if not never or sum(named) < 2:  # one class only is a finding of its own
        return []
    listed = _listed([one.label for one in never])
    images = sum(one.n for one in never)
    return [
        Finding(
            check="class_never_predicted",
            severity="warn",
            subject=never[0].label,
            statistic=Statistic("classes_never_predicted", len(never), len(classes), estimator="count"),
            message=f"The candidate never names: {listed}, though {images} test images are of "
            f"{'this class' if len(never) == 1 else 'these classes'}.",
            remedy="Add training images of it, train with sampling: class_balanced, or raise train.epochs.",
        )
    ]


def ranking_findings(scores: Scores) -> list[Finding]:
    """Whether the candidate's probabilities rank images no better than chance; `auroc` is one against the rest."""
    auroc = scores.auroc
    if auroc is None or auroc.value is None or auroc.low is None or auroc.high is None or auroc.low > 0.5:
        return []
    reach = f"AUROC {auroc.value:.2f} (95 % interval {auroc.low:.2f} to {auroc.high:.2f})"
    return [
        Finding(
            check="auroc_at_chance",
            severity="error",
            subject="candidate",
            statistic=auroc,
            message=f"The candidate ranks test images no better than chance: {reach}.",
            remedy="Do not use it: look at the labels and at the training's curves, or collect more test images.",
        )
    ]


def trivial_findings(sees: str, difference: Statistic) -> list[Finding]:
    """Whether the candidate beats a model that cannot see the subject: `difference` is its accuracy less that one's."""
    if difference.value is None or difference.low is None or difference.high is None or difference.low > 0:
        return []
    value, low, high = (100 * end for end in (difference.value, difference.low, difference.high))
    words = f"{value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
    worse = difference.high < 0
    return [
        Finding(
            check="worse_than_trivial" if worse else "no_gain_over_trivial",
            severity="error" if worse else "warn",
            subject="candidate",
            statistic=difference,
            message=f"The candidate is {'worse than' if worse else 'not better beyond chance than'} a trivial model "
            f"that sees {sees}: {words}.",
            remedy="Do not trust its accuracy as knowledge of the subject: see the shortcuts of the bias report, "
            "collect data without them, or more test images for a sharper comparison.",
        )
    ]


def sturdiness_findings(difference: Statistic) -> list[Finding]:
    """Whether transfer made the network less sturdy; `difference` is the candidate's relative loss minus scratch's."""
    if difference.value is None or difference.low is None or difference.low <= 0:
        return []
    return [
        Finding(
            check="less_sturdy_than_scratch",
            severity="warn",
            subject="candidate",
            statistic=difference,
            message="On corrupted images the candidate loses a larger share of its accuracy than the same network from "
            f"scratch: {100 * difference.value:+.1f} points.",
            remedy="Train with augment.policy: medium or strong, or choose another backbone (graft backbones).",
        )
    ]


def corruption_findings(name: str, kept: Statistic) -> list[Finding]:
    """Whether a mild corruption costs more than half of the accuracy; `kept` is the share that stays."""
    if kept.value is None or kept.high is None or kept.high >= COLLAPSES_BELOW:
        return []
    return [
        Finding(
            check="corruption_collapse",
            severity="warn",
            subject=name,
            statistic=kept,
            message=f"Mild {name} leaves the candidate {kept.value:.0%} of its accuracy on clean images.",
            remedy="If images in use may look like this, train with it: augment.policy: strong, or own with a "
            "transform that does the same.",
        )
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
