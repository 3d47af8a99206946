import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from tasks.backbone.catalog import embedded_entries
from tasks.backbone.features import cached_features
from tasks.backbone.weights import open_entry
from tasks.quality import label_noise
from tasks.quality.committee import REPEATS, discriminant, elect, shrunk_covariance
from tasks.quality.label_errors import LEAST_IMAGES, embed, find_label_errors, suspects_table
from tasks.quality.label_noise import doubts
from tasks.quality.planted_errors import plantings


def clusters(classes: int, each: int, spread: float, seed: int = 0, width: int = 12):
    """Features (n, width) about a centre for each class, and their true labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = rng.normal(size=(classes, width))
    return (centres[labels] + spread * rng.normal(size=(len(labels), width))).astype(np.float32), labels


def with_errors(labels, share: float, seed: int = 1):
    """The labels with that share changed to any other class, and which rows those are."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    changed, classes = labels.copy(), labels.max() + 1
    changed[rows] = (changed[rows] + rng.integers(1, classes, len(rows))) % classes
    return changed, set(rows.tolist())


def check(features, labels, seed: int = 0, components=None):
    names = [f"class {label}" for label in labels]
    return find_label_errors(features, names, range(len(names)) if components is None else components, seed)


def rows_of(found) -> set[int]:
    return {one.row for one in found.suspects}


def test_planted_errors_are_found_and_set_right():
    features, truth = clusters(5, 80, 0.5)
    labels, wrong = with_errors(truth, 0.05)
    found = check(features, labels)
    assert len(rows_of(found) & wrong) >= 0.9 * len(wrong)
    assert len(rows_of(found) - wrong) <= 1
    assert all(one.suggested == f"class {truth[one.row]}" for one in found.suspects if one.row in wrong)
    assert not found.why


def test_clear_images_with_right_labels_are_not_suspected():
    features, labels = clusters(5, 80, 0.5)
    found = check(features, labels)
    assert found.suspects == ()
    assert found.noise.value < 0.005
    assert found.precision.value is None
    assert found.recalls[0].value > 0.9


def test_hard_images_are_no_label_errors_though_confident_learning_alone_takes_them_for_such():
    features, labels = clusters(6, 100, 1.4)
    alone = doubts(features, labels, np.arange(len(labels)).astype(str), 0).confident
    found = check(features, labels)
    assert not found.why
    assert alone.sum() > 40
    assert len(found.suspects) <= 2
    assert found.noise.low == 0
    assert found.noise.high == pytest.approx(alone.mean())


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_the_share_of_wrong_labels_and_the_precision_are_what_they_are(share):
    """Up to case 109: two labels in five wrong."""
    features, truth = clusters(6, 100, 0.6)
    labels, wrong = with_errors(truth, share)
    found = check(features, labels)
    assert found.noise.value == pytest.approx(share, abs=0.03)
    right = len(rows_of(found) & wrong) / len(found.suspects)
    assert found.precision.low <= right <= found.precision.high + 0.02
    assert found.precision.value == pytest.approx(right, abs=0.1)


def test_the_stated_recall_is_that_of_errors_which_nobody_knows():
    features, truth = clusters(6, 100, 0.9)
    labels, wrong = with_errors(truth, 0.05)
    found = check(features, labels)
    uniform, confusable = found.recalls
    assert uniform.low <= len(rows_of(found) & wrong) / len(wrong) <= uniform.high
    assert 0.2 < uniform.value < 1
    assert confusable.value < uniform.value
    assert uniform.n >= 100


def test_labels_that_do_not_follow_the_images_are_not_judged():
    rng = np.random.default_rng(0)
    found = check(rng.normal(size=(300, 12)), rng.integers(0, 3, 300))
    assert found.suspects == ()
    assert {one.status for one in (found.noise, found.precision, *found.recalls)} == {"not_measurable"}
    assert found.noise.value is None
    assert found.accuracy.value is not None
    assert "hard images and wrong labels look alike" in found.why


def test_too_little_data_is_said_to_be_too_little():
    features, labels = clusters(2, 12, 0.3)
    found = check(features, labels)
    assert found.precision.status == "too_small"
    assert found.why == "24 images in 2 classes that are large enough; 40 in 2 are needed"


def test_one_class_or_none_does_not_crash():
    features, labels = clusters(1, 60, 0.3)
    assert check(features, labels).precision.status == "too_small"
    assert check(features[:0], labels[:0]).n == 0


def test_equal_images_throughout_do_not_crash():
    found = check(np.ones((80, 12), np.float32), np.arange(80) % 2)
    assert found.precision.status == "not_measurable"


