import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report.charts import SHARE, Axis, axis_for, line_chart, mark
from tasks.report.tuned import _levels


def statistic(value, low=None, high=None):
    return {"name": "x", "value": value, "low": low, "high": high, "status": "measured", "n": 9, "estimator": ""}


def test_a_mark_stands_where_its_value_is():
    found = mark("m", statistic(0.25, 0.2, 0.5), SHARE)
    assert (found.at, found.low, found.high, found.text) == (25.0, 20.0, 50.0, "25.0 % (20.0 to 50.0)")


def test_an_unmeasured_mark_has_no_place():
    found = mark("m", statistic(None), SHARE)
    assert (found.at, found.low, found.high) == (None, None, None)
    assert found.text.startswith("not measured")


def test_the_axis_holds_the_largest_end_and_starts_at_zero():
    axis = axis_for([statistic(0.5, 0.4, 2.0), statistic(None)], "decimal")
    assert axis.at(0) == 0
    assert 85 < axis.at(2.0) < 100


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-1e3, 1e3))
def test_nothing_is_drawn_outside_the_box(low, high, value):
    assert 0 <= Axis(low, high, "decimal").at(value) <= 100


def test_line_chart_by_hand():
    chart = line_chart("Loss", {"training": [4.0, 2.0, 1.0]}, [1, 2, 3], best=2, unit="decimal")
    assert [tick.text for tick in chart.up] == ["0", "1", "2", "3", "4"]
    assert chart.lines[0].points == ((0.0, 0.0), (50.0, 50.0), (100.0, 75.0))
    assert chart.best == 50.0
    assert chart.summary == "Loss over epochs 1 to 3: training from 4.00 to 1.00. Best epoch: 2."


def test_one_epoch_and_flat_zero_losses_can_be_drawn():
    chart = line_chart("Loss", {"training": [0.0]}, [5], best=9, unit="decimal")
    assert chart.lines[0].points == ((50.0, 100.0),)
    assert chart.best is None


@pytest.mark.parametrize("epochs", [1, 2, 6, 7, 20, 1000])
def test_axes_stay_readable(epochs):
    chart = line_chart("A", {"v": [0.5] * epochs}, list(range(1, epochs + 1)), best=1, unit="percent")
    assert len(chart.across) <= 6
    assert (chart.across[0].text, chart.across[-1].text) == ("1", str(epochs))


@given(st.floats(1e-6, 1e6))
def test_ticks_are_few_rise_and_reach_the_largest_value(most):
    chart = line_chart("L", {"v": [most]}, [1], best=1, unit="decimal")
    places = [tick.at for tick in chart.up]
    assert 3 <= len(places) <= 7
    assert places == sorted(places, reverse=True)
    assert chart.lines[0].points[0][1] >= 0
    assert float(chart.up[-1].text) >= most * 0.999


@pytest.mark.parametrize(
    ("least", "most", "levels"),
    [
        (0.61, 0.78, (0.6, 0.7, 0.8)),
        (0.3, 0.7, (0.3, 0.4, 0.5, 0.6, 0.7)),
        (0.1, 0.76, (0.0, 0.2, 0.4, 0.6, 0.8)),
        (1.0, 1.0, (0.9, 1.0)),
        (0.0, 0.0, (0.0, 0.1)),
    ],
)
def test_an_axis_of_accuracy_by_hand(least, most, levels):
    assert _levels(least, most) == pytest.approx(levels)
