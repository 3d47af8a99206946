"""Files read on all cores: by threads where they are few, by processes where these are worth their start.

Threads hand the interpreter's lock to and fro between the many short calls of the decoder and the measures. Processes
do not, but they take some 0.35 s and 60 MB each before their first file: that is won back from 2,500 files on.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing import get_context, parent_process

import cv2

from tasks.contracts.errors import BadEnvironment
from tasks.contracts.images import decoder_warnings_off
from tasks.quality.reading import Found, Job, Reader, read_piece

PROCESSES_FROM = 4000  # files to read

Submit = Callable[[list[Job]], "Future[list[Found]]"]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def workers(reader: Reader, files: int) -> Iterator[Submit]:
    """As many workers as cores; gives what hands them a piece of the work. Nothing more is read after an exception."""
    with _processes(reader) if cores() > 1 and files >= PROCESSES_FROM else _threads(reader) as submit:
        yield submit


@contextmanager
def _threads(reader: Reader) -> Iterator[Submit]:
    one_large = threading.Lock()
    with _one_thread_each(), decoder_warnings_off(), ThreadPoolExecutor(cores()) as pool:
        try:
            yield lambda piece: pool.submit(read_piece, reader, piece, one_large)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _processes(reader: Reader) -> Iterator[Submit]:
    """Started anew, never forked: this process may have threads, and much memory."""
    context = get_context("spawn")

    def submit(piece: list[Job]) -> "Future[list[Found]]":
        with _interrupts_held():  # here the processes start
            return pool.submit(_read_here, piece)

    with ProcessPoolExecutor(cores(), context, _start, (reader, context.Lock())) as pool:
        try:
            yield submit
        except BrokenProcessPool:
            raise BadEnvironment(
                "a process that reads images was ended from outside, mostly by the system for want of memory: free "
                "some memory or lower quality.limits.max_megapixels, and run again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


# in a worker, as long as it lives: what it reads with, and what holds that open
_here: list[tuple[Reader, AbstractContextManager[object]]] = []
_for_life = ExitStack()


def _start(reader: Reader, one_large: AbstractContextManager[object]) -> None:
    """Ready a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _for_life.enter_context(decoder_warnings_off())
    _for_life.enter_context(reader.files.opened())
    _here.append((reader, one_large))


def _read_here(piece: list[Job]) -> list[Found]:
    [(reader, one_large)] = _here
    return read_piece(reader, piece, one_large)


def _end_with_parent() -> None:
    """A killed parent says nothing; its workers would wait for it for ever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that starts in here never hears Ctrl-C, which a terminal sends to all: its parent ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV's own threads would only compete with the scan's."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
