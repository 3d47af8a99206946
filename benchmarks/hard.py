"""Good pictures that look like faults to a careless check: each must be kept without a remark."""

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np

from benchmarks.scenes import LONG_PX, RGB, SHORT_PX, Colours, Field, field, scene

Drawn = Callable[[np.random.Generator], RGB]
_SIZE = (SHORT_PX, LONG_PX)


def any_scene(rng: np.random.Generator) -> RGB:
    """A scene of no particular kind, landscape or portrait, with one thing in focus: in some scenes nothing is."""
    picture = scene(int(rng.integers(2**31)), int(rng.integers(2**31)))
    place = (rng.uniform(0.15, 0.85, 2) * picture.shape[1::-1]).astype(int)
    corners = place + rng.uniform(-30, 30, (int(rng.integers(3, 7)), 2)).astype(int)
    around = picture[max(0, place[1] - 30) : place[1] + 30, max(0, place[0] - 30) : place[0] + 30].mean()
    tone = (around + (rng.uniform(70, 110) if around < 128 else -rng.uniform(70, 110)) + rng.uniform(-15, 15, 3)).clip(
        0, 255
    )
    return cv2.fillPoly(picture.copy(), [cv2.convexHull(corners.astype(np.int32))], tone.tolist(), cv2.LINE_AA)


def blob(rng: np.random.Generator, size: tuple[int, int], share: float) -> Field:
    """A mask, 0 to 1, of one ragged thing that takes about `share` of the picture, not at its rim."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = rng.uniform(0.3, 0.7, 2) * (height, width)
    radius = np.sqrt(share * height * width / np.pi)
    distance = np.hypot(y - centre[0], (x - centre[1]) * np.float32(rng.uniform(0.7, 1.4)))
    ragged = distance / np.float32(radius) + 0.15 * field(rng, size, 0.4) - 1
    return cast(Field, np.clip(0.5 - ragged * np.float32(radius / 2), 0, 1))


def over(far: RGB | Colours, near: RGB | Colours, mask: Field) -> RGB:
    """`near` where the mask is 1, `far` where it is 0."""
    return np.clip(far + (near.astype(np.float32) - far) * mask[..., None], 0, 255).astype(np.uint8)


def noisy(picture: RGB | Colours, rng: np.random.Generator, most: float) -> RGB:
    """With a sensor's grain of up to `most` levels."""
    grain = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0, most))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def smear(picture: RGB, rng: np.random.Generator, length: float) -> RGB:
    """As a camera that moves `length` px while it exposes."""
    side = int(length) // 2 * 2 + 3
    kernel = np.zeros((side, side), np.float32)
    angle = rng.uniform(0, np.pi)
    ends = [side / 2 + sign * length / 2 * np.array([np.cos(angle), np.sin(angle)]) for sign in (-1, 1)]
    start, end = (tuple(np.rint(place * 16).astype(int).tolist()) for place in ends)
    cv2.line(kernel, start, end, 1, 1, cv2.LINE_4, 4)
    return cast(RGB, cv2.filter2D(picture, -1, kernel / kernel.sum()))


def stars(rng: np.random.Generator) -> RGB:
    """A night sky; the stars take between 0.2 and 2 % of it."""
    sky = rng.uniform(3, 16) * np.exp(0.3 * field(rng, _SIZE, 0.4))[..., None] * rng.uniform(0.6, 1.2, 3)
    for _ in range(rng.integers(150, 600)):
        place = tuple(int(v) for v in rng.integers(0, (LONG_PX, SHORT_PX)) * 16)
        tone = (rng.uniform(120, 255) * rng.uniform(0.8, 1, 3)).tolist()
        cv2.circle(sky, place, int(rng.uniform(10, 28)), tone, -1, cv2.LINE_8, 4)
    return noisy(cv2.GaussianBlur(sky, (0, 0), 0.5), rng, 3)


def lamps(rng: np.random.Generator) -> RGB:
    """A street at night: almost all of it black, a few lamps with a halo."""
    street = any_scene(rng).astype(np.float32) * rng.uniform(0.05, 0.15)
    light = np.zeros(street.shape, np.float32)
    for _ in range(rng.integers(4, 25)):
        place = tuple(int(v) for v in rng.integers(0, street.shape[1::-1]))
        cv2.circle(light, place, int(rng.integers(3, 7)), (rng.uniform(0.7, 1, 3) * (255, 235, 190)).tolist(), -1)
    return noisy(street + light + 2 * cv2.GaussianBlur(light, (0, 0), 9), rng, 3)


