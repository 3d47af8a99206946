"""A workspace full of records such as a real run leaves: 14 classes, 1,500 crops of real photographs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
import sklearn.datasets

from tasks.augment.policy import describe, make_policy
from tasks.bias.who import who_is_in_the_data
from tasks.contracts.files import sha256_of, write_record, write_table
from tasks.contracts.model_records import (
    Attempt,
    BackboneRef,
    BundleRecord,
    Candidate,
    Epoch,
    EvaluationReport,
    LeftOut,
    ModelRecord,
    SelectionReport,
)
from tasks.contracts.params import AugmentParams, BiasParams, EvaluateParams
from tasks.contracts.records import (
    SPLITS,
    BiasReport,
    Expectation,
    Finding,
    GateReport,
    GateRule,
    PatternMap,
    QualityReport,
    Statistic,
    Waiver,
)
from tasks.contracts.workspace import Workspace
from tasks.evaluate.evaluation import evaluate, select_test
from tasks.evaluate.outcomes import outcomes
from tasks.tune.records import Importances, Outcome, Trial, TuningReport
from tests.conftest import store_pixels

PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "cat",
    "china",
    "coffee",
    "coins",
    "flower",
    "grass",
    "gravel",
    "hubble",
    "motorcycle",
    "retina",
    "rocket",
)
CAMERAS = ("Canon EOS 80D", "Nikon D750", "unknown")
SIDE_PX = 64


@dataclass(frozen=True)
class Recipe:
    """What the example holds; `hostile` is put into every place where a user's text can stand."""

    classes: tuple[str, ...] = PHOTOGRAPHS
    images: int = 1500
    quarantined: int = 23
    hostile: str = ""


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Workspace]:
    """Make a workspace of one's own: build(images=60, hostile="...")."""
    return lambda **recipe: build_example(tmp_path_factory.mktemp("built"), Recipe(**recipe))


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return build_example(tmp_path_factory.mktemp("example"), Recipe())


def build_example(root: Path, recipe: Recipe) -> Workspace:
    """Write every record and table of `recipe` below `root`."""
    ws, rng = Workspace(root), np.random.default_rng(7)
    checked = checked_table(recipe, rng)
    pixels = np.zeros((len(checked), SIDE_PX, SIDE_PX, 3), np.uint8)
    fill_pixels(pixels, checked, recipe, rng)
    undecodable = checked["reasons"].map(lambda ids: bool({"truncated", "not_an_image"} & set(ids)))
    checked = store_pixels(ws, checked, pixels).astype({"pixels_crc32": "Int64"})
    checked.loc[undecodable, "pixels_crc32"] = None
    write_table(ws.checked, checked)
    write_table(ws.duplicates, duplicates_table(checked))
    write_record(ws.quality, quality_report(checked, recipe))
    write_record(ws.bias, bias_report(checked, recipe))
    write_record(ws.gate, gate_report(recipe))
    write_contact_sheet(ws.contact_sheet, pixels)
    policy = make_policy(AugmentParams(policy="strong"), SIDE_PX)
    write_record(ws.augmentation, describe(policy, "ab" * 32))
    selection, model = selection_report(recipe), model_record(recipe)
    write_record(ws.selection, selection)
    write_record(ws.candidate / "model.json", model)
    evaluation = evaluation_report(checked, recipe, rng)
    write_record(ws.evaluation, evaluation)
    data = {path.relative_to(root).as_posix(): sha256_of(path) for path in (ws.checked, ws.evaluation)}
    bundle = BundleRecord(asdict(model), {"input_px": 96}, evaluation.candidate.accuracy, data)
    write_record(ws.bundle / "bundle.json", bundle)
    write_record(ws.tuning, tuning_report(recipe, sha256_of(ws.checked)))
    return ws


def checked_table(recipe: Recipe, rng: np.random.Generator) -> pd.DataFrame:
    labels = [recipe.classes[i % len(recipe.classes)] for i in range(recipe.images)]
    table = pd.DataFrame(
        {
            "path": [f"{label}/{label}_{i:05d}{recipe.hostile}.jpg" for i, label in enumerate(labels)],
            "sha256": [f"{int(n) + 1:064x}" for n in rng.permutation(recipe.images)],
            "label": labels,
            "split": rng.choice(SPLITS, recipe.images, p=(0.6, 0.15, 0.1, 0.15)),
            "verdict": "keep",
            "reasons": [[] for _ in labels],
        }
    )
    cameras = rng.choice(CAMERAS, recipe.images, p=(0.7, 0.28, 0.02))
    table["meta_camera"] = [f"{camera}{recipe.hostile}" for camera in cameras]
    table[f"meta_operator{recipe.hostile}"] = [f"person {i % 2}" if i % 9 else None for i in range(recipe.images)]
    why = ["dark", "truncated", "duplicate", "low_information", "not_an_image", "odd_size"]
    for i, row in enumerate(rng.choice(recipe.images, recipe.quarantined, replace=False)):
        reason = why[i % len(why)]
        table.loc[row, "verdict"] = "quarantine"
        table.at[row, "reasons"] = [reason, "blurry"] if i % 5 == 0 else [reason]
    for row in table.index[(table["verdict"] == "keep") & (table.index % 40 == 3)]:
        table.loc[row, "verdict"] = "warn"
        table.at[row, "reasons"] = ["blurry"]
    return table


