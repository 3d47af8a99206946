import numpy as np
import pandas as pd
import pytest

from tasks.contracts.params import Limits, QualityParams
from tasks.contracts.reasons import REASONS
from tasks.quality.verdicts import ALWAYS_OUT, PICTURE, judge, pictured

GOOD = {
    "label": "a",
    "luminance_low": 0.1,
    "luminance_median": 0.5,
    "luminance_high": 0.9,
    "contrast": 0.8,
    "entropy_bits": 6.0,
    "detail": 0.3,
    "sharpness": 0.5,
    "sharpness_least": 0.4,
    "texture": 0.05,
    "colour": 0.4,
    "border": 0.0,
    "blockiness": 0.0,
    "jpeg_quality": 90.0,
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
        ({"contrast": 0.06, "detail": 0.005}, "warn", ["low_contrast", "low_information"]),  # a wall in uneven light
        ({"detail": 0.005}, "keep", []),  # the moon, small
        ({"sharpness": 0.05, "sharpness_least": 0.04}, "warn", ["blurry"]),
        ({"sharpness": 0.2, "sharpness_least": 0.04}, "warn", ["blurry"]),  # smeared
        ({"sharpness": 0.5, "sharpness_least": 0.04}, "keep", []),  # a picture of lines
        ({"sharpness": np.nan, "sharpness_least": np.nan}, "keep", []),
        ({"jpeg_quality": 10.0}, "warn", ["heavy_compression"]),
        ({"jpeg_quality": np.nan, "blockiness": 0.02}, "warn", ["heavy_compression"]),
        ({"jpeg_quality": np.nan, "blockiness": np.nan}, "keep", []),
        ({"border": 0.1}, "warn", ["has_border"]),
        ({"aspect": 4.5}, "warn", ["odd_aspect"]),
        ({"height": 10}, "quarantine", ["odd_size"]),
        ({"reasons": ["truncated"]}, "quarantine", ["truncated"]),
        ({"reasons": ["suspect_label"]}, "warn", ["suspect_label"]),
    ],
)
def test_each_rule(change, verdict, reasons):
    assert judged(change) == [(verdict, reasons)]


def test_a_file_without_measures_keeps_its_own_reason_only():
    nothing = dict.fromkeys(set(GOOD) - {"label"}, np.nan)
    assert judged(nothing | {"reasons": ["empty"]}, {}) == [("quarantine", ["empty"]), ("keep", [])]


def test_grey_is_odd_among_colour_only():
    grey, rest = {"colour": 0.0}, [{}] * 19
    assert judged(grey, *rest)[0][1][0] == "greyscale"  # and an outlier: the others are all equal
    assert judged(*[grey] * 10, *[{}] * 10)[0] == ("keep", [])
    assert judged(grey, {}, {})[0] == ("keep", [])  # three images are no class of colour images
    assert judged(grey | {"label": "b"}, *rest)[0] == ("keep", [])


def test_a_size_is_odd_beside_its_class_and_only_warns():
    huge, rest = {"width": 1500, "height": 1000}, [{}] * 19
    assert judged(huge, *rest)[0] == ("warn", ["odd_size"])
    assert judged({"width": 60, "height": 40}, *rest)[0] == ("warn", ["odd_size"])
    assert judged(huge, {}, {})[0] == ("keep", [])  # three images are no class
    assert judged(huge | {"label": "b"}, *rest)[0] == ("keep", [])
    sizes = [{"width": 100 * 2**i, "height": 100 * 2**i} for i in range(8)] * 3
    assert {verdict for verdict, _ in judged(*sizes)} == {"keep"}  # of a class of all sizes none is odd


def test_an_aspect_is_odd_beside_its_class():
    assert judged({"aspect": 3.9}, *[{}] * 19)[0] == ("warn", ["odd_aspect"])
    assert judged({"aspect": 3.0}, *[{}] * 19)[0] == ("keep", [])  # a panorama among 3:2


def test_an_outlier_is_unlike_its_class_and_only_warns():
    rng = np.random.default_rng(0)
    names = ("luminance_low", "luminance_high", "entropy_bits", "detail", "sharpness", "sharpness_least", "texture")
    usual = [{name: GOOD[name] * (1 + 0.05 * rng.standard_normal()) for name in names} for _ in range(60)]
    strange = {"entropy_bits": 1.0, "detail": 0.6, "sharpness": 0.9, "sharpness_least": 0.9, "texture": 0.3}
    found = judged(strange, *usual)
    assert found[0] == ("warn", ["outlier"])
    assert sum("outlier" in reasons for _, reasons in found) <= 2
    assert judged(strange, *usual[:10])[0] == ("keep", [])


def test_new_limits_judge_anew_without_the_images():
    table = pd.DataFrame([GOOD | {"sharpness": 0.05, "sharpness_least": 0.05, "reasons": []}])
    strict = judge(table, QualityParams(quarantine=("blurry",)))
    assert list(strict["verdict"]) == ["quarantine"]
    lenient = judge(strict, QualityParams(limits=Limits(blurry=0.01)))
    assert list(zip(lenient["verdict"], lenient["reasons"], strict=True)) == [("keep", [])]


def test_what_pictures_give_is_the_same_beside_other_reasons():
    table = pd.DataFrame([GOOD | {"reasons": []}, GOOD | {"reasons": [], "luminance_high": 0.07}] * 15)
    params = QualityParams()
    found = pictured(table, params.limits)
    table["reasons"] = [["suspect_label"] if row % 3 else [] for row in range(30)]
    pd.testing.assert_frame_equal(judge(table, params, found), judge(table, params))


def test_every_id_is_published():
    assert PICTURE | ALWAYS_OUT | set(QualityParams().quarantine) <= set(REASONS)
