"""Open mouths that look real, by a discriminator of their own.

What a mouth shows that was closed can't be known. Errors are least for the mean of all that may be there, a
grey smear. A discriminator of whole pictures finds easier differences first, so this one sees the real frame,
in which the prediction replaces the inside of the mouth alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.training import losses
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.discriminator import Judgement

PART = 4  # a crop's side is the picture's over this
LEAST = 0.0003  # share of the picture from which on a mouth counts as open
EDGE = 0.012  # how far the inside reaches over the lips, in sides of the picture


@dataclass(frozen=True, slots=True)
class Mouths:
    """The open mouths of a batch, none to all of its B. real, made: (N, 4, S/4, S/4), RGB and the mask.

    made: the real crop with the prediction under the mask.
    """

    real: Tensor
    made: Tensor


def open_mouths(prediction: Tensor, batch: Batch) -> Mouths:
    """Cuts the mouths that are open in the driving out of (B, 3, S, S) predictions and the real frames."""
    size, real = prediction.shape[-1], batch.driving
    masks = _insides(batch.driving_points, size)
    rows = torch.nonzero(masks.amax((1, 2, 3)))[:, 0]
    side = size // PART
    theta = torch.zeros(len(rows), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = (side - 1) / (size - 1)
    reach = 1 - (side - 1) / (size - 1)
    theta[:, :, 2] = batch.driving_points[rows][:, list(losses.INNER_LIPS)].mean(1).clamp(-reach, reach)
    theta, rows, masks = theta.to(real.device), rows.to(real.device), masks.to(real.device)
    prediction, real, masks = (losses.crop(p[rows].float(), theta, side) for p in (prediction, real, masks))
    made = real + masks * (prediction - real)
    return Mouths(torch.cat([real, masks], 1), torch.cat([made, masks], 1))


def _insides(points: Tensor, size: int) -> Tensor:
    """(B, 1, S, S) in [0, 1]: between the lips and a little over them, softly; 0 for a shut mouth."""
    pixels = (points[:, list(losses.INNER_LIPS)].numpy() + 1) * ((size - 1) / 2)
    reach = max(1, round(EDGE * size))
    kernel = 2 * reach + 1
    masks = np.zeros((len(points), 1, size, size), np.float32)
    for mask, outline in zip(masks[:, 0], pixels, strict=True):
        if cv2.contourArea(outline) >= LEAST * size * size:
            inside = np.zeros((size, size), np.uint8)
            cv2.fillPoly(inside, [outline.round().astype(np.int32)], 1)
            wide = cv2.dilate(inside, np.ones((kernel, kernel), np.uint8)).astype(np.float32)
            mask[:] = cv2.GaussianBlur(wide, (kernel, kernel), 0)
    return torch.from_numpy(masks)


class MouthDiscriminator(nn.Module):
    """Judges the inside of mouths at two scales of patches: (N, 4, S/4, S/4), as `Mouths` has them."""

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

    def forward(self, mouths: Tensor) -> Judgement:
        """Its scores are (N,): means over the mask."""
        rgb, mask = mouths[:, :3], mouths[:, 3:]
        x, features = torch.cat([4 * rgb - 2, mask], 1), []
        for block in self.blocks:
            x = F.leaky_relu(block(x), 0.2)
            features.append(x)
        scores = _inside(self.fine(features[1]), mask) + _inside(self.coarse(x), mask)
        return Judgement(scores, tuple(features))

    def as_critic(self, mouths: Tensor) -> Judgement:
        """The same with gradient for the mouths alone: what trains the generator leaves the rest be."""
        constants = {name: parameter.detach() for name, parameter in self.named_parameters()}
        judgement: Judgement = torch.func.functional_call(self, constants, (mouths,))
        return judgement


class MouthObjective(nn.Module):
    """What the discriminator minimises after the generator's step (logistic loss; GAN, NeurIPS 2014)."""

    def __init__(self, discriminator: MouthDiscriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, batch: Batch, mouths: Mouths) -> Tensor:
        """The mean over the mouths; 0 where no mouth is open."""
        real, made = self.discriminator(mouths.real), self.discriminator(mouths.made.detach())
        loss: Tensor = F.softplus(-real.scores.float()).sum() + F.softplus(made.scores.float()).sum()
        return loss / max(1, len(mouths.real))


def mouth_losses(discriminator: MouthDiscriminator, mouths: Mouths) -> tuple[Tensor, Tensor]:
    """The generator's side: predictions seem real, their features are the real frame's (pix2pixHD)."""
    made, mask = discriminator.as_critic(mouths.made), mouths.real[:, 3:]
    with torch.no_grad():
        real = discriminator.as_critic(mouths.real)
    count = max(1, len(mouths.real))
    differences = [
        _inside((goal - found).abs().mean(1, keepdim=True), mask).sum() / count
        for goal, found in zip(real.features, made.features, strict=True)
    ]
    return F.softplus(-made.scores.float()).sum() / count, torch.stack(differences).sum()


def _inside(maps: Tensor, mask: Tensor) -> Tensor:
    """(N,) means of (N, 1, h, w) maps over a (N, 1, H, W) mask."""
    share = F.adaptive_avg_pool2d(mask, (maps.shape[2], maps.shape[3]))
    return (maps * share).sum((1, 2, 3)) / share.sum((1, 2, 3)).clamp_min(1e-3)
