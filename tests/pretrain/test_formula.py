"""Laws of the drawn images."""

import pytest
import torch
from torch import Tensor

from tasks.pretrain.drawn import DrawnBatches, difficulty, positions
from tasks.pretrain.draws import seeded
from tasks.pretrain.formula import Drawn, make_world, render
from tasks.pretrain.shapes import draw_clouds, sample_shapes, walk
from tasks.pretrain.textures import sample_textures, weave
from tests.pretrain.conftest import CPU

COUNT = 80
ALONE = 16  # of COUNT, textures with no shape


def drawn(seed: int, hard: float = 1.0, side: int = 32, count: int = COUNT) -> Drawn:
    scene = make_world(7, shapes=8, textures=4, device=CPU).scene(side, seeded(CPU, 7))
    return render(scene, count, side, hard, seeded(CPU, seed))


def test_the_same_key_draws_the_same_pixels():
    assert torch.equal(drawn(1).images, drawn(1).images)


def test_another_key_draws_other_pixels():
    assert not torch.equal(drawn(1).images, drawn(2).images)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    drawn(1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_seed_samples_other_classes():
    one, other = (make_world(seed, 8, 4, CPU) for seed in (1, 2))
    assert not torch.equal(one.shapes.maps, other.shapes.maps)
    assert not torch.equal(one.shapes.orbits, other.shapes.orbits)
    assert not torch.equal(one.textures, other.textures)
    assert len(one) == 12


@pytest.mark.parametrize(("side", "hard"), [(32, 0.0), (32, 1.0), (48, 0.5)])
def test_images_are_colour_fractions(side, hard):
    images = drawn(3, hard, side).images
    assert images.shape == (COUNT, 3, side, side)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1


def test_shapes_have_the_first_labels_and_textures_the_others():
    found = drawn(4)
    assert set(found.labels[:ALONE].tolist()) <= {8, 9, 10, 11}
    assert set(found.labels[ALONE:].tolist()) <= set(range(8))


def test_where_a_shape_lies_on_a_texture_both_are_the_target():
    found = drawn(4)
    both = found.shares < 1
    assert both.sum() == 24
    assert set(found.partners[both].tolist()) <= {8, 9, 10, 11}
    assert torch.equal(found.partners[~both], found.labels[~both])
    assert not (drawn(4, hard=0.0).shares < 1).any()


def test_an_affine_half_leads_to_its_fixed_point():
    # x' = x / 2 + 1, y' = y / 2 - 3 has the fixed point (2, -6).
    maps = torch.tensor([0.5, 0, 0, 0.5, 1, -3]).expand(1, 4, 6)
    end = walk(maps, torch.full((1, 4), 0.25), points=64, generator=seeded(CPU, 1))
    assert end[0].mean(1).tolist() == pytest.approx([2, -6], abs=1e-2)


def test_sampled_maps_never_stretch():
    shapes = sample_shapes(ifs=64, contours=0, generator=seeded(CPU, 11))
    stretch = torch.linalg.svdvals(shapes.maps[..., :4].reshape(-1, 2, 2))
    assert stretch.max() <= 1 + 1e-5
    assert shapes.chances.sum(1).tolist() == pytest.approx([1] * 64)


@pytest.mark.parametrize(("ifs", "contours"), [(0, 3), (3, 0)])
def test_one_family_alone_can_be_drawn(ifs, contours):
    shapes = sample_shapes(ifs, contours, seeded(CPU, 7))
    assert draw_clouds(shapes, 8, 2, seeded(CPU, 1)).shape == (3, 2, 2, 128)


def test_shapes_of_one_class_are_more_alike_than_those_of_two():
    shapes = sample_shapes(ifs=8, contours=8, generator=seeded(CPU, 7))
    masks = occupancy(draw_clouds(shapes, 64, variants=4, generator=seeded(CPU, 9)))
    assert likeness_within(masks.flatten(0, 1), each=4) < 0.6


def test_textures_of_one_class_have_spectra_more_alike_than_those_of_two():
    rows = sample_textures(16, seeded(CPU, 3)).repeat_interleave(4, 0)
    levels = weave(rows, 64, seeded(CPU, 4))
    assert 0 <= levels.min() < levels.max() <= 1
    spectra = torch.fft.rfft2(levels - levels.mean((1, 2), keepdim=True)).abs()
    pooled = torch.nn.functional.avg_pool2d(spectra[:, None, :, :32], 4)[:, 0].flatten(1)
    assert likeness_within(pooled / pooled.norm(dim=1, keepdim=True), each=4) < 0.7


def likeness_within(values: Tensor, each: int) -> float:
    """The mean distance within groups of `each` rows, as a share of that between groups."""
    distance = torch.cdist(values, values)
    owner = torch.arange(len(values)) // each
    same = owner[:, None] == owner
    off = ~torch.eye(len(values), dtype=torch.bool)
    return float(distance[same & off].mean() / distance[~same].mean())


def occupancy(clouds: Tensor) -> Tensor:
    """Share of points in each cell of a 12 x 12 grid over [-1.2, 1.2]: (classes, variants, 144)."""
    cell = ((clouds + 1.2) * 5).long().clamp(0, 11)
    index = cell[:, :, 0] * 12 + cell[:, :, 1]
    return torch.zeros(*clouds.shape[:2], 144).scatter_add_(2, index, torch.ones(index.shape))


def test_easy_images_have_calm_grounds():
    def roughness(hard: float) -> float:
        corner = drawn(4, hard).images[-32:, :, :4, :4]  # shapes on no texture
        return corner.std((2, 3)).mean().item()

    assert roughness(0.1) < 0.5 * roughness(1.0)


def test_hard_images_are_also_dark_on_light_and_grey():
    images = drawn(6, count=400).images[-200:]
    grey = (images.amax(1) - images.amin(1)).amax((1, 2)) < 1e-3
    assert 0.05 < grey.float().mean() < 0.35
    brighter_middle = images[..., 12:20, 12:20].mean((1, 2, 3)) > images.mean((1, 2, 3))
    assert 0.2 < brighter_middle.float().mean() < 0.8


def test_difficulty_only_grows():
    hard = [difficulty(step / 20) for step in range(21)]
    assert hard == sorted(hard)
    assert (hard[0], hard[-1]) == (0.1, 1)


def batches(epochs: int, epoch: int, first: int = 0) -> list[Tensor]:
    samples = positions(60)
    made = DrawnBatches(make_world(7, 8, 4, CPU), samples, 32, 24, CPU, epochs)
    parts = [samples.rows[start : start + 20] for start in range(first, 60, 20)]
    return [batch.inputs for batch in made.epoch(parts, seed=3, epoch=epoch)]


def test_an_epoch_that_goes_on_half_way_draws_what_it_would_have_drawn():
    assert torch.equal(batches(4, 1)[2], batches(4, 1, first=40)[0])


def test_no_two_epochs_are_alike_and_validation_is_like_none():
    assert not torch.equal(batches(4, 1)[0], batches(4, 2)[0])
    assert not torch.equal(batches(0, 3)[0], batches(4, 3)[0])
    sides = [batches(10, epoch)[0].shape[-1] for epoch in (0, 7, 8, 9)]
    assert sides == [24, 24, 32, 32]
    assert batches(0, 0)[0].shape[-1] == 32
