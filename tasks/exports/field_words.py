"""What each field of a report means, in a sentence: the descriptions of our JSON Schema.

A comment behind a field in its dataclass says it too, and goes first; this table holds what has none.
"""

_REPORT = {
    "findings": "The problems found, the worst not necessarily first.",
    "report": "Which kind of document this is.",
    "schema_version": "The version of this schema that the document follows.",
}

FIELD_WORDS: dict[str, dict[str, str]] = {
    "Statistic": {
        "name": "What was measured.",
        "value": "The number; null where it could not be measured, which never means zero.",
        "n": "How many images, or other units that the estimator names, it was measured on.",
        "low": "Lower end of the 95 % interval; null where the estimator has none.",
        "high": "Upper end of the 95 % interval; null where the estimator has none.",
        "status": "Whether the value was measured, and if not, why: too few images, not measurable here, or skipped.",
        "estimator": "How it was computed.",
        "p_value": "The probability of at least such a value where the null holds; null where no null was tested.",
        "correction": "How the p-value was corrected for multiple tests; where empty, as the estimator says.",
    },
    "Section": {
        "name": "A short name of the question.",
        "question": "The question in words for a reader who is no engineer.",
        "statistics": "The numbers that answer it.",
    },
    "Attribute": {
        "name": "The column's name.",
        "levels": "How many different values it has.",
        "missing": "Images without a value.",
        "why_not": "Why it was not examined; empty where it was.",
    },
    "Cell": {
        "label": "The class.",
        "attribute": "The attribute's name.",
        "value": "The attribute's value.",
        "split": "The split.",
        "images": "How many images there are.",
    },
    "PatternMap": {
        "label": "The class.",
        "what": "What the numbers measure.",
        "tiles": "One number for each tile of the picture, row by row from the top left.",
    },
    "Finding": {
        "check": "The check's stable id.",
        "severity": "How much it matters: a note, a warning, or an error.",
        "subject": "What it is about: a class, a column, a folder.",
        "statistic": "The number behind it.",
        "message": "What was found, in a sentence.",
        "remedy": "What to do about it; may be empty.",
        "evidence": "At most ten examples, as paths relative to data/raw.",
    },
    "Expectation": {
        "expectation": "The rule's kind.",
        "column": "The column of the table that it is about.",
        "rule": "The rule in words.",
        "success": "Whether the table meets it.",
        "unexpected": "How many rows do not meet it.",
        "examples": "A few of the values that do not.",
        "severity": "What a breach means: an error closes the gate, a warning does not.",
        "source": "Who set the rule: graft, or a place in contract.json.",
    },
    "QualityReport": _REPORT
    | {
        "found": "Files found: kept and quarantined together.",
        "kept": "Images that may be learned from.",
        "warned": "Kept images that carry a remark.",
        "quarantined": "Files that were left out.",
        "reasons": "Reason id -> files that carry it.",
        "classes": "The labels, in order.",
        "contract": "The data contract's rules, and whether the table meets each.",
    },
    "BiasReport": _REPORT
    | {
        "imbalance_ratio": "Training images of the largest class for each of the smallest.",
        "shortcuts": "How far trivial things (size, header, background, a fixed pattern) tell the label.",
        "attributes": "The columns that were examined, and those that were not, with the reason.",
        "cells": "Images by class, attribute value and split.",
        "sections": "The audit's other questions and their numbers.",
        "maps": "Where in the picture the classes' own traits lie.",
    },
    "Waiver": {
        "rule": "The rule that is waived.",
        "reason": "Why, in the person's words.",
        "by": "Who decided it.",
    },
    "GateRule": {
        "rule": "The rule's stable id.",
        "limit": "The limit that was set.",
        "value": "What was measured; null where it was not.",
        "passed": "Whether the rule passed or was waived.",
        "message": "The outcome in a sentence.",
        "waiver": "The decision to go on in spite of the rule; null where there is none.",
    },
    "GateReport": _REPORT
    | {
        "passed": "Whether the stages after the audit may start.",
        "rules": "Each rule and its outcome.",
        "set_by": "Who set the limits.",
    },
    "ClassScore": {
        "label": "The class.",
        "n": "Its images in the split.",
        "precision": "Of the images called this class, the share that is; null where none was called it.",
        "recall": "Of the images of this class, the share that was called it.",
        "f1": "Harmonic mean of precision and recall; null where undefined.",
    },
    "CalibrationBin": {
        "low": "Lower edge of the confidence, included.",
        "high": "Upper edge of the confidence, excluded.",
        "n": "Predictions in the bin.",
        "confidence": "Their mean confidence; null in an empty bin.",
        "accuracy": "The share that was right; null in an empty bin.",
    },
    "Scores": {
        "accuracy": "Share of images called the right class.",
        "macro_f1": "Mean F1 of the classes, each counting the same.",
        "log_loss": "Mean negative log probability of the right class, in nats.",
        "calibration_error": "How far stated confidence is off the truth, on average.",
        "per_class": "The scores of each class.",
        "confusion": "Row i, column j: images of class i that were called class j.",
        "calibration": "Confidence against accuracy, in bins.",
    },
    "Mistake": {
        "path": "The image's path relative to data/raw.",
        "sha256": "The hash of the image's bytes.",
        "label": "Its label.",
        "predicted": "What it was called.",
        "confidence": "The probability given to that.",
    },
    "EvaluationReport": _REPORT
    | {
        "classes": "The labels, in the order of the confusion tables.",
        "candidate": "The model's scores.",
        "scratch": "The scores of the same network trained from random weights.",
        "majority": "What always naming the most frequent class would score.",
        "difference": "Accuracy of the model minus that of scratch, paired by image.",
        "mistakes": "The most confident mistakes.",
        "split": "The split that was measured on.",
    },
}
