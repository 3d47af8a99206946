"""Network layouts that torchvision does not offer at the size we ship."""

from typing import cast

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class NarrowResNet18(nn.Module):
    """torchvision's ResNet-18 with a free first width; its children carry torchvision's names.

    Takes images as float (batch, 3, height, width in px), gives logits (batch, classes).
    He et al., 2016 (Deep residual learning).
    """

    def __init__(self, width: int, classes: int) -> None:
        """Lay out stages of `width`, 2, 4 and 8 times `width` channels and one linear head."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Give the class logits (batch, classes) of images (batch, 3, height, width)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cast(Tensor, self.fc(self.avgpool(x).flatten(1)))


def resnet18(width: int, classes: int) -> nn.Module:
    """Build torchvision's ResNet-18 layout with a free first width and fresh random weights.

    A `width` of 64 is torchvision's own network: the state dict keys and shapes are the same.
    Weights start as in He et al., 2015 (fan out), drawn from torch's current generator.
    Raises ValueError when `width` or `classes` is below 1.
    """
    if width < 1 or classes < 1:
        raise ValueError(f"resnet18 needs width and classes of at least 1, got {width} and {classes}")
    net = NarrowResNet18(width, classes)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(inputs, outputs, stride, _shortcut(inputs, outputs, stride)),
        BasicBlock(outputs, outputs),
    )


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