def test_small_classes_are_left_out_with_the_reason_and_rows_keep_their_numbers():
    features, truth = clusters(4, 60, 0.4)
    labels, wrong = with_errors(truth, 0.05)
    small = np.full(LEAST_IMAGES - 1, 9)
    found = check(np.vstack([features[: len(small)], features]), np.concatenate([small, labels]))
    assert found.left_out == {"class 9": "7 images; 8 are needed"}
    assert found.n == len(features)
    assert len({row - len(small) for row in rows_of(found)} & wrong) >= 0.9 * len(wrong)


def test_a_class_that_lies_in_few_groups_is_left_out():
    features, labels = clusters(3, 40, 0.4)
    components = [f"video {i % 3}" if label == 0 else str(i) for i, label in enumerate(labels)]
    found = check(features, labels, components=components)
    assert found.left_out == {"class 0": "3 groups that belong together; 4 are needed"}


def test_no_component_is_split_between_those_who_learn_and_those_who_judge():
    features, labels = clusters(3, 40, 0.4)
    components = np.array([str(i // 5) for i in range(len(labels))])
    halves = elect(features, labels.astype(np.int64), components, 0).halves
    assert halves.shape == (REPEATS, len(labels))
    for half in halves:
        assert pd.Series(half).groupby(components).nunique().max() == 1
        assert pd.Series(half).groupby(labels).nunique().min() == 2


def test_a_group_of_wrong_copies_does_not_vouch_for_itself():
    features, truth = clusters(3, 60, 0.4)
    labels = truth.copy()
    copies = np.arange(12)
    features[copies], labels[copies] = features[0], 1
    together = ["copies" if row in copies else str(row) for row in range(len(labels))]
    assert set(copies) <= rows_of(check(features, labels, components=together))


def test_equal_input_gives_the_same_check():
    features, truth = clusters(4, 50, 0.8)
    labels, _ = with_errors(truth, 0.1)
    assert check(features, labels, seed=3) == check(features, labels, seed=3)


def test_names_survive_as_they_are():
    features, truth = clusters(2, 60, 0.3)
    labels, _ = with_errors(truth, 0.05)
    names = np.array(["a\0", "=cmd|'/c calc'!A1 \u202e<b>"], object)[labels].tolist()
    found = find_label_errors(features, names, range(len(names)), 0)
    assert {(one.given, one.suggested) for one in found.suspects} == {
        ("a\0", "=cmd|'/c calc'!A1 \u202e<b>"),
        ("=cmd|'/c calc'!A1 \u202e<b>", "a\0"),
    }
    assert set(found.typical) == set(names)


def test_typical_images_carry_their_label():
    features, truth = clusters(4, 50, 0.5)
    labels, wrong = with_errors(truth, 0.1)
    found = check(features, labels)
    assert found.typical
    for label, rows in found.typical.items():
        assert len(rows) == 3
        assert all(f"class {labels[row]}" == label and row not in wrong for row in rows)


def test_very_many_classes_are_compared_in_blocks(monkeypatch):
    features, truth = clusters(60, 12, 0.2, width=24)
    labels, wrong = with_errors(truth, 0.03)
    monkeypatch.setattr(label_noise, "_CELLS", 12_000)
    sizes = []
    examine = label_noise._doubts

    def counted(features, labels, components, seed):
        sizes.append(len(features) * (labels.max() + 1))
        return examine(features, labels, components, seed)

    monkeypatch.setattr(label_noise, "_doubts", counted)
    found = doubts(features, labels, np.arange(len(labels)).astype(str), 0)
    assert len(sizes) == 2
    assert max(sizes) < 16_000
    sound = np.array([row not in wrong for row in range(len(labels))])
    assert (found.called == labels)[sound].mean() > 0.98
    assert found.most[~sound].mean() > 0.5 > found.most[sound].mean()


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 5), st.integers(8, 24), st.floats(0.2, 2), st.floats(0, 0.5), st.integers(0, 1000))
def test_a_suspect_is_a_row_with_another_label_and_a_chance(classes, each, spread, share, seed):
    features, truth = clusters(classes, each, spread, seed)
    labels, _ = with_errors(truth, share, seed)
    found = check(features, labels, seed)
    scores = [one.score for one in found.suspects]
    assert scores == sorted(scores, reverse=True)
    assert len(rows_of(found)) == len(scores)
    for one in found.suspects:
        assert one.given == f"class {labels[one.row]}" != one.suggested
        assert 0 < one.score <= 1
    for one in (found.noise, found.precision, *found.recalls):
        assert (one.value is None) == (one.status != "measured")
        assert one.value is None or 0 <= one.low <= one.value <= one.high <= 1


def test_a_discriminant_gives_the_odds_of_two_normal_classes():
    """Means 0 and 2, variance 1 within (deviations of 1, two degrees of freedom taken): log-odds 2 (x - 1) / s2."""
    features = np.array([[-1.0], [1.0], [1.0], [3.0]] * 10)
    labels = np.array([0, 0, 1, 1] * 10)
    variance = 1.0 * 40 / 38
    scores = discriminant(features, labels, 2).log_probabilities(np.array([[0.0], [1.0], [2.5]]))
    assert scores[:, 1] - scores[:, 0] == pytest.approx([-2 / variance, 0, 3 / variance], rel=2e-3, abs=1e-6)
    assert np.exp(scores).sum(axis=1) == pytest.approx(1)


def test_a_class_without_images_is_never_called():
    features, labels = clusters(3, 20, 0.5)
    seen = labels != 1
    scores = discriminant(features[seen], labels[seen].astype(np.int64), 3).log_probabilities(features)
    assert not (scores.argmax(axis=1) == 1).any()


@pytest.mark.parametrize("seed", range(3))
def test_members_of_a_committee_are_discriminants_of_the_other_half(seed):
    features, labels = clusters(3, 2000, 0.6)
    features[:, 0] = 7.0  # a constant, of which rounding alone is left
    features[:, 1:4] = 0.0  # a constant in the half that has not the one row
    features[[seed, 3000 + seed, 5000], [1, 2, 3]] = 3.7, 1e3, -0.01
    labels = labels.astype(np.int64)
    committee = elect(features, labels, np.arange(6000).astype(str), seed)
    for half, pair in zip(committee.halves, committee.members, strict=True):
        for side, member in enumerate(pair):
            seen = half != side
            expected = discriminant(features[seen], labels[seen], 3)
            assert np.allclose(
                member.log_probabilities(features), expected.log_probabilities(features), rtol=1e-4, atol=1e-5
            )


def test_uniform_plantings_change_the_rows_they_name_and_only_sound_ones():
    labels = np.arange(200) % 4
    sound = np.arange(100)
    runs = list(plantings("uniform", labels, labels, sound, 0))
    assert len(runs) == 4
    for rows, changed in runs:
        assert len(rows) == 5
        assert set(rows) <= set(sound)
        assert np.flatnonzero(changed != labels).tolist() == rows.tolist()
        assert set(changed) <= {0, 1, 2, 3}
    assert runs[0][0].tolist() != runs[1][0].tolist()


def test_confusable_plantings_go_where_sound_images_of_the_class_were_taken_to_be():
    labels = np.arange(400) % 4
    called = labels.copy()
    called[0:40:4] = 2  # zeros taken for twos
    called[200] = 3  # not sound, so no evidence
    sound = np.delete(np.arange(400), 200)
    seen = [
        (int(labels[row]), int(changed[row]))
        for rows, changed in plantings("confusable", labels, called, sound, 0)
        for row in rows
    ]
    assert {new for old, new in seen if old == 0} == {2}
    assert {new for old, new in seen if old == 1} == {0, 2, 3}


def test_the_table_names_images_by_path_and_hash():
    features, truth = clusters(3, 60, 0.4)
    labels, _ = with_errors(truth, 0.05)
    found = check(features, labels)
    images = pd.DataFrame({"path": [f"p{i}" for i in range(180)], "sha256": [f"{i:064x}" for i in range(180)]})
    table = suspects_table(found, images.set_index(np.arange(500, 680)))
    assert list(table) == ["path", "sha256", "label", "suggested", "score"]
    assert list(table["path"]) == [f"p{one.row}" for one in found.suspects]
    assert list(table["sha256"]) == [f"{one.row:064x}" for one in found.suspects]
    assert table["score"].is_monotonic_decreasing
    empty = suspects_table(check(*clusters(3, 60, 0.4)), images)
    assert empty.empty
    assert empty.dtypes.to_dict() == table.dtypes.to_dict()


def test_features_are_computed_once_and_shared_with_the_choice_of_a_backbone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    hashes = [f"{i:064x}" for i in range(9)]
    first = embed(pixels, hashes, tmp_path)
    written = sorted(tmp_path.rglob("*.safetensors"))
    entry = next(one for one in embedded_entries() if one.name == "embedded/formula_resnet18")
    backbone, ref = open_entry(entry, 32)
    assert np.array_equal(cached_features(backbone, ref, pixels, hashes, tmp_path), first)
    assert np.array_equal(embed(pixels, hashes, tmp_path), first)
    assert sorted(tmp_path.rglob("*.safetensors")) == written
    assert len(written) == 1


@given(st.integers(2, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_covariance_is_that_of_ledoit_and_wolf(n, d, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    found = shrunk_covariance(rows.T @ rows, (rows**2).sum(axis=1))
    assert np.allclose(found, ledoit_wolf(rows, assume_centered=True)[0], rtol=1e-9, atol=1e-12)


def test_the_covariance_of_nothing_is_nothing():
    assert not shrunk_covariance(np.zeros((3, 3)), np.zeros(5)).any()
