"""Mouths and eyes as a discriminator sees them: a real frame in which the result replaces their inside alone.

A discriminator of whole pictures finds easier differences first.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mcnet_cli.face.topology import MOUTH_OUTLINE
from mcnet_cli.training.discriminator import with_constants
from mcnet_cli.training.losses import LEFT_EYE, RIGHT_EYE

EDGE = 0.012  # how far over lips or lids a mask falls to a half, in sides of the picture
Outline = tuple[int, ...]  # landmarks around an opening
Opinion = tuple[Tensor, list[Tensor]]


@dataclass(frozen=True, slots=True)
class Kind:
    """Openings that look alike.

    outlines: of those in a face. least: share of the picture from which on one counts as open.
    grows: the source's opening has less than this share of the driving's area, or there is little to paint.
    """

    name: str
    outlines: tuple[Outline, ...]
    least: float
    grows: float

    def opened(self, before: NDArray[np.float32], after: NDArray[np.float32], size: int) -> list[Outline]:
        """The outlines that are open in the driving, and less so in the source.

        before, after: (478, 2) landmarks of source and driving, in pixels of pictures of side `size`.
        """
        return [
            outline
            for outline in self.outlines
            if cv2.contourArea(after[[*outline]]) >= self.least * size**2
            and cv2.contourArea(before[[*outline]]) < self.grows * cv2.contourArea(after[[*outline]])
        ]


MOUTHS = Kind("mouths", (MOUTH_OUTLINE,), least=0.0003, grows=0.6)
EYES = Kind("eyes", (LEFT_EYE, RIGHT_EYE), least=0.0008, grows=0.45)


def inside_mask(points: Tensor, outline: Outline, size: int) -> Tensor:
    """(1, 1, S, S) in [0, 1]: between lips or lids and a little over them, softly.

    points: (478, 2) landmarks in [-1, 1].
    """
    pixels = (points[list(outline)].numpy() + 1) * ((size - 1) / 2)
    kernel = 2 * max(1, round(EDGE * size)) + 1
    inside = np.zeros((size, size), np.uint8)
    cv2.fillPoly(inside, [pixels.round().astype(np.int32)], 1)
    wide = cv2.dilate(inside, np.ones((kernel, kernel), np.uint8)).astype(np.float32)
    return torch.from_numpy(cv2.GaussianBlur(wide, (kernel, kernel), 0))[None, None]


@dataclass(frozen=True, slots=True)
class Openings:
    """Pictures around openings and their masks: (N, 3, s, s) and (N, 1, s, s)."""

    pictures: Tensor
    masks: Tensor

    def __getitem__(self, rows: slice) -> "Openings":
        """Some of them."""
        return Openings(self.pictures[rows], self.masks[rows])

    def with_inside(self, made: Tensor) -> "Openings":
        """The same, with another picture under the masks."""
        return Openings(self.pictures + self.masks * (made - self.pictures), self.masks)


class OpeningDiscriminator(nn.Module):
    """Judges the inside of openings by patches of two sizes."""

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

    def forward(self, openings: Openings) -> Opinion:
        """(N,) scores, over 0 for real, of what is under the masks; the features of each block."""
        x, features = torch.cat([4 * openings.pictures - 2, openings.masks], 1), []
        for block in self.blocks:
            x = F.leaky_relu(block(x), 0.2)
            features.append(x)
        scores = inside(self.fine(features[1]), openings.masks) + inside(self.coarse(x), openings.masks)
        return scores, features

    def as_critic(self, openings: Openings) -> Opinion:
        """The same with gradient for the pictures alone: what trains the generator leaves the rest be."""
        opinion: Opinion = with_constants(self, openings)
        return opinion

    def loss(self, real: Openings, made: Openings) -> Tensor:
        """What the discriminator minimises: the logistic loss (GAN, NeurIPS 2014)."""
        (seems_real, _), (seems_made, _) = self(real), self(made)
        return F.softplus(-seems_real).mean() + F.softplus(seems_made).mean()

    def roughness(self, real: Openings) -> Tensor:
        """How steeply its scores of real openings change with their pixels, squared.

        Kept low, it doesn't learn them by heart (R1; Mescheder et al., ICML 2018).
        """
        pictures = real.pictures.detach().requires_grad_()
        scores, _ = self(Openings(pictures, real.masks))
        (slope,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()

    def generator_losses(self, real: Openings, made: Openings) -> tuple[Tensor, Tensor]:
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
