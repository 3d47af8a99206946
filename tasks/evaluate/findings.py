"""What a person must know about an evaluation before using the model."""

from collections.abc import Sequence

from tasks.contracts.model_records import Scores
from tasks.contracts.records import Finding, Statistic


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
    named = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
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
