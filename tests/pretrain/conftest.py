"""What the tests of pre-training share."""

import torch

CPU = torch.device("cpu")
