"""`graft predict`: labels for image files, honestly: which class, how sure, or why none is named."""

import io
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from flows.output import show
from tasks.contracts.errors import BadData, BadUsage
from tasks.contracts.workspace import find_workspace

if TYPE_CHECKING:
    from tasks.predict.answers import Answer
    from tasks.predict.writing import Write
    from tasks.register.bundle import Bundle

_COVERAGE = 0.9  # as in tasks/calibrate/calibration.py, whose import would bring numpy to the door


def options(command: ArgumentParser) -> None:
    """What can be asked for."""
    command.add_argument("images", nargs="+", metavar="PATH", help="files, folders, patterns; - for a list on stdin")
    command.add_argument("--model", default="", metavar="NAME@N", help="or an exported bundle; default: the champion")
    command.add_argument("--out", type=Path, metavar="FILE", help="a .csv or .parquet instead of lines on the screen")
    command.add_argument(
        "--coverage",
        type=_share,
        metavar="SHARE",
        help=f"of images like those of training, whose sets hold the right class; default: {_COVERAGE}",
    )
    command.set_defaults(command=predict)


def predict(arguments: Namespace) -> int:
    """An answer for every file; exit 3 where one of them cannot be read, when everything else is written."""
    from tasks.contracts.progress import meter
    from tasks.predict.answers import answers
    from tasks.predict.inputs import find_files, reading
    from tasks.predict.writing import require_ending

    if arguments.out:
        require_ending(arguments.out)
    bundle, model = _bundle(arguments)
    _say_what_it_lacks(bundle, model)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a file name need not be text
    paths = find_files(arguments.images, sys.stdin)
    found = answers(bundle, reading(paths), arguments.coverage or _COVERAGE)
    counts: Counter[str] = Counter()
    first: Answer | None = None
    on_screen = not arguments.out and sys.stdout.isatty()  # where the lines themselves show how far it is
    bar = nullcontext(lambda _units: None) if on_screen else meter(len(paths), "predicting")
    with _written(arguments, bundle, model) as write, bar as advance:
        for some in found:
            write(some)
            advance(len(some))
            counts.update(_kind(one) for one in some)
            first = first or next((one for one in some if one.problem), None)
    if arguments.out and not arguments.json:
        show(f"{arguments.out}: {_counted(counts)}; by {model}")
    if first:
        raise BadData(
            f"{counts['not read']} of {len(paths)} files could not be read, the first: {first.path} ({first.problem})"
        )
    return 0


def _say_what_it_lacks(bundle: "Bundle", model: str) -> None:
    from tasks.contracts.progress import say

    if bundle.calibration.record.limit is None:
        say(f"{model} was made with too few images to tell what is unlike them: nothing is flagged")


def _bundle(arguments: Namespace) -> "tuple[Bundle, str]":
    """The bundle that is asked for, and its name: an exported one needs no workspace."""
    from tasks.register.bundle import RECORD, load_bundle
    from tasks.register.registry import bundle_of, find_version

    if arguments.model and (Path(arguments.model) / RECORD).is_file():
        return load_bundle(Path(arguments.model)), arguments.model
    if arguments.model and Path(arguments.model).is_dir():
        raise BadUsage(f"--model {arguments.model} is a folder without {RECORD}: no bundle")
    ws = find_workspace(arguments.workspace)
    version = find_version(ws, arguments.model)
    return load_bundle(bundle_of(ws, version)), version.name


@contextmanager
def _written(arguments: Namespace, bundle: "Bundle", model: str) -> "Iterator[Write]":
    """Where answers go: into the table, as JSON, or on the screen."""
    from tasks.predict.writing import json_lines, label_width, screen_lines, table_file

    with ExitStack() as open_:
        to: list[Write] = []
        if arguments.out:
            to.append(open_.enter_context(table_file(arguments.out, model)))
        if arguments.json:
            to.append(open_.enter_context(_array(lambda some: json_lines(some, model))))
        elif not arguments.out:
            width = label_width(bundle.classes)
            show(f"{'label':<{width}}  {'sure':>6}  {'unlike':>6}  file")
            to.append(lambda some: _show_all(screen_lines(some, width)))

        def write(some: "list[Answer]") -> None:
            for one in to:
                one(some)

        yield write


def _show_all(lines: list[str]) -> None:
    show("\n".join(lines))


@contextmanager
def _array(lines: "Callable[[list[Answer]], list[str]]") -> "Iterator[Write]":
    """One JSON array, an object a line, written as it grows."""
    between = "[\n"

    def write(some: "list[Answer]") -> None:
        nonlocal between
        for line in lines(some):
            sys.stdout.write(between + line)
            between = ",\n"

    yield write
    show("\n]")


def _kind(one: "Answer") -> str:
    if one.problem:
        return "not read"
    return "named" if one.label else "unlike the training images" if one.unlike else "unsure"


def _counted(counts: Counter[str]) -> str:
    kinds = ("named", "unsure", "unlike the training images", "not read")
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in kinds if counts[kind])


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise ArgumentTypeError(f"{text} is no share between 0 and 1, such as 0.95")
    return share