def black_cat(rng: np.random.Generator) -> RGB:
    """Black fur before a dark ground, two eyes."""
    ground = any_scene(rng).astype(np.float32) * rng.uniform(0.1, 0.2)
    height, width = ground.shape[:2]
    fur = 8 + 5 * rng.standard_normal((height, width, 1), np.float32) + np.zeros(3, np.float32)
    cat = over(ground, fur, blob(rng, (height, width), rng.uniform(0.2, 0.5)))
    y, x, apart, radius = height // 2, width // 2, int(rng.integers(14, 30)), int(rng.integers(5, 9))
    for side in (-1, 1):
        cv2.circle(cat, (x + side * apart, y), radius, (190, 200, 60), -1, cv2.LINE_AA)
        cv2.ellipse(cat, (x + side * apart, y), (2, radius), 0, 0, 360, (10, 10, 5), -1, cv2.LINE_AA)
    return cat


def high_key(rng: np.random.Generator) -> RGB:
    """Nearly everything white; eyes, hair or twigs of up to 3 % are not."""
    light = 255 - (255 - any_scene(rng).astype(np.float32)) * rng.uniform(0.08, 0.2)
    mask = blob(rng, light.shape[:2], rng.uniform(0.006, 0.03))
    return noisy(over(light, light * rng.uniform(0.2, 0.5), mask), rng, 2)


def snow(rng: np.random.Generator) -> RGB:
    """Snow with blue shadows, and a fence or a few footprints."""
    shade = np.clip(0.9 + 0.09 * field(rng, _SIZE, 0.55), 0.5, 1)[..., None]
    white = 255 * shade ** np.array([1.25, 1.1, 0.9], np.float32)
    if rng.random() < 0.5:
        for x in range(int(rng.integers(20)), LONG_PX, int(rng.integers(25, 60))):
            cv2.line(white, (x, 100), (x + 3, 190), (70, 60, 55), 2)
    else:
        for place in rng.integers(20, SHORT_PX - 20, (12, 2)).tolist():
            cv2.ellipse(white, place, (4, 7), 20, 0, 360, (150, 165, 195), -1)
    return noisy(white, rng, 3)


def product(rng: np.random.Generator) -> RGB:
    """A thing alone on white, as in a shop."""
    thing = any_scene(rng)
    white = np.full(thing.shape, rng.uniform(246, 255), np.float32)
    mask = blob(rng, thing.shape[:2], rng.uniform(0.04, 0.25))
    shadow = cv2.GaussianBlur(np.roll(mask, 9, 0), (0, 0), 9)[..., None]
    return over(white - 60 * shadow, thing, mask)


def shallow_focus(rng: np.random.Generator) -> RGB:
    """A sharp subject of 2 to 15 % before a ground far out of focus."""
    ground, subject = any_scene(rng), any_scene(rng)
    soft = cv2.GaussianBlur(ground, (0, 0), rng.uniform(5, 12))
    subject = cv2.resize(subject, soft.shape[1::-1], interpolation=cv2.INTER_AREA)
    return noisy(over(soft, subject, blob(rng, soft.shape[:2], rng.uniform(0.02, 0.15))), rng, 2)


def panning(rng: np.random.Generator) -> RGB:
    """The camera follows the subject: only that is sharp."""
    ground, subject = any_scene(rng), any_scene(rng)
    subject = cv2.resize(subject, ground.shape[1::-1], interpolation=cv2.INTER_AREA)
    mask = blob(rng, ground.shape[:2], rng.uniform(0.04, 0.2))
    return noisy(over(smear(ground, rng, rng.uniform(20, 50)), subject, mask), rng, 2)


def bokeh(rng: np.random.Generator) -> RGB:
    """Lights out of focus are discs; a face or a glass before them is sharp."""
    ground = cv2.GaussianBlur(any_scene(rng), (0, 0), 10).astype(np.float32) * rng.uniform(0.2, 0.6)
    for _ in range(rng.integers(6, 25)):
        disc = np.zeros(ground.shape, np.float32)
        place = tuple(int(v) for v in rng.integers(0, ground.shape[1::-1]))
        cv2.circle(disc, place, int(rng.integers(8, 26)), rng.uniform(30, 140, 3).tolist(), -1, cv2.LINE_AA)
        ground += cv2.blur(disc, (3, 3))
    subject = cv2.resize(any_scene(rng), ground.shape[1::-1], interpolation=cv2.INTER_AREA)
    return noisy(over(ground, subject, blob(rng, ground.shape[:2], rng.uniform(0.02, 0.1))), rng, 3)


