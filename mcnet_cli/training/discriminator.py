"""Discriminators of real and generated pictures: of frames (FOMM, NeurIPS 2019), and of mouths and eyes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mcnet_cli.model import Keypoints
from mcnet_cli.model.geometry import gaussian_heatmaps

VARIANCE = 0.01
InsideJudgement = tuple[Tensor, list[Tensor]]  # scores and features


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the discriminator says of (B, 3, H, W) frames.

    scores: (B, 1, h, w), towards 1 for real. features: of each block, after activation and pooling.
    """

    scores: Tensor
    features: tuple[Tensor, ...]


class _Block(nn.Module):
    """An unpadded convolution of 4, maybe instance norm, leaky ReLU, maybe average pooling by 2."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4)
        self.norm = nn.InstanceNorm2d(outputs, affine=True) if norm else None
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.norm is not None:
            y = self.norm(y)
        y = F.leaky_relu(y, 0.2)
        return F.avg_pool2d(y, 2) if self.pool else y


class _ScaleDiscriminator(nn.Module):
    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        last = len(widths) - 1
        self.down_blocks = nn.ModuleList(
            _Block(widths[i - 1] if i else inputs, width, norm=i > 0, pool=i < last)
            for i, width in enumerate(widths)
        )
        self.conv = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> Judgement:
        features = []
        for block in self.down_blocks:
            x = block(x)
            features.append(x)
        return Judgement(self.conv(x), tuple(features))


class Discriminator(nn.Module):
    """A patch discriminator of frames together with Gaussian maps of their keypoints, at full scale.

    Parameter names are the official ones after `discriminator.`.
    """

    def __init__(self, keypoints: int, widths: tuple[int, ...] = (64, 128, 256, 512)) -> None:
        super().__init__()
        self.discs = nn.ModuleDict({"1": _ScaleDiscriminator(3 + keypoints, widths)})

    def forward(self, frames: Tensor, keypoints: Keypoints) -> Judgement:
        """(B, 3, H, W) frames in [0, 1] and their keypoints, which get no gradient from here."""
        size = (frames.shape[2], frames.shape[3])
        heatmaps = gaussian_heatmaps(keypoints.values.detach(), size, VARIANCE).to(frames.dtype)
        judgement: Judgement = self.discs["1"](torch.cat([frames, heatmaps], dim=1))
        return judgement

    def as_critic(self, frames: Tensor, keypoints: Keypoints) -> Judgement:
        """The judgement for the generator's loss: gradient reaches the frames, not the discriminator."""
        judgement: Judgement = with_constants(self, frames, keypoints)
        return judgement


@dataclass(frozen=True, slots=True)
class Insides:
    """Pictures around mouths or eyes and masks of their inside: (N, 3, s, s) and (N, 1, s, s)."""

    pictures: Tensor
    masks: Tensor


