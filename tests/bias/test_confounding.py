import numpy as np
import pandas as pd
import pytest

from tasks.bias.attributes import CAMERA, columns_of
from tasks.bias.confounding import Given, followers, given_each_other
from tasks.bias.metadata import look_at_metadata
from tasks.bias.mitigation import column_of


def codes(rng: np.random.Generator, source: np.ndarray, levels: int, share: float) -> np.ndarray:
    """Codes that are those of `source` for a share of the rows, and random for the others."""
    return np.where(rng.random(len(source)) < share, source % levels, rng.integers(0, levels, len(source)))


@pytest.mark.parametrize("seed", range(5))
def test_a_camera_that_follows_the_site_is_told_from_the_site(seed: int) -> None:
    rng = np.random.default_rng(seed)
    site = rng.integers(0, 3, 400)
    label, camera = codes(rng, site, 3, 0.8), codes(rng, site, 3, 0.7)
    strength = {"camera": 0.5, "site": 0.8}
    tests = given_each_other(label, {"camera": camera, "site": site}, strength, rng)
    found = {(one.attribute, one.confounder): one for one in tests}
    assert found["camera", "site"].p_value > 0.01
    assert (found["camera", "site"].value or 0.0) < 0.2
    assert found["site", "camera"].p_value == pytest.approx(1 / 200)
    assert [(one.attribute, one.confounder) for one in followers(tests, strength)] == [("camera", "site")]


def test_given_a_confounder_the_test_keeps_its_level() -> None:
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng([11, seed])
        site = rng.integers(0, 4, 120)
        columns = {"camera": codes(rng, site, 3, 0.8), "site": site}
        tests = given_each_other(codes(rng, site, 2, 0.8), columns, {"camera": 0.4, "site": 0.6}, rng)
        alarms += next(one for one in tests if one.attribute == "camera").p_value <= 0.05
    assert alarms <= 11  # 5 are expected; more than 11 has a chance below 0.5 %


def test_two_attributes_of_their_own_follow_neither() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    label = one * 2 + other
    tests = given_each_other(label, {"one": one, "other": other}, {"one": 0.6, "other": 0.6}, rng)
    assert followers(tests, {"one": 0.6, "other": 0.6}) == []


def test_of_two_that_cannot_be_told_apart_the_stronger_leads() -> None:
    rng = np.random.default_rng(3)
    site = rng.integers(0, 3, 200)
    tests = given_each_other(codes(rng, site, 3, 0.9), {"a": site, "b": 2 - site}, {"a": 0.8, "b": 0.9}, rng)
    (found,) = followers(tests, {"a": 0.8, "b": 0.9})
    assert (found.attribute, found.confounder, found.value) == ("a", "b", None)
    assert not found.apart
    assert found.statistic("label").status == "not_measurable"


def test_few_images_are_no_proof_that_nothing_is_left() -> None:
    rng = np.random.default_rng(3)
    site, other = rng.integers(0, 3, 30), rng.integers(0, 3, 30)
    strength = {"site": 0.3, "other": 0.25}
    tests = given_each_other(codes(rng, site, 3, 0.5), {"site": site, "other": other}, strength, rng)
    assert all(one.seen > 0.3 for one in tests)
    assert followers(tests, strength) == []


def test_nobody_follows_in_a_circle() -> None:
    gone = [Given(a, b, 0.0, 0.2, 100, 0.5) for a, b in ("ab", "bc", "ca")]
    found = followers(gone, dict.fromkeys("abc", 0.5))
    assert len(found) == 2


def test_a_column_of_persons_explains_no_other_column_away() -> None:
    patient = np.repeat(np.arange(40), 5)
    site, label = patient % 2, (patient % 2) ^ (patient % 7 == 0)
    strength = {"patient": 0.9, "site": 0.7}
    tests = given_each_other(label, {"patient": patient, "site": site}, strength, np.random.default_rng(0))
    assert {one.confounder for one in tests} == {"site"}


def test_the_order_of_rows_changes_no_number() -> None:
    rng = np.random.default_rng(4)
    columns = {name: rng.integers(0, 3, 90) for name in "xyz"}
    label, order, strength = rng.integers(0, 2, 90), rng.permutation(90), dict.fromkeys("xyz", 0.5)
    turned = {name: values[order] for name, values in columns.items()}
    one = given_each_other(label, columns, strength, np.random.default_rng(0))
    assert one == given_each_other(label[order], turned, strength, np.random.default_rng(0))


def table(images: int, seed: int) -> pd.DataFrame:
    """Usable images of two labels in four splits, nothing planted."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(images)],
            "label": rng.choice(["cat", "dog"], images),
            "split": rng.choice(["train", "val", "promotion", "test"], images, p=[0.6, 0.2, 0.1, 0.1]),
            "group": None,
            "camera": None,
        }
    )


def test_the_confounder_is_named_first_and_what_follows_it_after_with_what_is_left() -> None:
    images, rng = table(500, 5), np.random.default_rng(6)
    site = np.where(rng.random(500) < 0.85, images["label"] == "cat", rng.random(500) < 0.5)
    images["meta_site"] = np.where(site, "north", "south")
    images["camera"] = np.where(site ^ (rng.random(500) < 0.1), "Canon EOS R6", "NIKON D90")
    said = look_at_metadata(images, 99, np.random.default_rng(0))
    assert [(one.check, one.subject) for one in said.findings] == [
        ("association", "site"),
        ("follows_another", "EXIF camera"),
    ]
    assert "EXIF camera only follows it" in said.findings[0].message
    assert "within one site little or nothing is left" in said.findings[1].message
    assert [section.name for section in said.sections] == ["splits", "confounding"]


def test_a_column_of_the_table_called_as_the_camera_is_takes_its_place_for_every_question() -> None:
    images = table(400, 8)
    images["meta_EXIF camera"] = np.where(images["label"] == "cat", "old", "new")
    images["camera"] = np.where(np.arange(400) % 2, "Canon EOS R6", "NIKON D90")
    said = look_at_metadata(images, 99, np.random.default_rng(0))
    assert [(one.check, one.subject) for one in said.findings] == [("association", CAMERA)]
    assert columns_of(images)[CAMERA].tolist() == images["meta_EXIF camera"].tolist()
    assert column_of(images, CAMERA) == "meta_EXIF camera"
    assert column_of(images.drop(columns="meta_EXIF camera"), CAMERA) == "camera"


def test_a_site_that_goes_with_the_split_is_found_and_what_is_grouped_counts_once() -> None:
    images = table(300, 7)
    images["meta_site"] = np.where(images["split"] == "test", "south", "north")
    said = look_at_metadata(images.assign(component=images["path"]), 99, np.random.default_rng(0))
    assert [(one.check, one.subject) for one in said.findings] == [("split_association", "site")]
    videos = images["split"] + (np.arange(300) % 4).astype(str)
    grouped = look_at_metadata(images.assign(component=videos), 99, np.random.default_rng(0))
    assert [one.status for one in grouped.sections[0].statistics] == ["too_small"]


def test_a_patient_in_two_splits_is_named() -> None:
    images = table(200, 8)
    images["meta_patient_id"] = [f"p{i % 50}" for i in range(200)]
    images["meta_month"] = [f"m{i % 12}" for i in range(200)]
    crossing = [
        one
        for one in look_at_metadata(images, 99, np.random.default_rng(0)).findings
        if one.check == "identity_crosses_splits"
    ]
    assert [one.subject for one in crossing] == ["patient_id"]
    assert "ingest.group: patient_id" in crossing[0].remedy
    assert len(crossing[0].evidence) == 10
