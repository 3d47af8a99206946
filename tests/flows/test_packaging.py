"""What is built from the repository by others' tools: the image's wheel, and deployments by Prefect's own."""

import tomllib
from pathlib import Path

from ruamel.yaml import YAML

from flows.deployments import AT_ONCE, ENTRYPOINTS, STRATEGY
from tasks.contracts.params import OperateParams

ROOT = Path(__file__).parents[2]


def copied() -> list[str]:
    """Every place that the Containerfile copies from the repository."""
    lines = (ROOT / ".ci" / "Containerfile").read_text().splitlines()
    orders = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from=" not in line]
    return [place for order in orders for place in order]


def test_what_the_wheel_holds_is_copied_into_the_image():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert [place for place in (*build["force-include"], *build["packages"]) if place not in copied()] == []
    assert [place for place in copied() if not (ROOT / place).exists() and not (ROOT / ".ci" / place).exists()] == []


def test_prefects_own_tools_deploy_as_graft_does():
    found = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())
    assert [one["entrypoint"] for one in found["deployments"]] == list(ENTRYPOINTS.values())
    limit = {"limit": AT_ONCE[OperateParams().overlap], "collision_strategy": STRATEGY.value}
    assert [one["concurrency_limit"] for one in found["deployments"]] == [limit] * len(ENTRYPOINTS)
