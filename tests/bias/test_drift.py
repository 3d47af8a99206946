import numpy as np
import pandas as pd

from tasks.bias.drift import drift, split_drift
from tasks.contracts.records import SPLITS


def images(n: int, seed: int = 0) -> pd.DataFrame:
    """A table in which nothing has to do with anything."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "path": [f"{seed}/{i:05}.png" for i in range(n)],
            "sha256": [f"{seed:08x}{int(i):056x}" for i in rng.permutation(n)],
            "label": rng.choice(["cat", "dog"], n),
            "split": rng.choice(SPLITS, n, p=[0.5, 0.15, 0.15, 0.2]),
            "verdict": "keep",
            "luminance_median": rng.normal(0.5, 0.1, n),
            "jpeg_quality": np.where(rng.random(n) < 0.3, np.nan, rng.normal(80, 5, n)),
            "meta_site": rng.choice(["north", "south"], n),
        }
    )


def look(table: pd.DataFrame):
    return split_drift(table, np.random.default_rng(0))


def test_splits_that_are_alike_give_no_finding():
    section, found = look(images(600))
    assert found == []
    assert {one.correction for one in section.statistics} == {
        "Holm over all traits and splits, Bonferroni over the 8 families"
    }
    assert len(section.statistics) == 3 * 3


def test_what_sets_the_splits_apart_most_is_named_first():
    table = images(600)
    table["format"] = np.where(table["split"] == "test", "PNG", "JPEG")
    table.loc[table["split"] == "test", "luminance_median"] += 0.1
    section, found = look(table)
    assert section.statistics[0].name == "format, test against train"
    assert section.statistics[0].value == 1.0
    assert [(one.subject, one.severity) for one in found] == [("format", "warn"), ("luminance_median", "warn")]
    assert found[0].message.startswith("format: test against train, 100% of the images would have to be others")


def test_images_that_belong_together_count_once():
    table = images(600)
    table["component"] = [f"{split} {i % 6}" for i, split in enumerate(table["split"])]
    table["format"] = np.where(table["split"] == "test", "PNG", "JPEG")
    section, found = look(table)  # six persons in each split say little
    assert found == []
    assert {one.status for one in section.statistics if one.name.startswith("format")} == {"too_small"}


def test_one_split_alone_is_not_measurable():
    section, found = look(images(50).assign(split="train"))
    assert [one.status for one in section.statistics] == ["not_measurable"]
    assert found == []


def test_the_order_of_rows_of_a_version_changes_nothing():
    before = images(300)
    after = pd.concat([before.iloc[20:], images(80, 1)], ignore_index=True)
    assert drift(before, after) == drift(before.iloc[::-1], after.sample(frac=1, random_state=0))


def test_a_version_is_like_itself():
    section, found = drift(images(300), images(300))
    counts = {one.name: one.value for one in section.statistics if one.value is not None}
    assert set(counts.values()) == {0.0}
    assert found == []


def test_what_changed_is_counted_and_the_cause_is_named_first():
    before, new = images(400), images(120, 1)
    new["meta_site"], new["luminance_median"] = "west", new["luminance_median"] - 0.05
    after = pd.concat([before.iloc[30:], new], ignore_index=True)
    after.loc[:9, "label"] = np.where(after.loc[:9, "label"] == "cat", "dog", "cat")
    section, found = drift(before, after)
    counts = {one.name: one.value for one in section.statistics}
    assert counts["images that came"] == 120
    assert counts["images that went"] == 30
    assert counts["images with another label"] == 10
    assert counts["images in another split"] == 0
    assert found[0].subject == "site"
    assert "the images that came against the images that stayed, 100% of the images" in found[0].message
    assert "luminance_median" in [one.subject for one in found]


def test_a_column_of_one_version_only_is_said():
    section, _ = drift(images(100), images(100).assign(meta_lamp="day"))
    (lamp,) = [one for one in section.statistics if one.name == "meta_lamp"]
    assert lamp.status == "not_measurable"


def test_versions_drawn_alike_raise_few_alarms():
    alarms = 0
    for seed in range(100):
        both = images(260, seed)
        alarms += bool(drift(both.iloc[:180], both)[1])
    assert alarms <= 11  # at most 5 are expected; more than 11 has a chance below 1 %
