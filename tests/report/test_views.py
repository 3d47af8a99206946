import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.workspace import Workspace
from tasks.report import data, overview, results
from tasks.report.changes import changes, label_rows
from tasks.report.thumbnails import Thumbnails, embed_picture, thumbnails_of
from tests.conftest import store_pixels

NONE = Thumbnails(None, {})


def quality(sizes):
    return {"split_sizes": sizes, "reasons": {"dark": 2, "blurry": 5, "from_the_future": 2}}


def evaluation(confusion, classes="abc"):
    return {"classes": list(classes), "candidate": {"confusion": confusion}}


def test_class_table_adds_up_and_draws_relative_to_the_largest_class():
    table = data.class_table(quality({"a": {"train": 6, "test": 2}, "b": {"train": 3, "test": 1}}))
    assert table.splits == ("train", "test")
    assert [(row.label, row.total, row.parts) for row in table.rows] == [
        ("a", 8, ((0.0, 75.0), (75.0, 25.0))),
        ("b", 4, ((0.0, 37.5), (37.5, 12.5))),
    ]
    assert table.totals == (9, 3)


def test_many_classes_show_the_largest_and_count_the_rest():
    sizes = {f"c{i:04d}": {"train": i} for i in range(1000)}
    table = data.class_table(quality(sizes))
    assert (len(table.rows), table.rest, table.totals) == (200, 800, (sum(range(1000)),))
    assert table.rows[0].label == "c0800"


def test_an_empty_data_set_has_an_empty_table():
    assert data.class_table(quality({})).rows == ()
    assert data.class_table(quality({"a": {"train": 0}})).rows[0].parts == ()


def test_reasons_come_by_frequency_and_an_unknown_one_shows_its_id():
    assert data.reason_rows(quality({})) == [
        ("blurry", "no sharp edge anywhere", 5),
        ("dark", "almost everything is black", 2),
        ("from_the_future", "from_the_future", 2),
    ]


def test_quarantined_files_come_by_path_in_words_and_the_rest_is_counted():
    table = pd.DataFrame(
        {
            "path": [f"{i:03d}.png" for i in reversed(range(203))] + ["kept.png"],
            "label": [None] + ["a"] * 203,
            "sha256": [None, *map(str, range(203))],
            "verdict": ["quarantine"] * 203 + ["keep"],
            "reasons": [["truncated", "dark"]] * 203 + [[]],
        }
    )
    rows, rest = data.quarantined(table, NONE)
    assert (len(rows), rest, rows[0].path) == (200, 3, "000.png")
    assert rows[0].reasons == ("the image ends before all of its pixels", "almost everything is black")
    last, _ = data.quarantined(table.head(1), NONE)
    assert (last[0].label, last[0].thumbnail) == (None, None)


def test_pairs_across_splits_come_first():
    table = pd.DataFrame({"a": ["1", "2"], "b": ["3", "4"], "kind": ["near", "exact"], "cross_split": [False, True]})
    found = data.duplicate_pairs(table.assign(similarity=0.9), None, NONE)
    assert [row.a for row in found.rows] == ["2", "1"]
    assert (found.kinds, found.across_splits, found.rest) == ({"exact": 1, "near": 1}, 1, 0)


def test_composition_without_groups_is_none_and_many_groups_are_added_up():
    assert data.composition({"composition": {"a": {"all": 4}}}) is None
    found = data.composition({"composition": {"a": {f"g{i:02d}": i for i in range(15)}, "b": {"g14": 1}}})
    assert found.groups[-1] == "3 others"
    assert found.rows[0][1][-1] == 0 + 1 + 2
    assert [total for *_, total in found.rows] == [sum(range(15)), 1]


def test_heat_table_marks_right_answers_and_shows_single_mistakes():
    rows = results.heat_table(evaluation([[40, 1, 0], [0, 2, 2], [0, 0, 0]]))
    assert rows[0].cells == ((40, 8, True), (1, 1, False), (0, 0, False))
    assert rows[1].cells[2] == (2, 4, False)
    assert rows[2].total == 0


