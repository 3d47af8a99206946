"""The door: arguments in, one line and an exit code out. Heavy imports stay behind the commands that need them."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from flows import audits, commands, models, operating, predicting, retraining, worker
from tasks.contracts.environment import prepare_environment
from tasks.contracts.errors import GraftError, one_line
from tasks.contracts.progress import QUIET
from tasks.contracts.text import without_passwords

INTERRUPTED = 130
TERMINATED = 143
STAGES = ("ingest", "quality", "bias", "augment", "select", "train", "evaluate", "register")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit 2 with the problem and where to read on."""
        self.exit(2, f"{self.prog}: {one_line(message)}; see `{self.prog} --help`\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command that `argv` (default: the command line) names and return its exit code.

    0 fine, 1 a gate refused, 2 wrong usage or params, 3 bad data, 4 environment, 5 integrity, 130/143 interrupted.
    """
    prepare_environment()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text
    arguments = parser().parse_args(argv)
    if arguments.quiet:
        os.environ[QUIET] = "1"
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return int(arguments.command(arguments) or 0)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing is half-written, and the same command goes on from here", INTERRUPTED)
    except GraftError as error:
        if arguments.traceback:
            raise
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone, as `| head` does
        return 0
    except Exception as error:  # the only broad one: nobody sees a traceback unasked
        if arguments.traceback:
            raise
        return _fail(f"{type(error).__name__}: {error} (unexpected; --traceback shows where)", GraftError.exit_code)


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="graft", description="Transfer learning from a folder of images to a registered, evaluated model."
    )
    top.add_argument("--workspace", type=Path, metavar="DIR", help="default: here or the folder above")
    top.add_argument("--quiet", action="store_true", help="no progress, only results and errors")
    top.add_argument("--traceback", action="store_true", help="show where an error was raised")
    add = top.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser).add_parser

    init = add("init", help="make a workspace, or bring an old one up to date")
    init.add_argument("folder", type=Path, metavar="DIR")
    source = init.add_mutually_exclusive_group()
    source.add_argument(
        "--data",
        metavar="SRC",
        help="images to copy to data/raw: a folder with one for each class, an archive, or an address of either",
    )
    source.add_argument("--demo", action="store_true", help="real images that come with graft's libraries")
    init.set_defaults(command=commands.init)

    _run(add("run", help="bring every stage up to date, then register the model"))
    _tune(add("tune", help="search settings of training that do better on val"))

    _audit(add("audit", help="ingest, quality and bias, without training, and the ledger of all audits"))

    stage = add("stage", help="run one stage as dvc.yaml calls it, without Prefect")
    stage.add_argument("name", choices=STAGES, metavar="STAGE")
    stage.add_argument("--results-version", type=int, metavar="N", help="refuse if this graft makes other results")
    stage.set_defaults(command=commands.stage)

    status = add("status", help="what is fresh, what would run, and why")
    status.add_argument("--why", action="store_true", help="also what the last run did with each stage, and why")
    _json(status).set_defaults(command=operating.status)

    _operate(add)

    report = add("report", help="draw reports/index.html, or print one stage's findings")
    report.add_argument("stage", nargs="?", choices=("quality", "bias", "gate", "selection", "evaluation"))
    _json(report).set_defaults(command=commands.report)

    backbones = add("backbones", help="networks to transfer from")
    backbones.add_argument("name", nargs="?", help="this one in full, or all whose names contain it")
    backbones.add_argument("--fetch", action="store_true", help="download its weights")
    _json(backbones).set_defaults(command=commands.backbones)

    retraining.declare(add, _json)

    _pretrain(add("pretrain", help="make a backbone: from drawn images, or from a large set of your own"))

    models.declare(add("models", help="registered versions and the champion"))

    predicting.options(_json(add("predict", help="a class for each image and how sure it is, or why none is named")))
    return top


def _operate(add: Callable[..., argparse.ArgumentParser]) -> None:
    up = add("up", help="a Prefect server with its page, and a worker, in the background")
    _json(up).set_defaults(command=operating.up)

    _json(add("down", help="stop them")).set_defaults(command=operating.down)

    _json(add("doctor", help="is this machine fit for it, and is the workspace")).set_defaults(command=operating.doctor)

    work = add("worker", help="take the runs of a server that PREFECT_API_URL names, and work on this clone")
    work.add_argument("pool", nargs="?", metavar="POOL", help="default: that of this workspace")
    work.add_argument("--healthcheck", action="store_true", help="answer at port 8080, under /health, while it works")
    work.set_defaults(command=worker.work)

    tell = add("notify", help="send a test message through the blocks of operate.notify")
    _json(tell).set_defaults(command=operating.notify)

    deploy = add("deploy", help="make the server's deployments and schedules agree with params.yaml")
    deploy.add_argument("--dry-run", action="store_true", help="only show what would change")
    _json(deploy).set_defaults(command=operating.deploy)


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change params.yaml first")
    command.add_argument("--until", choices=STAGES, default=STAGES[-1], metavar="STAGE", help="stop after this stage")
    command.add_argument("--force", choices=STAGES, metavar="STAGE", help="run this stage even if it is fresh")
    command.add_argument("--offline", action="store_true", help="download nothing")
    _json(command).set_defaults(command=commands.run)


def _audit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--markdown", type=Path, metavar="FILE", help="also a short summary, for a pull request")
    _json(command).set_defaults(command=audits.audit)
    add = command.add_subparsers(title="what to do with audits", metavar="[ACTION]", parser_class=Parser).add_parser

    _json(add("list", help="the ledger"), again=True).set_defaults(command=audits.list_audits)

    show = add("show", help="one of them")
    show.add_argument("number", nargs="?", type=int, metavar="N", help="default: the latest audit")
    _json(show, again=True).set_defaults(command=audits.show_audit)

    _json(add("pages", help="draw the page of each and the index of all"), again=True).set_defaults(
        command=audits.pages
    )

    export = add("export", help="as Croissant, CSV and a data-set card")
    export.add_argument("folder", type=Path, metavar="DIR")
    export.add_argument("number", nargs="?", type=int, metavar="N", help="default: the latest audit")
    _json(export, again=True).set_defaults(command=audits.export)

    diff = add("diff", help="what changed in data, numbers, findings and settings")
    diff.add_argument("before", type=int, metavar="A")
    diff.add_argument("after", type=int, metavar="B")
    _json(diff, again=True).set_defaults(command=audits.diff)

    verify = add("verify", help="every hash again; exit 5 names what is wrong")
    verify.add_argument("--head", metavar="RECEIPT", help="that an audit gave, as NUMBER:SHA256")
    verify.add_argument("--key", type=Path, metavar="PUBLIC", help="whose signature the ledger must bear")
    verify.add_argument("--recompute", action="store_true", help="also the numbers, from the data")
    _json(verify, again=True).set_defaults(command=audits.verify)

    keygen = add("keygen", help="a key to sign with, and one to check with")
    keygen.add_argument("file", type=Path, metavar="FILE")
    keygen.set_defaults(command=audits.keygen)

    sign = add("sign", help="sign the ledger as it stands")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="the private key")
    _json(sign, again=True).set_defaults(command=audits.sign)

    sign_off = add("sign-off", help="a person's decision on the latest audit")
    sign_off.add_argument("--by", required=True, metavar="NAME")
    sign_off.add_argument("--role", required=True, metavar="ROLE")
    sign_off.add_argument("--decision", required=True, choices=("accepted", "rejected"))
    sign_off.add_argument("--note", default="", metavar="TEXT")
    _json(sign_off, again=True).set_defaults(command=audits.sign_off)


def _tune(command: argparse.ArgumentParser) -> None:
    command.add_argument("--budget", metavar="TIME", help="such as 90s, 10m or 2h; default: 10m, or none with --trials")
    command.add_argument("--trials", type=int, metavar="N", help="in all, those of earlier calls included")
    command.add_argument("--apply", action="store_true", help="write the best settings into params.yaml")
    _json(command).set_defaults(command=commands.tune)


def _pretrain(command: argparse.ArgumentParser) -> None:
    from tasks.pretrain.plan import DRAWN_PX, IMAGES, NETWORK

    command.add_argument("name", metavar="NAME", help="becomes local/NAME for select.candidates")
    command.add_argument(
        "--network", default=NETWORK, metavar="NET", help=f"as `graft backbones` names them; default: {NETWORK}"
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="your own images, a folder for each class")
    command.add_argument("--unlabelled", action="store_true", help="learn from the images of --data alone")
    command.add_argument("--images", type=int, default=IMAGES, metavar="N", help=f"how many to see; default: {IMAGES}")
    command.add_argument(
        "--px", type=int, metavar="N", help=f"side of the input; default: {DRAWN_PX}, or quality.prepared_px of --data"
    )
    _json(command).set_defaults(command=commands.pretrain)


def _json(command: argparse.ArgumentParser, *, again: bool = False) -> argparse.ArgumentParser:
    """`again`: the command above has the option too, and a default here would undo it."""
    default = argparse.SUPPRESS if again else False
    command.add_argument("--json", action="store_true", default=default, help="for machines")
    return command


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"graft: {without_passwords(one_line(message))}\n")
    return code


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
