import numpy as np
import pandas as pd

from tasks.bias.attributes import examine
from tasks.bias.cells import tables
from tasks.bias.coverage import coverage
from tasks.contracts.params import CoverageParams


def look(rows: dict[tuple[str, str, str], int], needed: int = 10, small: int = 5, **more: list[str]):
    """Statistics by name and findings for images given as (label, split, site) -> how many."""
    every = [row for row, n in rows.items() for _ in range(n)]
    images = pd.DataFrame(every, columns=["label", "split", "site"]).assign(**more)
    levels, _ = examine(images.drop(columns=["label", "split"]), (), small, np.ones(len(images), bool))
    made = tables(levels, images["label"], images["split"], small)
    train = [one.of(images["split"].to_numpy() == "train") for one in levels]
    section, found = coverage(made, CoverageParams(train=needed, test=needed), train)
    return {one.name: one for one in section.statistics}, found


def full(n: int = 40) -> dict[tuple[str, str, str], int]:
    return {(label, split, site): n for label in "abc" for split in ("train", "test") for site in ("north", "south")}


def test_enough_of_everything_gives_no_finding():
    said, found = look(full())
    assert found == []
    assert said["site: train images, subgroups with too few"].value == 0
    assert said["site: train images, subgroups with too few"].n == 6


def test_a_missing_subgroup_is_found_and_named_first():
    rows = full() | {("b", "train", "south"): 0, ("c", "train", "north"): 7}
    said, found = look(rows)
    assert [(one.check, one.severity, one.subject) for one in found] == [
        ("missing_subgroup", "warn", "b with site = south"),
        ("thin_subgroups", "info", "coverage"),
    ]
    # 40 of b, 80 of 167 in the south: 40 x 80 / 167 = 19.2
    assert found[0].message == "no train image of b with site = south, where 19 were to be expected"
    assert found[0].remedy == "add 10 train images of b with site = south"
    assert found[1].remedy == "add 3 train images of c with site = north"
    assert said["site: train images, subgroups without any"].value == 1
    assert said["site: train images to add, at most"].value == 13


def test_a_number_that_is_held_back_is_not_told_by_what_to_add():
    said, found = look(full() | {("b", "train", "south"): 3})
    assert found[0].check == "thin_subgroups"
    assert "add up to 9 train images of b with site = south" in found[0].remedy
    assert said["site: train images to add, at most"].value == 10


def test_a_value_that_one_class_alone_has_is_no_gap_of_the_others():
    _, found = look(full() | {("a", "train", "film"): 30, ("a", "test", "film"): 30})
    assert found == []


def test_what_is_missing_where_little_was_to_be_expected_is_no_warning():
    rows = full() | {("a", "train", "east"): 6, ("b", "train", "east"): 6, ("a", "test", "east"): 0}
    _, found = look(rows)
    assert {one.check for one in found} == {"thin_subgroups"}


def test_two_values_that_never_meet_are_found():
    rows = {("a", "train", "north"): 60, ("a", "train", "south"): 60, ("b", "train", "north"): 60}
    lamp = ["day"] * 30 + ["flash"] * 30 + ["day"] * 60 + ["day"] * 30 + ["flash"] * 30
    said, found = look(rows, lamp=lamp)
    (finding,) = [one for one in found if one.check == "missing_combination"]
    assert finding.subject == "site = south and lamp = flash"
    # 60 of 180 have a flash, 60 are of the south: 20 were to be expected
    assert finding.statistic.value == 20
    (pair,) = [one for name, one in said.items() if name.startswith("site and lamp")]
    assert (pair.value, pair.n) == (1.0, 4)


def test_without_attributes_nothing_is_measured_and_it_is_said():
    section, found = coverage([], CoverageParams(), [])
    assert [one.status for one in section.statistics] == ["not_measurable"]
    assert found == []


def test_a_planted_gap_is_named_first_whatever_the_seed():
    for seed in range(10):
        rng = np.random.default_rng([11, seed])
        images = pd.DataFrame(
            {
                "label": rng.choice(["cat", "dog", "emu"], 900),
                "split": rng.choice(["train", "val", "promotion", "test"], 900, p=[0.6, 0.15, 0.1, 0.15]),
                "camera": rng.choice([f"camera {i}" for i in range(4)], 900),
                "site": rng.choice(["north", "south", "east"], 900, p=[0.4, 0.35, 0.25]),
            }
        )
        planted = (images["label"] == "dog") & (images["site"] == "east")
        images = images[~planted].reset_index(drop=True)
        levels, _ = examine(images[["camera", "site"]], (), 5, np.ones(len(images), bool))
        train = [one.of(images["split"].to_numpy() == "train") for one in levels]
        _, found = coverage(tables(levels, images["label"], images["split"], 5), CoverageParams(), train)
        assert (found[0].check, found[0].subject) == ("missing_subgroup", "dog with site = east"), seed
        others = {one.subject for one in found if one.check == "missing_subgroup"}
        assert others == {"dog with site = east"}, seed  # of train, and of test
