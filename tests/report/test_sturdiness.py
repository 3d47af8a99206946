from dataclasses import asdict

import numpy as np

from tasks.evaluate.metrics import wilson
from tasks.report.sturdiness import sturdiness
from tests.evaluate.test_robustness import blind, brittle, looked_at


def test_each_corruption_is_a_panel_with_both_models_from_clean_to_the_most_severe():
    found, _, _ = looked_at(brittle, blind)
    panels = sturdiness({"robustness": asdict(found)})
    assert [panel.name for panel in panels] == [one.name for one in found.corruptions]
    first, one = panels[0], found.corruptions[0]
    assert [line.name for line in first.lines] == ["this model", "from scratch"]
    assert [tick.text for tick in first.across] == ["0", "1", "2", "3", "4", "5"]
    ours = [100 - y for _, y in first.lines[0].points]
    expected = [100 * rate.value for rate in (one.candidate_clean, *one.candidate)]
    assert np.allclose(ours, expected, atol=0.01)
    assert [x for x, _ in first.lines[0].points] == [0, 20, 40, 60, 80, 100]
    assert f"Accuracy under {one.name}" in first.summary
    assert "100.0 %" in first.summary


def test_where_nothing_was_corrupted_or_the_report_is_older_there_is_no_panel():
    assert sturdiness({"robustness": None}) == []
    assert sturdiness({"candidate": asdict(wilson("accuracy", 1, 2))}) == []
