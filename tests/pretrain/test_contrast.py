"""Learning without labels: the right column wins, whatever the batch, and nothing else is counted."""

import torch
from torch import nn

from tasks.pretrain.contrast import TEMPERATURE, Contrastive


class Given(nn.Module):
    """A backbone that gives each image's first pixel values as features."""

    features = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0]


def contrast() -> Contrastive:
    made = Contrastive(Given())  # type: ignore[arg-type]
    made.projection = nn.Identity()
    return made


def pairs(*views: tuple[list[float], list[float]]) -> torch.Tensor:
    return torch.tensor(views)[..., None, None]


def test_the_other_view_is_in_the_first_column():
    logits = contrast()(pairs(([1, 0, 0], [1, 0, 0]), ([0, 1, 0], [0, 1, 0])))
    assert torch.allclose(logits[:, 0], torch.tensor([1.0, 1.0]) / TEMPERATURE)


def test_an_images_own_views_are_no_others_of_it():
    logits = contrast()(pairs(([1, 0, 0], [1, 0, 0]), ([0, 1, 0], [0, 1, 0]), ([0, 0, 1], [0, 0, 1])))
    finite = logits[:, 1:].isfinite()
    assert finite.sum(1).tolist() == [4, 4, 4]
    assert not finite[0, [0, 3]].any()
    assert torch.allclose(logits[:, 1:][finite], torch.zeros(12))


def test_the_loss_is_finite_and_falls_where_views_come_nearer():
    far = contrast()(pairs(([1, 0, 0], [0, 0, 1]), ([0, 1, 0], [1, 0, 0])))
    near = contrast()(pairs(([1, 0, 0], [1, 0, 0.1]), ([0, 1, 0], [0.1, 1, 0])))
    right = torch.zeros(2, dtype=torch.long)
    losses = [nn.functional.cross_entropy(logits, right) for logits in (far, near)]
    assert torch.isfinite(losses[0])
    assert losses[1] < losses[0]
