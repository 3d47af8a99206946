"""The engine keeps the order, looks no further ahead than it must, and gives what one pass in one thread gives."""

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tasks.contracts.raw import Unreadable
from tasks.predict import engine
from tasks.predict.engine import see
from tasks.register.bundle import Bundle
from tasks.train.predictor import outputs
from tests.conftest import CLASSES, SIDE_PX, draw
from tests.train.tiny import REF, net


@pytest.fixture
def bundle() -> Bundle:
    model = {"backbone": {**vars(REF)}, "classes": list(CLASSES)}
    return Bundle(net().eval(), {"model": model, "preprocessing": {"prepared_px": SIDE_PX}}, None)


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def missing() -> bytes:
    raise Unreadable("missing_file")


def test_order_problems_and_outputs_are_those_of_one_pass(bundle, monkeypatch):
    monkeypatch.setattr(engine, "BATCH", 4)
    rng = np.random.default_rng(0)
    pictures = np.stack([draw(CLASSES[i % 3], rng) for i in range(30)])
    files = [(str(i), partial(bytes, png(one))) for i, one in enumerate(pictures)]
    files[7:7] = [("gone", missing)]
    files[20:20] = [(f"broken {i}", lambda: b"no image") for i in range(9)]  # whole batches of them
    torch.set_num_threads(2)
    threads = torch.get_num_threads(), cv2.getNumThreads()
    seen = list(see(bundle, files))
    assert [name for one in seen for name in one.names] == [name for name, _ in files]
    wrong = {name: problem for one in seen for name, problem in zip(one.names, one.problems, strict=True) if problem}
    assert set(wrong) == {"gone", *(f"broken {i}" for i in range(9))}
    assert wrong["gone"].startswith("missing_file: ")
    with ThreadPoolExecutor(1) as later:  # others' arithmetic goes on as before, in other threads too
        assert later.submit(torch.get_num_threads).result() == threads[0]
    assert (torch.get_num_threads(), cv2.getNumThreads()) == threads
    wanted = outputs(bundle.net, REF, pictures)
    assert np.concatenate([one.logits for one in seen]) == pytest.approx(wanted.logits, abs=1e-4)
    assert np.concatenate([one.features for one in seen]) == pytest.approx(wanted.features, abs=1e-4)


def test_files_are_asked_for_only_as_they_are_needed(bundle, monkeypatch):
    monkeypatch.setattr(engine, "BATCH", 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: {0, 1})
    asked = []
    data = png(draw("stripes", np.random.default_rng(0)))
    files = ((asked.append(i) or str(i), lambda: data) for i in range(1000))
    seen = see(bundle, files)
    next(seen)
    assert len(asked) <= 2 * (2 * engine._AHEAD + 1)
    seen.close()
    assert len(asked) <= 2 * (2 * engine._AHEAD + 1)
