import numpy as np
import pandas as pd
import pytest

from tasks.contracts.params import Limits, QualityParams
from tasks.contracts.reasons import REASONS
from tasks.quality.verdicts import ALWAYS_OUT, RULES, judge

GOOD = {
    "label": "a",
    "luminance_low": 0.1,
    "luminance_high": 0.9,
    "contrast": 0.8,
    "entropy_bits": 6.0,
    "sharpness": 0.5,
    "colour": 0.4,
    "aspect": 1.5,
    "width": 300,
    "height": 200,
}


def judged(*changes: dict, params: QualityParams | None = None) -> list[tuple[str, list[str]]]:
    table = pd.DataFrame([GOOD | {"reasons": []} | change for change in changes])
    out = judge(table, params or QualityParams())
    return list(zip(out["verdict"], out["reasons"], strict=True))


@pytest.mark.parametrize(
    ("change", "verdict", "reasons"),
    [
        ({}, "keep", []),
        ({"luminance_high": 0.07}, "quarantine", ["dark"]),
        ({"luminance_low": 0.96}, "quarantine", ["bright"]),
        ({"contrast": 0.03}, "warn", ["low_contrast"]),
        ({"contrast": 0.03, "entropy_bits": 1.0}, "quarantine", ["low_contrast", "low_information"]),
        ({"entropy_bits": 1.0}, "keep", []),  # a drawing of two tones
        ({"sharpness": 0.05}, "warn", ["blurry"]),
        ({"sharpness": np.nan}, "keep", []),
        ({"aspect": 4.5}, "warn", ["odd_aspect"]),
        ({"height": 10}, "quarantine", ["odd_size"]),
        ({"reasons": ["truncated"]}, "quarantine", ["truncated"]),
        ({"reasons": ["heavy_compression"]}, "warn", ["heavy_compression"]),
    ],
)
def test_each_rule(change, verdict, reasons):
    assert judged(change) == [(verdict, reasons)]


def test_a_file_without_measures_keeps_its_own_reason_only():
    nothing = dict.fromkeys(set(GOOD) - {"label"}, np.nan)
    assert judged(nothing | {"reasons": ["empty"]}, {}) == [("quarantine", ["empty"]), ("keep", [])]


def test_grey_is_odd_among_colour_only():
    grey, rest = {"colour": 0.0}, [{}] * 19
    assert judged(grey, *rest)[0] == ("warn", ["greyscale"])
    assert judged(*[grey] * 10, *[{}] * 10)[0] == ("keep", [])
    assert judged(grey, {}, {})[0] == ("keep", [])  # three images are no class of colour images
    assert judged(grey | {"label": "b"}, *rest)[0] == ("keep", [])


def test_new_limits_judge_anew_without_the_images():
    table = pd.DataFrame([GOOD | {"sharpness": 0.05, "reasons": []}])
    strict = judge(table, QualityParams(quarantine=("blurry",)))
    assert list(strict["verdict"]) == ["quarantine"]
    lenient = judge(strict, QualityParams(limits=Limits(blurry=0.01)))
    assert list(zip(lenient["verdict"], lenient["reasons"], strict=True)) == [("keep", [])]


def test_every_id_is_published():
    assert set(RULES) | ALWAYS_OUT | set(QualityParams().quarantine) <= set(REASONS)
