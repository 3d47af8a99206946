"""Structure by hand-made networks of shapes that torchvision has not, and what is refused."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from tasks.backbone.heads import Cosine
from tasks.backbone.network import Backbone, TransferNet, set_stochastic_depth
from tasks.contracts.errors import BadUsage

SIDE_PX = 32


class Merge(nn.Module):
    """Halve the side of NHWC maps and double their channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        corners = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        return self.reduction(torch.cat(corners, -1))


class Block(nn.Module):
    """A residual branch on the last dimension; `path` is what timm calls DropPath."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, width)
        self.gamma = nn.Parameter(torch.ones(width))
        self.path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(self.gamma * self.fc(self.norm(x)))


class DropPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop_prob = 0.0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1)) >= self.drop_prob
        return x * kept / (1 - self.drop_prob)


class Embed(nn.Module):
    """Patches as NHWC maps, or as tokens."""

    def __init__(self, width: int, tokens: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 4, 4)
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x).permute(0, 2, 3, 1)
        return x.flatten(1, 2) if self.tokens else x


class Pooled(nn.Module):
    """timm's classifier module: pooling, dropout and the layer itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(width, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(x.flatten(1, -2).mean(1)))


def hierarchical() -> nn.Module:
    """NHWC throughout, with a classifier module, as timm's Swin."""
    return nn.Sequential(
        Embed(8, tokens=False), Block(8), Merge(8), Block(16), Merge(16), Block(32), nn.LayerNorm(32), Pooled(32)
    )


class Tokens(nn.Module):
    """As timm's ViT: the class token is the network's own, the head a layer of it."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.patch_embed = Embed(8, tokens=True)
        self.norm_pre = nn.Identity()
        self.blocks = nn.ModuleList(Block(8) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        x = self.norm_pre(torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head, self.head_dist = nn.Linear(4, 7), nn.Linear(4, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x).mean((2, 3))
        return (self.head(x) + self.head_dist(x)) / 2


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.extra = nn.Linear(4, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean((2, 3))


class NormAfter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.fc(x.mean((2, 3))))


def test_maps_with_their_channels_last_are_cut_by_their_side():
    backbone = Backbone(hierarchical(), SIDE_PX)
    assert [(stage.end, stage.channels, stage.side) for stage in backbone.stages] == [
        ("1", 8, 8),
        ("3", 16, 4),
        ("6", 32, 2),
    ]
    assert backbone(torch.rand(2, 3, SIDE_PX, SIDE_PX)).shape == (2, backbone.features)
    assert TransferNet(backbone, 4)(torch.rand(2, 3, SIDE_PX, SIDE_PX)).shape == (2, 4)


def test_each_block_that_hands_tokens_on_is_a_stage():
    backbone = Backbone(Tokens(), SIDE_PX)
    assert [stage.end for stage in backbone.stages] == ["norm_pre", "blocks.0", "blocks.1", "blocks.2"]
    assert backbone.stages[0].modules == ("", "patch_embed", "patch_embed.proj", "norm_pre", "blocks")
    assert backbone.stages[1].modules == ("blocks.0", "blocks.0.norm", "blocks.0.fc", "blocks.0.path")
    assert backbone.tail == ("norm", "head")
    assert backbone.features == 8


def test_features_of_a_vit_tell_where_a_patch_lies():
    """Its patches, averaged before the first block, would not; and no more than the head sees is kept."""
    backbone = Backbone(Tokens(), SIDE_PX).eval()
    images = torch.rand(2, 3, SIDE_PX, SIDE_PX)
    assert torch.equal(backbone(images), backbone.network(images))


@pytest.mark.parametrize(
    ("network", "named"), [(TwoHeads(), "head_dist"), (Unused(), "extra"), (NormAfter(), "norm follows")]
)
def test_a_network_without_one_head_at_its_end_is_refused(network, named):
    with pytest.raises(BadUsage, match=named) as caught:
        Backbone(network, SIDE_PX)
    assert str(caught.value).isprintable()


def test_a_side_that_the_network_does_not_take_is_refused():
    with pytest.raises(BadUsage, match="no image of 30 px"):
        Backbone(hierarchical(), 30)


@pytest.mark.parametrize(("stages", "features"), [(1, 512), (2, 768), (3, 896), (9, 64 + 64 + 128 + 256 + 512)])
def test_features_of_one_stage_or_many(stages, features):
    backbone = Backbone(resnet18(), 64, feature_stages=stages)
    assert backbone.features == features
    assert backbone(torch.rand(2, 3, 64, 64)).shape == (2, features)


def test_linear_head_keeps_the_names_of_its_tensors():
    names = {name for name in TransferNet(Backbone(resnet18(), 64), 3).state_dict() if name.startswith("head")}
    assert names == {
        *(f"head.0.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")),
        "head.2.weight",
        "head.2.bias",
    }


@pytest.mark.parametrize("kind", ["linear", "cosine", "mlp"])
def test_every_head_learns_to_tell_two_classes(kind):
    torch.manual_seed(0)
    head = TransferNet(Backbone(hierarchical(), SIDE_PX), 2, 0.1, kind).head.train()
    features, targets = torch.randn(64, 8 + 32), torch.arange(64) % 2
    features[:, 0] += 3.0 * targets
    optimizer = torch.optim.AdamW(head.parameters(), 0.02)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features), targets).backward()
        optimizer.step()
    assert (head.eval()(features).argmax(1) == targets).float().mean() > 0.95


def test_cosine_scores_depend_on_directions_alone():
    head = Cosine(5, 3)
    features = torch.rand(4, 5)
    with torch.no_grad():
        scores = head(features)
        assert scores.abs().max() <= head.scale
        head.weight[1] *= 7
        assert torch.allclose(head(3 * features), scores, atol=1e-5)


def test_stochastic_depth_rises_from_stem_to_end():
    network = hierarchical()
    assert set_stochastic_depth(network, 0.2) == 3
    assert [network[i].path.drop_prob for i in (1, 3, 5)] == [0.0, 0.1, 0.2]
    assert set_stochastic_depth(resnet18(), 0.2) == 0
    with pytest.raises(ValueError, match="rate"):
        set_stochastic_depth(network, 1.0)
