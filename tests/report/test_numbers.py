import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report import numbers


def statistic(value, low=None, high=None, *, name="accuracy", status="measured", n=400):
    return {"name": name, "value": value, "low": low, "high": high, "status": status, "n": n, "estimator": ""}


@pytest.mark.parametrize(
    ("given", "unit", "expected"),
    [
        (statistic(0.812, 0.789, 0.833), "", "81.2 % (78.9 to 83.3)"),
        (statistic(0.293, 0.221, 0.365, name="accuracy_difference"), "", "+29.3 points (+22.1 to +36.5)"),
        (statistic(-0.02, -0.06, 0.01, name="accuracy_difference"), "", "-2.0 points (-6.0 to +1.0)"),
        (statistic(0.41, 0.37, 0.45, name="camera"), "", "0.41 (0.37 to 0.45)"),
        (statistic(0.41, name="camera"), "percent", "41.0 %"),
        (statistic(0.0241, 0.0, 0.03, name="share"), "", "0.024 (0 to 0.03)"),
        (statistic(1234.0, name="pairs"), "", "1,234"),
    ],
)
def test_a_value_reads_with_its_interval(given, unit, expected):
    assert numbers.value_with_interval(given, unit) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("too_small", "not measured: too few images (n = 3)"),
        ("not_measurable", "not measured: nothing to measure it on"),
        ("skipped", "not measured: skipped"),
        ("measured", "not measured: no value was recorded"),
    ],
)
def test_what_was_not_measured_says_why_and_shows_no_number(status, expected):
    assert numbers.value_with_interval(statistic(None, status=status, n=3)) == expected


def test_a_value_from_too_few_images_carries_its_doubt():
    assert numbers.value_with_interval(statistic(1.0, 0.4, 1.0, status="too_small", n=3)) == (
        "100.0 % (40.0 to 100.0), too few to trust (n = 3)"
    )


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0, "p < 0.001"), (0.0009, "p < 0.001"), (0.0123, "p = 0.012"), (0.5, "p = 0.50"), (1.0, "p = 1.00")],
)
def test_p_is_never_zero(p, expected):
    assert numbers.p_value(p) == expected


def test_small_words():
    assert numbers.compact(11_200_000) == "11.2 million"
    assert numbers.compact(412_000) == "412 thousand"
    assert numbers.compact(960) == "960"
    assert (numbers.plain(50.0), numbers.plain(1.306)) == ("50", "1.31")
    assert (numbers.plural(1, "class", "classes"), numbers.plural(2000, "class", "classes")) == (
        "1 class",
        "2,000 classes",
    )
    assert numbers.words("no_gain_over_scratch") == "no gain over scratch"
    assert numbers.words("fixed pattern in my_class") == "fixed pattern in my_class"


@given(st.floats(-1e6, 1e6))
def test_decimals_stay_near_the_value(value):
    shown = float(numbers.decimal(value))
    assert abs(shown - value) <= max(0.006, 0.051 * abs(value) if abs(value) < 0.1 else 0.0)