def fill_pixels(pixels: np.ndarray, checked: pd.DataFrame, recipe: Recipe, rng: np.random.Generator) -> None:
    for i, label in enumerate(checked["label"]):
        photograph = photo(recipe.classes.index(label) % len(PHOTOGRAPHS))
        side = int(rng.integers(60, 140))
        top, left = (int(rng.integers(0, edge - side)) for edge in photograph.shape[:2])
        crop = photograph[top : top + side, left : left + side]
        pixels[i] = cv2.resize(crop, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        if "dark" in checked.at[i, "reasons"]:
            pixels[i] //= 12


@cache
def photo(index: int) -> np.ndarray:
    """A photograph that ships with scikit-image or scikit-learn, RGB."""
    name = PHOTOGRAPHS[index]
    if name in ("china", "flower"):
        return np.asarray(sklearn.datasets.load_sample_image(f"{name}.jpg"))
    file = {"hubble": "hubble_deep_field.jpg", "motorcycle": "motorcycle_left.png", "cat": "chelsea.png"}
    folder = Path(skimage.data.__file__).parent
    path = next(p for p in (folder / file.get(name, f"{name}.png"), folder / f"{name}.jpg") if p.exists())
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def duplicates_table(checked: pd.DataFrame) -> pd.DataFrame:
    paths = checked["path"]
    rows = [(paths[i], paths[i + 14], "exact" if i % 3 else "near", i % 4 == 0, 0.98) for i in range(7)]
    return pd.DataFrame(rows, columns=["a", "b", "kind", "cross_split", "similarity"])


def write_contact_sheet(path: Path, pixels: np.ndarray) -> None:
    rows = [np.hstack([np.clip(pixels[i] * gain, 0, 255) for gain in (1, 0.8, 1.2, 0.9, 1.1, 1.3)]) for i in range(4)]
    sheet = cv2.resize(np.vstack(rows).astype(np.uint8), None, fx=2, fy=2)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def quality_report(checked: pd.DataFrame, recipe: Recipe) -> QualityReport:
    kept = checked[checked["verdict"] != "quarantine"]
    sizes = {
        label: {split: int(((kept["label"] == label) & (kept["split"] == split)).sum()) for split in SPLITS}
        for label in recipe.classes
    }
    contract = (
        Expectation("unique", "sha256", "every kept image occurs once", True, 0),
        Expectation("not_null", "label", "every kept image has a label", True, 0),
        Expectation("in_set", "split", "train, val, promotion or test", True, 0),
        Expectation(
            "between", "width_px", f"16 to 20,000 {recipe.hostile}", False, 3, (f"cat/cat_00017{recipe.hostile}.jpg",)
        ),
        Expectation(
            "expect_column_distinct_values_to_equal_set",
            "label",
            f"the classes are those listed (new: 'emu{recipe.hostile}')",
            False,
            1,
            (f"emu{recipe.hostile}",),
            "warn",
            f"contract.json{recipe.hostile}, expectation 1",
        ),
    )
    findings = (
        Finding(
            "exact_duplicates",
            "warn",
            "data/raw",
            Statistic("duplicate_pairs", 5, recipe.images, estimator="count"),
            f"5 images occur twice, 2 pairs of them under different labels {recipe.hostile}.",
            "Delete the copies, or correct the labels in metadata.csv.",
            tuple(f"{label}/{label}_00003{recipe.hostile}.jpg" for label in recipe.classes[:3]),
        ),
        Finding(
            "blurry_images",
            "info",
            recipe.classes[0],
            Statistic("blurry_share", 0.024, recipe.images, 0.0175, 0.033, estimator="Wilson"),
            "2.4 % of the images have no sharp edge.",
        ),
    )
    return QualityReport(
        found=len(checked),
        kept=len(kept),
        warned=int((kept["verdict"] == "warn").sum()),
        quarantined=len(checked) - len(kept),
        reasons={str(k): int(v) for k, v in checked["reasons"].explode().dropna().value_counts().items()},
        classes=recipe.classes,
        split_sizes=sizes,
        contract=contract,
        findings=findings,
    )


def bias_report(checked: pd.DataFrame, recipe: Recipe) -> BiasReport:
    groups = ("Canon EOS 80D", "Nikon D750", f"unknown{recipe.hostile}")
    parts = {label: {g: 20 + 9 * i + 3 * j for j, g in enumerate(groups)} for i, label in enumerate(recipe.classes)}
    model = "logistic regression on 8 x 8 thumbnails, train -> val, Wilson"
    shortcut = Statistic("trivial model accuracy", 0.46, 224, 0.396, 0.525, estimator=model)
    pattern = f"fixed pattern in {recipe.classes[-1]}, bottom right corner"
    who = who_is_in_the_data(checked, checked["sha256"][::90], BiasParams(), np.random.default_rng(0))
    tiles = tuple(tuple(0.6 if (x, y) == (7, 7) else 0.02 * x for x in range(8)) for y in range(8))
    return BiasReport(
        attributes=who.attributes,
        cells=who.cells,
        sections=who.sections,
        maps=(PatternMap(recipe.classes[-1], f"agreement of edges {recipe.hostile}", tiles),),
        composition=parts,
        imbalance_ratio=Statistic(
            "imbalance_ratio", 1.31, len(checked), 1.2, 1.5, estimator="bootstrap, 2000 resamples"
        ),
        associations=(
            Statistic(
                f"camera{recipe.hostile}",
                0.41,
                1477,
                0.37,
                0.45,
                estimator="bias-corrected Cramer's V, Holm over 3",
                p_value=0.005,
            ),
            Statistic("month", 0.06, 1477, 0.0, 0.11, estimator="bias-corrected Cramer's V, Holm over 3", p_value=0.24),
            Statistic("operator", None, 3, status="too_small", estimator="bias-corrected Cramer's V"),
        ),
        shortcuts=(
            shortcut,
            Statistic(
                pattern, 0.62, 63, estimator="agreement of edge directions, max-statistic permutation p", p_value=0.0005
            ),
            Statistic(f"shortcuts of {recipe.classes[1]}", None, 9, status="too_small", estimator="needs 20 images"),
        ),
        findings=(
            Finding(
                "shortcut",
                "error",
                "corner",
                shortcut,
                "The corners alone tell the class in 46.0 % of images, six times chance: a watermark or a logo.",
                "Crop the corners, or cover the mark, before training.",
                tuple(f"{recipe.classes[-1]}/{recipe.classes[-1]}_{i:05d}.jpg" for i in range(2, 142, 14)),
            ),
            Finding(
                "association",
                "warn",
                f"camera{recipe.hostile}",
                Statistic("cramers_v", 0.41, 1477, 0.37, 0.45, estimator="bias-corrected Cramer's V"),
                "The camera goes with the class: the model may learn the camera instead of the object.",
                "Photograph each class with each camera, or split by camera to see how much it matters.",
            ),
        ),
    )


def gate_report(recipe: Recipe) -> GateReport:
    return GateReport(
        passed=True,
        rules=(
            GateRule("max_imbalance", 50.0, 1.31, True, "The largest class has 1.31 times the images of the smallest."),
            GateRule("min_train_images", 5.0, 59.0, True, "The smallest class has 59 training images."),
            GateRule(
                "max_association",
                0.3,
                0.41,
                True,
                f"camera and class go together {recipe.hostile}",
                Waiver("max_association", f"both cameras are in use {recipe.hostile}", "R. Curator"),
            ),
            GateRule("min_test_images", 1.0, None, True, "Not measured: no class without test images."),
        ),
        set_by="graft's defaults",
    )


def backbone(name: str, network: str, parameters: int) -> BackboneRef:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return BackboneRef(name, "embedded", network, "ab" * 32, 96, mean, std, parameters)


def selection_report(recipe: Recipe) -> SelectionReport:
    ours = backbone("formula-colour", "resnet18-small", 1_900_000)
    other = backbone(f"my-net{recipe.hostile}", "resnet18", 11_200_000)
    return SelectionReport(
        chosen=ours,
        why=(
            "formula-colour gets 74.1% of 886 training images right by a linear probe, the most of 2 candidates; "
            f"next is my-net{recipe.hostile} with 66.0%."
        ),
        candidates=(
            Candidate(ours, Statistic("accuracy", 0.741, 886, 0.711, 0.769, estimator="5-fold"), 960),
            Candidate(other, Statistic("accuracy", 0.66, 886, 0.628, 0.69, estimator="5-fold"), 512),
        ),
        controls=(
            Statistic("random_features", 0.562, 886, 0.529, 0.594, estimator="5-fold"),
            Statistic("raw_pixels", 0.398, 886, 0.366, 0.431, estimator="5-fold"),
        ),
        left_out=(
            LeftOut(
                "resnet50",
                "its weights are not on this machine and the network cannot be reached",
                "graft backbones resnet50",
            ),
            LeftOut(f"vgg16{recipe.hostile}", "not on this machine", "graft backbones vgg16"),
        ),
        findings=(),
    )


def model_record(recipe: Recipe) -> ModelRecord:
    history = tuple(
        Epoch(e, 2.7 * 0.82**e + 0.35, 2.6 * 0.85**e + 0.55 + 0.012 * max(0, e - 11), 0.83 - 0.7 * 0.78**e)
        for e in range(1, 17)
    )
    return ModelRecord(
        backbone=backbone("formula-colour", "resnet18-small", 1_900_000),
        classes=recipe.classes,
        strategy="fine_tuning",
        head="linear",
        feature_stages=3,
        frozen_parameters=412_000,
        trained_parameters=1_502_000,
        frozen_sha256="5f" * 32,
        towards_tuned=1.0,
        best_epoch=12,
        history=history,
        seed=0,
        train_images=886,
        prepared_px=SIDE_PX,
        compared=(Attempt("feature_extraction", 0.78, 0.71), Attempt("fine_tuning", 0.81, 0.66)),
    )


def evaluation_report(checked: pd.DataFrame, recipe: Recipe, rng: np.random.Generator) -> EvaluationReport:
    split = select_test(checked, recipe.classes)
    kinds = len(recipe.classes)

    def answer(strength: float) -> np.ndarray:
        logits = rng.normal(size=(len(split.targets), kinds))
        logits[np.arange(len(split.targets)), (split.targets + 3) % kinds] += 0.8
        logits[np.arange(len(split.targets)), split.targets] += strength + 0.15 * (split.targets % 7)
        return np.exp(1.4 * logits) / np.exp(1.4 * logits).sum(axis=1, keepdims=True)

    candidate = answer(2.4)
    sections, _ = outcomes(split, candidate, EvaluateParams(), rng)
    return replace(evaluate(split, candidate, answer(1.0), 500, 0), sections=sections)


def tuning_report(recipe: Recipe, checked_sha256: str) -> TuningReport:
    """20 trials of heads, 8 of fine-tuning of which 3 were stopped, 1 of scratch that was no number."""
    rng, trials = np.random.default_rng(3), []
    plan = ["fine_tuning", *["feature_extraction"] * 20, *["fine_tuning"] * 7, "scratch"]
    for number, strategy in enumerate(plan):
        settings = {"train.learning_rate": 0.002 * (number + 1), "train.weight_decay": 0.05, "train.dropout": 0.2}
        if strategy == "fine_tuning":
            settings |= {"train.fine_tuning.gradual": number % 2 == 0, "augment.policy": "light"}
        state = "diverged" if strategy == "scratch" else "pruned" if number in (23, 25, 26) else "finished"
        accuracy = 0.62 + 0.1 * (strategy == "fine_tuning") - 0.08 * (state == "pruned") + rng.normal(0, 0.02)
        figures = (2, 1, round(accuracy, 4), 1.1) if state == "pruned" else (9, 4, round(accuracy, 4), 0.9)
        outcome = Outcome(state, 3.5, *((0, None, None, None) if state == "diverged" else figures))
        trials.append(Trial(number, strategy, settings, number == 0, outcome))
    best = max((one for one in trials if one.outcome.state == "finished"), key=lambda one: one.outcome.val_accuracy)
    share = "fANOVA, share of the variance of accuracy on val"
    told = [("train.learning_rate", 0.71), ("train.weight_decay", 0.2), ("train.dropout", 0.09)]
    return TuningReport(
        study="graft-0123456789ab",
        checked_sha256=checked_sha256,
        val_images=224,
        trials=tuple(trials),
        present=0,
        best=best.number,
        settings=("train.learning_rate=0.044", "train.fine_tuning.gradual=true"),
        importances=(
            Importances("feature_extraction", 20, tuple(Statistic(k, v, 20, estimator=share) for k, v in told)),
            Importances("fine_tuning", 5, tuple(Statistic(k, None, 5, status="too_small") for k, _ in told)),
        ),
        left_out=(LeftOut("more of fine_tuning", f"a trial takes 85 s, 20 s were left {recipe.hostile}", "more time"),),
        interrupted=1,
        seconds=590.0,
        budget_s=600.0,
    )
