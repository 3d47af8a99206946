"""Laws of the formula images and of the pre-training that uses them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.backbone.layouts import resnet18
from tasks.pretrain.formula import Classes, draw_clouds, render, sample_classes, seeded, walk
from tasks.pretrain.pretrain import Card, main, save_backbone
from tasks.pretrain.training import (
    Progress,
    Recipe,
    Run,
    advance,
    background_contrast,
    finish,
    image_side_px,
    learning_rate,
    read_checkpoint,
    restate_norms,
    start,
    write_checkpoint,
)

CPU = torch.device("cpu")
SMALL = Recipe(width=4, input_px=32, steps=4, batch=4, ifs=3, contours=3)
CARD = Card("resnet18", 24, 64, seed=5, images_seen=12, seconds=1.5, device="2 CPU cores")


@pytest.fixture(autouse=True)
def one_thread_per_worker() -> Iterator[None]:
    # As the command does: two workers that each ask for every core wait for one another.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(seed: int, labels: list[int], contrast: float = 1.0, side_px: int = 32) -> Tensor:
    classes = sample_classes(7, ifs=4, contours=4, device=CPU)
    clouds = draw_clouds(classes, side_px, variants=2, generator=seeded(CPU, 7))
    return render(clouds, torch.tensor(labels), side_px, contrast, seeded(CPU, seed))


def trained(recipe: Recipe, steps: int) -> tuple[Run, Progress]:
    run = start(recipe, CPU)
    return run, advance_to(run, recipe, Progress(), steps)


def advance_to(run: Run, recipe: Recipe, progress: Progress, until: int) -> Progress:
    return [reached for reached, _, _ in advance(run, recipe, progress, until)][-1]


def weights(net: nn.Module) -> bytes:
    return b"".join(value.contiguous().numpy().tobytes() for value in net.state_dict().values())


def test_the_same_key_draws_the_same_pixels() -> None:
    assert torch.equal(images(1, [0, 5]), images(1, [0, 5]))


def test_another_key_draws_other_pixels() -> None:
    assert not torch.equal(images(1, [0, 5]), images(2, [0, 5]))


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    images(1, [0, 5])
    start(SMALL, CPU)
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_seed_samples_other_classes() -> None:
    one, other = (sample_classes(seed, 4, 4, CPU) for seed in (1, 2))
    assert not torch.equal(one.maps, other.maps)
    assert not torch.equal(one.orbits, other.orbits)


@pytest.mark.parametrize(("side_px", "contrast"), [(32, 0.0), (32, 1.0), (48, 0.5)])
def test_images_are_colour_fractions(side_px: int, contrast: float) -> None:
    drawn = images(3, list(range(8)), contrast, side_px)
    assert drawn.shape == (8, 3, side_px, side_px)
    assert drawn.dtype == torch.float32
    assert 0 <= drawn.min() < drawn.max() <= 1


@pytest.mark.parametrize(("ifs", "contours"), [(0, 3), (3, 0)])
def test_one_family_alone_can_be_drawn(ifs: int, contours: int) -> None:
    classes = sample_classes(7, ifs, contours, CPU)
    assert draw_clouds(classes, 8, 2, seeded(CPU, 1)).shape == (3, 2, 2, 128)


def test_an_affine_half_leads_to_its_fixed_point() -> None:
    # x' = x / 2 + 1, y' = y / 2 - 3 has the fixed point (2, -6).
    maps = torch.tensor([0.5, 0, 0, 0.5, 1, -3]).expand(1, 4, 6)
    end = walk(maps, torch.full((1, 4), 0.25), points=64, generator=seeded(CPU, 1))
    assert end[0].mean(1).tolist() == pytest.approx([2, -6], abs=1e-2)


def test_sampled_maps_never_stretch() -> None:
    classes = sample_classes(11, ifs=64, contours=0, device=CPU)
    stretch = torch.linalg.svdvals(classes.maps[..., :4].reshape(-1, 2, 2))
    assert stretch.max() <= 1 + 1e-5
    assert classes.chances.sum(1).tolist() == pytest.approx([1] * 64)


def test_classes_differ_more_than_instances_of_one_class() -> None:
    classes = sample_classes(7, ifs=8, contours=8, device=CPU)
    masks = occupancy(draw_clouds(classes, 64, variants=4, generator=seeded(CPU, 9)))
    distance = torch.cdist(masks.flatten(0, 1), masks.flatten(0, 1))
    owner = torch.arange(16).repeat_interleave(4)
    same = (owner[:, None] == owner) & ~torch.eye(64, dtype=torch.bool)
    assert distance[same].mean() < 0.6 * distance[owner[:, None] != owner].mean()


def occupancy(clouds: Tensor) -> Tensor:
    """Share of points in each cell of a 12 x 12 grid over [-1.2, 1.2]: (classes, variants, 144)."""
    cell = ((clouds + 1.2) * 5).long().clamp(0, 11)
    index = cell[:, :, 0] * 12 + cell[:, :, 1]
    return torch.zeros(*clouds.shape[:2], 144).scatter_add_(2, index, torch.ones(index.shape))


def test_low_contrast_flattens_the_background() -> None:
    def roughness(contrast: float) -> float:
        corner = images(4, [0] * 64, contrast)[..., :4, :4]
        return corner.std((2, 3)).mean().item()

    assert roughness(0.1) < 0.5 * roughness(1.0)


def test_full_contrast_also_draws_dark_on_light_and_grey() -> None:
    drawn = images(6, [4] * 128)
    grey = (drawn.amax(1) - drawn.amin(1)).amax((1, 2)) < 1e-3
    assert 0.05 < grey.float().mean() < 0.35
    brighter_middle = drawn[..., 12:20, 12:20].mean((1, 2, 3)) > drawn.mean((1, 2, 3))
    assert 0.2 < brighter_middle.float().mean() < 0.8


def test_contrast_and_size_only_grow() -> None:
    fractions = [step / 20 for step in range(21)]
    contrasts = [background_contrast(fraction) for fraction in fractions]
    sides = [image_side_px(fraction, 64) for fraction in fractions]
    assert contrasts == sorted(contrasts)
    assert (contrasts[0], contrasts[-1]) == (0.1, 1)
    assert sides == sorted(sides)
    assert (sides[0], sides[-1]) == (48, 64)


def test_learning_rate_peaks_after_the_warm_up_and_ends_low() -> None:
    rates = [learning_rate(step / 1000, peak=2.0) for step in range(1001)]
    assert max(rates) == pytest.approx(2, rel=0.01)
    assert rates[0] < 0.2
    assert rates[-1] == pytest.approx(0.02)


def test_a_saved_backbone_fills_its_layout_and_stays_small(tmp_path: Path) -> None:
    out = tmp_path / "weights.safetensors"
    net = resnet18(24, 200)
    save_backbone(net, out, CARD)
    empty = resnet18(24, 2)
    empty.fc = nn.Identity()
    empty.load_state_dict(load_file(out), strict=True)
    assert out.stat().st_size <= 4_000_000
    probe = torch.rand(2, 3, 32, 32)
    net.fc = nn.Identity()
    assert torch.allclose(net.eval()(probe), empty.eval()(probe), atol=0.02)


def test_only_weights_outside_batch_norms_are_halved(tmp_path: Path) -> None:
    save_backbone(resnet18(4, 2), tmp_path / "w.safetensors", CARD)
    stored = load_file(tmp_path / "w.safetensors")
    assert stored["conv1.weight"].dtype == torch.float16
    assert stored["layer2.0.downsample.0.weight"].dtype == torch.float16
    assert stored["bn1.running_var"].dtype == torch.float32
    assert stored["layer2.0.downsample.1.running_mean"].dtype == torch.float32


def test_the_card_tells_what_is_in_the_file(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    save_backbone(resnet18(24, 2), out, CARD)
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert card["bytes"] == out.stat().st_size
    assert card["parameters"] == sum(p.numel() for p in resnet18(24, 1).parameters()) - 193
    assert card["knows"] == "shapes and textures, not objects"
    with safe_open(out, "pt") as stored:
        assert stored.metadata()["layout"] == "resnet18"
        assert json.loads(stored.metadata()["mean"]) == card["mean"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.json", "w.safetensors"]


def test_equal_weights_make_equal_files(tmp_path: Path) -> None:
    net = resnet18(4, 2)
    for number in range(5):
        save_backbone(net, tmp_path / f"{number}.safetensors", CARD)
    assert len({path.read_bytes() for path in tmp_path.glob("*.safetensors")}) == 1


def test_pretraining_repeats_byte_for_byte() -> None:
    first, second = (finish(trained(SMALL, 4)[0], SMALL) for _ in range(2))
    assert weights(first) == weights(second)
    assert weights(first) != weights(start(SMALL, CPU).average)


def test_resuming_equals_never_stopping(tmp_path: Path) -> None:
    straight, _ = trained(SMALL, 4)
    run, progress = trained(SMALL, 2)
    write_checkpoint(run, SMALL, progress, tmp_path / "half.resume")
    resumed = start(SMALL, CPU)
    stored = read_checkpoint(resumed, SMALL, tmp_path / "half.resume")
    assert stored == progress
    assert advance_to(resumed, SMALL, stored, 4).images == 4 * 2 * SMALL.batch
    assert weights(finish(resumed, SMALL)) == weights(finish(straight, SMALL))


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    run, progress = trained(SMALL, 1)
    write_checkpoint(run, SMALL, progress, tmp_path / "half.resume")
    other = replace(SMALL, seed=1)
    with pytest.raises(ValueError, match="same arguments"):
        read_checkpoint(start(other, CPU), other, tmp_path / "half.resume")


def test_replicas_share_their_weights_while_they_learn() -> None:
    run, _ = trained(SMALL, 2)
    first, second = run.replicas
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_restated_norms_centre_what_they_saw() -> None:
    batches = [3 + 2 * torch.randn(64, 3, 8, 8, generator=seeded(CPU, i)) for i in range(4)]
    norm = restate_norms(nn.Sequential(nn.BatchNorm2d(3)), batches)
    seen = norm(torch.cat(batches))
    assert seen.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-4)
    assert seen.std((0, 2, 3)).tolist() == pytest.approx([1] * 3, abs=1e-2)


def test_the_command_writes_both_files_and_leaves_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tiny.safetensors"
    main(["--out", str(out), "--steps", "1", "--width", "2", "--input-px", "32", "--threads", "1"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.json", "tiny.safetensors"]
    assert json.loads(out.with_suffix(".json").read_text())["device"] == "1 CPU core"
    assert "saved" in capsys.readouterr().err


def test_a_layout_of_no_width_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        resnet18(0, 2)


def test_classes_count_both_families() -> None:
    assert len(Classes(torch.zeros(3, 4, 6), torch.zeros(3, 4), torch.zeros(2, 8))) == 5