class InsideDiscriminator(nn.Module):
    """Judges the inside of mouths or eyes by patches of two sizes.

    It sees a real frame in which what was made replaces the inside alone: a discriminator of whole pictures
    finds easier differences first.
    """

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

    def forward(self, insides: Insides) -> InsideJudgement:
        """(N,) scores, over 0 for real, of what is under the masks; the features of each block."""
        x, features = torch.cat([4 * insides.pictures - 2, insides.masks], 1), []
        for block in self.blocks:
            x = F.leaky_relu(block(x), 0.2)
            features.append(x)
        scores = inside(self.fine(features[1]), insides.masks) + inside(self.coarse(x), insides.masks)
        return scores, features

    def as_critic(self, insides: Insides) -> InsideJudgement:
        """The judgement for the painter's loss: gradient reaches the pictures, not the discriminator."""
        judgement: InsideJudgement = with_constants(self, insides)
        return judgement

    def loss(self, real: Insides, made: Insides) -> Tensor:
        """What the discriminator minimises: the logistic loss (GAN, NeurIPS 2014)."""
        (seems_real, _), (seems_made, _) = self(real), self(made)
        return F.softplus(-seems_real).mean() + F.softplus(seems_made).mean()

    def roughness(self, real: Insides) -> Tensor:
        """R1 penalty: squared gradient of the scores of real insides by their pixels (Mescheder et al. 2018).

        It keeps the discriminator from memorising the real pictures.
        """
        pictures = real.pictures.detach().requires_grad_()
        scores, _ = self(Insides(pictures, real.masks))
        (slope,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean()

    def generator_losses(self, real: Insides, made: Insides) -> tuple[Tensor, Tensor]:
        """The generator's losses: adversarial, and feature matching with the real insides (pix2pixHD)."""
        scores, found = self.as_critic(made)
        with torch.no_grad():
            _, wanted = self(real)
        differences = [
            inside((goal - feature).abs().mean(1, keepdim=True), real.masks).mean()
            for goal, feature in zip(wanted, found, strict=True)
        ]
        return F.softplus(-scores).mean(), torch.stack(differences).sum()


class FeatureDiscriminator(nn.Module):
    """Judges the inside of mouths or eyes by a frozen network's features (Projected GANs, NeurIPS 2021).

    Fixed random mixtures of channels, and of coarser scales with finer ones, keep it from resting on the few
    features that tell real from made at once. It learns in few steps what single teeth look like.
    """

    def __init__(self, channels: Sequence[int], width: int = 64) -> None:
        """channels: of the features at each size, from the finest to the coarsest."""
        super().__init__()
        self.channels = nn.ModuleList(nn.Conv2d(count, width, 1, bias=False) for count in channels)
        self.scales = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in channels)
        for mixture in (*self.channels, *self.scales):
            nn.init.kaiming_normal_(mixture.weight, nonlinearity="linear")
            mixture.requires_grad_(False)
        coarsest = len(channels) - 1
        self.heads = nn.ModuleList(_head(width, halves=number < coarsest) for number in range(len(channels)))

    def forward(self, features: Sequence[Tensor], masks: Tensor) -> Tensor:
        """(N, L) scores, over 0 for real, of what is under (N, 1, H, W) masks, at each of L sizes.

        features: as `of_one_size` gives them.
        """
        mixed, scores = None, list[Tensor]()
        for number in reversed(range(len(features))):
            x = self.channels[number](features[number])
            if mixed is not None:
                size = (x.shape[2], x.shape[3])
                coarser = F.interpolate(mixed, size=size, mode="bilinear", align_corners=False)
                x = (x + coarser) * math.sqrt(0.5)
            mixed = self.scales[number](x)
            scores.append(inside(self.heads[number](mixed), masks))
        return torch.stack(scores[::-1], 1)

    def loss(self, real: Sequence[Tensor], made: Sequence[Tensor], masks: Tensor) -> Tensor:
        """What the discriminator minimises: the hinge loss of features of real and made pictures."""
        constant = [feature.detach() for feature in made]
        return F.relu(1 - self(real, masks)).mean() + F.relu(1 + self(constant, masks)).mean()

    def generator_loss(self, made: Sequence[Tensor], masks: Tensor) -> Tensor:
        """The painter's loss: gradient reaches the features, not the discriminator."""
        scores: Tensor = with_constants(self, made, masks)
        return -scores.mean()


def _head(width: int, *, halves: bool) -> nn.Sequential:
    """What tells real from made at one size."""
    first = [nn.Conv2d(width, width, 4, 2, 1)] if halves else []
    layers = list[nn.Module]()
    for convolution in (*first, nn.Conv2d(width, width, 3, padding=1)):
        layers += [spectral_norm(convolution), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 3, padding=1)))


def of_one_size(features: Sequence[Tensor]) -> list[Tensor]:
    """A network's features, finest first, without the last; those of one size are joined to one tensor.

    Each is divided by its mean size, (N, C, h, w) in float32.
    """
    found: list[Tensor] = []
    for feature in features[:-1]:
        feature = feature.float()
        feature = feature / feature.detach().square().mean().sqrt().clamp_min(1e-3)
        if found and found[-1].shape[2:] == feature.shape[2:]:
            found[-1] = torch.cat([found[-1], feature], 1)
        else:
            found.append(feature)
    return found


def inside(maps: Tensor, masks: Tensor) -> Tensor:
    """(N,) means of (N, 1, h, w) maps over (N, 1, H, W) masks."""
    share = F.adaptive_avg_pool2d(masks, (maps.shape[2], maps.shape[3]))
    return (maps * share).sum((1, 2, 3)) / share.sum((1, 2, 3)).clamp_min(1e-3)


def with_constants(module: nn.Module, *inputs: Any) -> Any:
    """The output of `module` with gradient for its inputs and none for its parameters."""
    constants = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return torch.func.functional_call(module, constants, inputs)
