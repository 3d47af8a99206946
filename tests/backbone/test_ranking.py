from tasks.backbone.ranking import choose, no_gain, ranked, reason
from tasks.contracts.model_records import BackboneRef, Candidate
from tasks.contracts.records import Statistic


def candidate(name: str, value: float, half: float = 0.02, parameters: int = 10_000_000) -> Candidate:
    ref = BackboneRef(name, "torchvision", name, "", 224, (0.5,) * 3, (0.5,) * 3, parameters)
    return Candidate(ref, Statistic("probe_accuracy", value, 400, value - half, value + half), 512)


def test_most_accurate_wins():
    weak, strong = candidate("weak", 0.7), candidate("strong", 0.9)
    assert choose([weak, strong]) is strong
    assert ranked([weak, strong]) == (strong, weak)
    assert reason(strong, [weak, strong]) == (
        "strong gets 90.0% of 400 training images right by a linear probe, the most of 2 candidates; "
        "next is weak with 70.0%."
    )


def test_smaller_one_within_a_point_wins():
    large, small = candidate("large", 0.905, parameters=25_600_000), candidate("small", 0.9, parameters=2_500_000)
    assert choose([large, small]) is small
    assert "within a point of large (90.5%) with 2.5 M parameters instead of 25.6 M" in reason(small, [large, small])


def test_smaller_one_further_behind_does_not():
    large, small = candidate("large", 0.92, parameters=25_000_000), candidate("small", 0.9, parameters=2_000_000)
    assert choose([large, small]) is large


def test_smaller_one_that_is_clearly_worse_does_not_even_within_a_point():
    large = candidate("large", 0.905, half=0.002, parameters=25_000_000)
    small = candidate("small", 0.9, half=0.002, parameters=2_000_000)
    assert choose([large, small]) is large


def test_larger_one_that_is_equal_loses():
    assert choose([candidate("b", 0.9, parameters=9), candidate("a", 0.9, parameters=10)]).backbone.name == "b"
    assert choose([candidate("b", 0.9), candidate("a", 0.9)]).backbone.name == "a"


def test_only_candidate():
    only = candidate("only", 0.5)
    assert choose([only]) is only
    assert reason(only, [only]).endswith("; it is the only candidate.")


def test_gain_that_may_be_chance_is_a_finding():
    control = Statistic("random_features", 0.88, 400, 0.85, 0.91)
    (finding,) = no_gain(candidate("net", 0.9), control, Statistic("accuracy_difference", 0.02, 400, -0.01, 0.05))
    assert (finding.check, finding.severity, finding.subject) == ("no_gain_over_random", "warn", "net")
    assert "90.0% against 88.0%" in finding.message
    assert no_gain(candidate("net", 0.9), control, Statistic("accuracy_difference", 0.02, 400, 0.01, 0.03)) == ()
    pixels = Statistic("raw_pixels", 0.88, 400)
    assert (
        no_gain(candidate("net", 0.9), pixels, Statistic("d", -0.1, 400, -0.2, 0.0))[0].check == "no_gain_over_pixels"
    )
