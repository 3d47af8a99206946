"""Image files through a network, as fast as this machine decodes and computes: memory stays flat, order stays.

On a CPU each thread decodes a batch and takes it through the network itself, on one core: nothing waits for another
stage, and the threads of one operation never wait for each other. On a GPU the network takes one batch at a time while
the other threads decode the next ones.
"""

import copy
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.backbone.network import TransferNet
from tasks.backbone.rows import best_device
from tasks.backbone.weights import backbone_ref
from tasks.calibrate.conformal import draws_of
from tasks.calibrate.looks import looks_of
from tasks.calibrate.temperature import Floats
from tasks.contracts.images import Undecodable, decode, decoder_warnings_off
from tasks.contracts.prepared import Pixels
from tasks.contracts.raw import Unreadable
from tasks.contracts.reasons import REASONS
from tasks.register.bundle import Bundle
from tasks.train.predictor import forward, place

BATCH = 32
_AHEAD = 2  # batches per thread that are under way or wait to be taken
_MAX_MEGAPIXELS = 500.0  # what a person names is not a stranger's upload; more would take gigabytes

Floats32 = NDArray[np.float32]
Read = Callable[[], bytes]


@dataclass(frozen=True)
class Seen:
    """Of one batch: the names, what is wrong with each file, and the outputs (images, ...) of those without a problem.

    `problems` are as many as `names`, empty where there is none; `logits`, `features`, `looks` and `draws` have a row
    for each of the others, in order.
    """

    names: tuple[str, ...]
    problems: tuple[str, ...]
    logits: Floats32
    features: Floats32
    looks: Floats32
    draws: Floats


def see(bundle: Bundle, files: Iterable[tuple[str, Read]]) -> Iterator[Seen]:
    """What the network of `bundle` gives of each file, batch by batch and in order.

    `files` are names and what reads their bytes; they are asked for only as they are needed. A file that cannot be
    decoded stops nothing.
    """
    device, cores = best_device(), len(os.sched_getaffinity(0))
    place(bundle.net, device)
    worker = _Worker(bundle, device)
    waiting: deque[Future[Seen]] = deque()
    some = iter(files)
    with decoder_warnings_off(), _one_thread_each(), ThreadPoolExecutor(cores, initializer=worker.start) as pool:
        try:
            while batch := list(islice(some, BATCH)):
                waiting.append(pool.submit(worker.see, batch))
                if len(waiting) > cores * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # after an interruption nothing more is read


class _Worker:
    """What the threads share: the weights, and on a GPU the turn to compute."""

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        model = bundle.record["model"]
        self._net, self._device = bundle.net, device
        self._ref, self._side_px = backbone_ref(model["backbone"]), int(bundle.record["preprocessing"]["prepared_px"])
        self._turn = threading.Lock()
        self._own = threading.local()

    def start(self) -> None:
        """Ready a thread."""
        if self._device.type == "cpu":
            torch.set_num_threads(1)
            self._own.net = _sharing_weights(self._net)

    def see(self, batch: list[tuple[str, Read]]) -> Seen:
        decoded = [_decoded(read, self._side_px) for _, read in batch]
        images = [one for one in decoded if not isinstance(one, str)]
        pixels = np.stack(images) if images else np.empty((0, self._side_px, self._side_px, 3), np.uint8)
        logits, features = self._forward(pixels)
        return Seen(
            tuple(name for name, _ in batch),
            tuple(one if isinstance(one, str) else "" for one in decoded),
            logits,
            features,
            looks_of(pixels) if images else np.empty((0, 0), np.float32),
            draws_of(pixels),
        )

    def _forward(self, pixels: Pixels) -> tuple[Floats32, Floats32]:
        if not len(pixels):
            net = self._net
            return np.empty((0, net.classes), np.float32), np.empty((0, net.backbone.features), np.float32)
        if self._device.type == "cpu":
            return forward(self._own.net, self._ref, pixels, self._device)
        with self._turn:
            return forward(self._net, self._ref, pixels, self._device)


def _sharing_weights(net: TransferNet) -> TransferNet:
    """A copy with the same tensors: a pass hooks itself into the modules, which two threads cannot share."""
    shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
    return copy.deepcopy(net, shared)


def _decoded(read: Read, side_px: int) -> Pixels | str:
    """The prepared pixels, the same as those of training; or what is wrong."""
    try:
        return decode(read(), side_px, max_megapixels=_MAX_MEGAPIXELS).pixels
    except Unreadable as error:
        return f"{error.reason}: {REASONS[error.reason]}"
    except Undecodable as error:
        return str(error)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """The own threads of OpenCV and of numpy's products would only compete with ours."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])  # what one thread sets is where threads that start later begin
