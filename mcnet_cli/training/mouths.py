"""Open mouths as a discriminator sees them: a real frame in which the result replaces their inside alone.

A discriminator of whole pictures finds easier differences first.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.training.discriminator import with_constants
from mcnet_cli.training.losses import INNER_LIPS

LEAST = 0.0003  # share of the picture from which on a mouth counts as open
EDGE = 0.012  # how far over the lips a mask falls to a half, in sides of the picture
Opinion = tuple[Tensor, list[Tensor]]


def mouth_masks(points: Tensor, size: int) -> Tensor:
    """(B, 1, S, S) in [0, 1]: between the lips and a little over them, softly; 0 for a shut mouth.

    points: (B, 478, 2) landmarks in [-1, 1].
    """
    pixels = (points[:, list(INNER_LIPS)].numpy() + 1) * ((size - 1) / 2)
    kernel = 2 * max(1, round(EDGE * size)) + 1
    masks = np.zeros((len(points), 1, size, size), np.float32)
    for mask, outline in zip(masks[:, 0], pixels, strict=True):
        if cv2.contourArea(outline) >= LEAST * size * size:
            inside = np.zeros((size, size), np.uint8)
            cv2.fillPoly(inside, [outline.round().astype(np.int32)], 1)
            wide = cv2.dilate(inside, np.ones((kernel, kernel), np.uint8)).astype(np.float32)
            mask[:] = cv2.GaussianBlur(wide, (kernel, kernel), 0)
    return torch.from_numpy(masks)


@dataclass(frozen=True, slots=True)
class Mouths:
    """Mouths and their masks: (N, 3, s, s) and (N, 1, s, s)."""

    pictures: Tensor
    masks: Tensor

    def with_inside(self, made: Tensor) -> "Mouths":
        """The same, with another picture under the masks."""
        return Mouths(self.pictures + self.masks * (made - self.pictures), self.masks)


class MouthDiscriminator(nn.Module):
    """Judges the inside of mouths by patches of two sizes."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                nn.Conv2d(4, width, 4, 2, 1),
                nn.Conv2d(width, 2 * width, 4, 2, 1),
                nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
                nn.Conv2d(4 * width, 4 * width, 3, padding=1),
            ]
        )
        self.fine = nn.Conv2d(2 * width, 1, 3, padding=1)
        self.coarse = nn.Conv2d(4 * width, 1, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # torch's own initial values are so small that it learns late
                nn.init.kaiming_normal_(module.weight, 0.2)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, mouths: Mouths) -> Opinion:
        """(N,) scores, over 0 for real, of what is under the masks; the features of each block."""
        x, features = torch.cat([4 * mouths.pictures - 2, mouths.masks], 1), []
        for block in self.blocks:
            x = F.leaky_relu(block(x), 0.2)
            features.append(x)
        scores = inside(self.fine(features[1]), mouths.masks) + inside(self.coarse(x), mouths.masks)
        return scores, features

    def as_critic(self, mouths: Mouths) -> Opinion:
        """The same with gradient for the mouths alone: what trains the generator leaves the rest be."""
        opinion: Opinion = with_constants(self, mouths)
        return opinion

    def loss(self, real: Mouths, made: Mouths) -> Tensor:
        """What the discriminator minimises: the logistic loss (GAN, NeurIPS 2014)."""
        (seems_real, _), (seems_made, _) = self(real), self(made)
        return F.softplus(-seems_real).mean() + F.softplus(seems_made).mean()

    def roughness(self, real: Mouths) -> Tensor:
        """How steeply its scores of real mouths change with their pixels, squared.

        Kept low, it doesn't learn the mouths by heart (R1; Mescheder et al., ICML 2018).
        """
        pictures = real.pictures.detach().requires_grad_()
        scores, _ = self(Mouths(pictures, real.masks))
        (slope,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()

    def generator_losses(self, real: Mouths, made: Mouths) -> tuple[Tensor, Tensor]:
        """The generator's side: that `made` seems real, and has the real one's features (pix2pixHD)."""
        scores, found = self.as_critic(made)
        with torch.no_grad():
            _, wanted = self(real)
        differences = [
            inside((goal - feature).abs().mean(1, keepdim=True), real.masks).mean()
            for goal, feature in zip(wanted, found, strict=True)
        ]
        return F.softplus(-scores).mean(), torch.stack(differences).sum()


def inside(maps: Tensor, masks: Tensor) -> Tensor:
    """(N,) means of (N, 1, h, w) maps over (N, 1, H, W) masks."""
    share = F.adaptive_avg_pool2d(masks, (maps.shape[2], maps.shape[3]))
    return (maps * share).sum((1, 2, 3)) / share.sum((1, 2, 3)).clamp_min(1e-3)
