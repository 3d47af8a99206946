"""The house rules that no linter holds: who may import what, and what importing may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from flows.stages import STEPS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((*(ROOT / "flows").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")))
HOMES = {  # a heavy or risky library -> the only places that may import it
    "prefect": ("flows/",),
    "dvc": ("flows/dvc_repo.py", "flows/snapshots.py", "flows/stages.py", "tasks/register/store.py"),
    "dvc_data": ("flows/snapshots.py", "tasks/register/store.py"),
    "gto": (),
    "great_expectations": ("tasks/quality/expectations.py",),
    "albumentations": ("tasks/augment/policy.py",),
    "pydantic": ("tasks/contracts/params.py", "tasks/contracts/params_file.py"),
    "jinja2": ("tasks/report/",),
    "faiss": ("tasks/quality/near.py",),
    "cleanlab": ("tasks/quality/label_",),
    "simplejpeg": ("tasks/contracts/images.py",),
    "fsspec": ("tasks/ingest/remote.py",),
    "watchfiles": ("flows/watch.py",),
    "optuna": ("tasks/tune/study.py",),
    "timm": ("tasks/backbone/timm_zoo.py",),
    "captum": ("tasks/evaluate/saliency.py",),
    "cronsim": ("tasks/contracts/schedules.py",),
    "psutil": ("flows/runs.py",),
    "packaging": ("flows/doctor.py",),
    "cryptography": ("tasks/audit/keys.py",),
    "skimage": ("tasks/ingest/demo.py", "tasks/ingest/crops.py"),
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("library", HOMES)
def test_a_library_stays_in_its_home(library):
    users = {place(path) for path in SOURCES if any(name.split(".")[0] == library for name in imports(path))}
    strangers = {user for user in users if not user.startswith(HOMES[library])}
    assert not strangers, f"{library} is imported by {strangers}"


def test_tasks_never_import_flows():
    assert not [
        place(p) for p in SOURCES if place(p).startswith("tasks/") and any(i.startswith("flows") for i in imports(p))
    ]


def test_no_module_imports_a_step():
    """Steps meet in records and files; only flows/stages.py starts them, by name."""
    assert not [place(p) for p in SOURCES if any(i.startswith("tasks.") and i.endswith(".step") for i in imports(p))]


def test_contracts_import_nothing_of_the_steps():
    allowed = "tasks.contracts"
    for path in SOURCES:
        if place(path).startswith("tasks/contracts/"):
            assert not [i for i in imports(path) if i.startswith("tasks.") and not i.startswith(allowed)], path


def test_modules_import_each_other_without_a_circle():
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): {
            i for i in imports(path) if i.startswith(("tasks", "flows"))
        }
        for path in SOURCES
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module in done:
            return
        for other in graph.get(module, ()):
            visit(other, (*above, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_door_opens_without_heavy_imports():
    heavy = {"torch", "numpy", "pandas", "prefect", "dvc", "pydantic", "great_expectations", "albumentations"}
    assert not loaded_after("import flows.cli; flows.cli.parser()") & heavy


def test_steps_import_no_orchestration():
    steps = ", ".join(STEPS.values())
    assert not loaded_after(f"import {steps}") & {"prefect", "dvc", "gto", "great_expectations", "albumentations"}


def test_the_scanner_needs_no_torch():
    assert "torch" not in loaded_after("import tasks.quality.step, tasks.ingest.step")


def test_importing_everything_prints_nothing():
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in SOURCES if "template" not in p.parts]
    code = "\n".join(f"import {name.removesuffix('.__init__')}" for name in names)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == done.stderr == ""


def test_every_csv_is_written_in_one_place():
    """There a cell cannot be a formula; a table that wrote itself would not be looked at."""
    writers = {"to_csv", "DictWriter"}
    benchmarks = sorted((ROOT / "benchmarks").rglob("*.py"))
    found = set()
    for path in (*SOURCES, *benchmarks):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and (node.attr in writers or ast.unparse(node) == "csv.writer"):
                found.add(place(path))
    assert found == {"tasks/contracts/csv_text.py"}