def fog(rng: np.random.Generator) -> RGB:
    """A span of 12 to 30 % of the tones, little colour, slightly soft."""
    view = any_scene(rng).astype(np.float32)
    grey = view.mean(axis=2, keepdims=True)
    view = grey + (view - grey) * rng.uniform(0.5, 1)
    middle, span = rng.uniform(120, 200), rng.uniform(0.12, 0.3)
    view = cv2.GaussianBlur((view - 127) * span + middle, (0, 0), rng.uniform(0.3, 0.9))
    return noisy(view, rng, 1)


def silhouette(rng: np.random.Generator) -> RGB:
    """A black shape before an evening sky: hardly more than two tones."""
    sky = np.linspace(rng.uniform(120, 180), 250, SHORT_PX, dtype=np.float32)[:, None, None]
    sky = np.repeat(sky, LONG_PX, axis=1) * rng.uniform((0.9, 0.5, 0.3), (1, 0.8, 0.6))
    shape = blob(rng, _SIZE, rng.uniform(0.1, 0.4))
    return over(sky, np.full(3, 6, np.float32), shape)


def line_art(rng: np.random.Generator) -> RGB:
    """Thin lines on white."""
    paper = np.full((*_SIZE, 3), 255, np.uint8)
    for _ in range(rng.integers(4, 20)):
        start, pull, end = rng.uniform(0.05, 0.95, (3, 2)) * (LONG_PX, SHORT_PX)
        t = np.linspace(0, 1, 40)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * pull + t**2 * end
        cv2.polylines(
            paper, [np.rint(curve).astype(np.int32)], False, (20, 20, 20), int(rng.integers(1, 3)), cv2.LINE_AA
        )
    return paper


def text_page(rng: np.random.Generator) -> RGB:
    """Printed lines with a margin."""
    paper = np.full((*_SIZE, 3), rng.integers(235, 256), np.uint8)
    margin, size = int(rng.integers(15, 50)), rng.uniform(0.35, 0.7)
    for y in range(margin + 12, SHORT_PX - margin, int(34 * size) + 4):
        words = "".join(rng.choice(list("abcdefghij klmnop qrstuvwx "), int((LONG_PX - 2 * margin) / (19 * size))))
        cv2.putText(paper, words, (margin, y), cv2.FONT_HERSHEY_SIMPLEX, size, (25, 25, 30), 1, cv2.LINE_AA)
    return paper


def qr_code(rng: np.random.Generator) -> RGB:
    """Black and white modules with a quiet zone."""
    modules = np.pad(rng.integers(0, 2, (29, 29), np.uint8) * 255, 3, constant_values=255)
    side = int(rng.integers(200, 420))
    return np.repeat(cv2.resize(modules, (side, side), interpolation=cv2.INTER_NEAREST)[..., None], 3, axis=2)


def moon(rng: np.random.Generator) -> RGB:
    """The moon, grey and cratered, in a black sky."""
    ground = any_scene(rng).mean(axis=2, keepdims=True) * 0.6 + 90
    disc = np.zeros(ground.shape[:2], np.float32)
    place = tuple(int(side * rng.uniform(0.25, 0.75)) for side in disc.shape[::-1])
    cv2.circle(disc, place, int(rng.integers(12, 80)), 1.0, -1, cv2.LINE_AA)
    return noisy(over(np.full((*disc.shape, 3), 3, np.float32), ground.repeat(3, 2), disc), rng, 2)


def wide(rng: np.random.Generator) -> RGB:
    """16:9, 2:1 or a panorama of 3:1."""
    whole = scene(int(rng.integers(2**31)), 0)
    aspect = rng.choice((16 / 9, 2, 3))
    return whole[: max(1, int(whole.shape[1] / aspect))]


def shore(rng: np.random.Generator) -> RGB:
    """Clear sky, a straight horizon, water below."""
    line = int(rng.uniform(0.3, 0.7) * SHORT_PX)
    view = np.empty((*_SIZE, 3), np.float32)
    view[:line] = rng.uniform((90, 150, 200), (160, 190, 240))
    waves = field(rng, (SHORT_PX, LONG_PX // 3), 0.8)
    water = cv2.resize(waves, (LONG_PX, SHORT_PX))[..., None] * 18 + rng.uniform((10, 50, 80), (60, 90, 130))
    view[line:] = water[line:]
    return noisy(view, rng, 2)


HARD: dict[str, dict[str, Drawn]] = {  # class -> its kinds
    "night": {"stars": stars, "lamps": lamps, "black_cat": black_cat, "moon": moon},
    "white": {"high_key": high_key, "snow": snow, "product": product},
    "focus": {"shallow_focus": shallow_focus, "panning": panning, "bokeh": bokeh},
    "weather": {"fog": fog, "silhouette": silhouette, "shore": shore},
    "drawn": {"line_art": line_art, "text_page": text_page, "qr_code": qr_code},
    "wide": {"wide": wide},
}