def test_many_classes_show_confused_pairs_instead():
    confusion = np.diag([5] * 60)
    confusion[3, 4], confusion[5, 6], confusion[7, 8] = 1, 3, 1
    confusion[7, 7] = 0
    report = evaluation(confusion.tolist(), [f"c{i}" for i in range(60)])
    pairs, rest = results.most_confused(report)
    assert results.heat_table(report) is None
    assert [(p.label, p.predicted, p.images, p.share) for p in pairs] == [
        ("c5", "c6", 3, 0.375),
        ("c7", "c8", 1, 1.0),
        ("c3", "c4", 1, 1 / 6),
    ]
    assert rest == 0


def test_unmeasured_classes_come_last():
    def one(label, recall):
        statistic = {"name": "recall", "value": recall, "low": None, "high": None, "n": 0, "status": "not_measurable"}
        return {"label": label, "n": 1, "precision": None, "f1": None, "recall": statistic}

    rows, rest = results.class_results({"candidate": {"per_class": [one("x", None), one("y", 0.9), one("z", 0.1)]}})
    assert ([row.label for row in rows], rest) == (["z", "y", "x"], 0)


@pytest.mark.parametrize(
    ("low", "high", "says"), [(0.1, 0.3, "helped"), (-0.3, -0.1, "did harm"), (-0.1, 0.3, "no clear difference")]
)
def test_the_verdict_follows_the_interval(low, high, says):
    difference = {"value": (low + high) / 2, "low": low, "high": high}
    assert says in overview.verdict({"difference": difference})
    assert "not measured" in overview.verdict({"difference": dict.fromkeys(difference)})


def test_an_augmentation_policy_reads_as_words():
    policy = {
        "transforms": [
            {"transform": "ColorJitter", "hue": 0.1, "scale": [0.5, 1.0], "p": 0.3},
            {"transform": "OneOf", "of": [{"transform": "GaussNoise", "std_range": [0, 1]}]},
        ]
    }
    first, second = changes(policy)
    assert (first.name, first.chance, first.settings) == ("color jitter", 0.3, "hue 0.1, scale 0.5 to 1.0")
    assert (second.name, second.chance, second.settings) == ("one of", None, "gauss noise: std range 0 to 1")


def label_change(rule, value, becomes="b", changes_label=False):
    share = {"value": value}
    return {
        "rule": rule,
        "setting": "always",
        "label": "a",
        "becomes": becomes,
        "share": share,
        "changes_label": changes_label,
    }


def test_each_change_is_shown_by_its_worst_class_and_with_what_followed():
    found = [
        label_change("HorizontalFlip", 0.1),
        label_change("HorizontalFlip", 0.5, changes_label=True),
        label_change("Affine.rotate", 0.4, changes_label=True),
        label_change("GaussNoise", 0.0, becomes=""),
    ]
    rows = label_rows({"safety": {"changes": found}, "refused": ["HorizontalFlip"]})
    assert [(row.name, row.share["value"], row.worst, row.verdict) for row in rows] == [
        ("HorizontalFlip", 0.5, "a taken for b", "changes labels: refused"),
        ("Affine.rotate", 0.4, "a taken for b", "changes labels"),
        ("GaussNoise", 0.0, "no class taken for another", "keeps labels"),
    ]
    assert label_rows({}) == label_rows({"safety": None}) == []


def test_a_thumbnail_is_made_only_from_prepared_pixels(tmp_path):
    ws = Workspace(tmp_path)
    named = pd.DataFrame({"sha256": ["aa" * 32, "bb" * 32]})
    table = store_pixels(ws, named, np.full((2, 8, 8, 3), 200, np.uint8)).astype({"pixels_crc32": "Int64"})
    table.loc[2] = ["cc" * 32, 8, 1]  # its pixels are no longer in the cache
    table.loc[1, "pixels_crc32"] = None
    found = thumbnails_of(ws, table)
    assert found.of("aa" * 32, 16).startswith("data:image/jpeg;base64,")
    assert found.of("bb" * 32, 16) is found.of("cc" * 32, 16) is found.of("dd" * 32, 16) is None


def test_a_broken_contact_sheet_is_named(tmp_path):
    sheet = tmp_path / "augmentation.jpg"
    sheet.write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(BrokenArtifact, match=r"augmentation\.jpg is no picture"):
        embed_picture(sheet, "augment")
