"""What files and pictures give away: trivial features, fixed overlays, trivial models, and where in the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.bias import maps, overlay, shortcuts, trivial, watermarks
from tasks.bias.features import Floats, trivial_features
from tasks.bias.mitigation import Shortcut
from tasks.bias.overlay import MIN_IMAGES, Overlay
from tasks.bias.shortcuts import Codes, Trait
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, PatternMap, Statistic

_MOST_IMAGES = 3000  # looked at for shortcuts, and fitted by the trivial models
_MOST_OF_A_CLASS = 150
_MOST_CLASSES = 150
_MOST_MAPS = 20  # classes whose colours are mapped, those given away most
_SEES = ("trivial features of file and picture", f"pictures of {trivial.THUMBNAIL_PX} px")
_TOLD_FIRST = ("error", "warn", "info")


@dataclass(frozen=True)
class Pictures:
    """What was found in files and pixels."""

    statistics: tuple[Statistic, ...]
    findings: tuple[Finding, ...]
    maps: tuple[PatternMap, ...]
    shortcuts: tuple[Shortcut, ...] = ()


def look_at_pictures(
    pixels: Pixels, usable: pd.DataFrame, permutations: int, rng: np.random.Generator, cache: Path | None = None
) -> Pictures:
    """Pictures of the training and validation splits; those for test and promotion are not looked at."""
    drawing, of_features, of_overlays = rng.spawn(3)
    # a picture that stands twice would count as evidence twice
    with_pixels = usable[usable["pixels"] >= 0].drop_duplicates(["pixels", "label"])
    train, left_out = _sample(with_pixels[with_pixels["split"] == "train"], drawing)
    val = with_pixels[with_pixels["split"] == "val"].iloc[:_MOST_IMAGES]
    features = trivial_features(pd.concat([train, val], ignore_index=True), pixels, cache)
    scores = _scores(features, pixels, train, val)
    statistics = [number for one in scores for number in (one.within, one.across)]
    found = trivial.model_findings(scores)
    if train["label"].nunique() < 2:
        return Pictures(tuple(statistics), tuple(found), ())
    names, codes = np.unique(train["label"].to_numpy(dtype=str), return_inverse=True)
    classes = tuple(names.tolist())
    of_train = {name: values[: len(train)] for name, values in features.items()}
    traits = shortcuts.find_traits(of_train, codes, permutations, of_features)
    directions = overlay.edge_directions(pixels, train["pixels"].to_numpy(np.int64))
    overlays = overlay.find_overlays(directions, codes, permutations, of_overlays)
    told = [
        *watermarks.overlay_findings(overlays, classes, train["path"].tolist()),
        *shortcuts.trait_findings(traits, classes),
        *found,
    ]
    statistics += [watermarks.overlay_statistic(one, classes) for one in overlays]
    statistics += shortcuts.trait_statistics(traits, classes)
    return Pictures(
        (*statistics, *_not_looked_at(classes, codes, left_out)),
        tuple(sorted(told, key=lambda one: _TOLD_FIRST.index(one.severity))),
        tuple(_maps(pixels, train, codes, overlays, traits)),
        (
            *(Shortcut("overlay", classes[one.label], one.tile) for one in overlays if one.suspicious),
            *(Shortcut(one.kind, classes[one.label]) for one in traits if one.severity),
        ),
    )


def _scores(features: dict[str, Floats], pixels: Pixels, train: pd.DataFrame, val: pd.DataFrame) -> list[trivial.Score]:
    """Of a model on the features, and of one on thumbnails."""
    table = np.column_stack([*features.values()]) if features else np.empty((len(train) + len(val), 0))
    seen = (table, trivial.thumbnails(pixels, [*train["pixels"], *val["pixels"]]))
    out = []
    for sees, inputs in zip(_SEES, seen, strict=True):
        splits = [
            trivial.Split(part, of["label"].to_numpy(dtype=str), _together(of))
            for part, of in ((inputs[: len(train)], train), (inputs[len(train) :], val))
        ]
        out.append(trivial.trivial_model(sees, *splits))
    return out


def _together(images: pd.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    column = "component" if "component" in images else "sha256"
    return images[column].fillna(images["sha256"]).to_numpy(dtype=str)


def _maps(
    pixels: Pixels, train: pd.DataFrame, codes: Codes, overlays: Sequence[Overlay], traits: Sequence[Trait]
) -> list[PatternMap]:
    """Of the edges of each class with an overlay, and of the colours of each that its tones give away."""
    classes = np.unique(train["label"].to_numpy(dtype=str)).tolist()
    found = [maps.overlay_map(one, classes[one.label]) for one in overlays if one.suspicious]
    toned = sorted((one for one in traits if one.kind == "tone" and one.severity), key=lambda one: -one.auc)
    if toned:
        colours = maps.tile_colours(pixels, train["pixels"].to_numpy(np.int64))
        found += [maps.colour_map(colours, codes, one.label, classes[one.label]) for one in toned[:_MOST_MAPS]]
    return found


def _sample(train: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, int]:
    """At most _MOST_IMAGES images, drawn evenly over the largest classes, and how many classes were left out."""
    sizes = train["label"].value_counts()
    chosen = sorted(sizes.index, key=lambda label: (-sizes[label], label))[:_MOST_CLASSES]
    most = min(_MOST_OF_A_CLASS, _MOST_IMAGES // max(1, len(chosen)))
    parts = []
    for label in sorted(chosen):
        rows = np.flatnonzero(train["label"] == label)
        parts.append(np.sort(rng.permutation(rows)[:most]))
    kept = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
    return train.iloc[kept].reset_index(drop=True), len(sizes) - len(chosen)


def _not_looked_at(classes: Sequence[str], codes: Codes, left_out: int) -> list[Statistic]:
    out = [
        Statistic(f"shortcuts of {name}", None, int(n), status="too_small", estimator=f"needs {MIN_IMAGES} images")
        for name, n in zip(classes, np.bincount(codes), strict=True)
        if n < MIN_IMAGES
    ]
    if left_out:
        estimator = f"the {_MOST_CLASSES} largest classes are looked at"
        out.append(Statistic("shortcuts of the smaller classes", None, left_out, status="skipped", estimator=estimator))
    return out
