"""The loss of a step, term by term: the paper's first, then those of regions that the face mesh gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.face.openings import EYE_CONTOURS
from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.metrics.landmarks import INNER_LIPS
from mcnet_cli.model import Keypoints
from mcnet_cli.model.geometry import band_limited_downsample, full_precision, grid_sample
from mcnet_cli.model.memory import MemoryTrace
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.equivariance import RandomTransform

LEFT_EYE, RIGHT_EYE = EYE_CONTOURS
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
TRUSTED = 0.85  # at least the occlusion where the warped source shows the thing itself
CLOSED_MOUTH, CLOSED_EYE = 0.06, 0.03  # openings under these, in eye distances; narrow eyes have 0.05
MOUTH_BOX = (61, 291, 0, 17, 13, 14)
EYE_BOX = (33, 263, 159, 386, 145, 374, 105, 334)

PYRAMID = (1, 2, 4, 8)
SMALLEST_PX = 16  # the perceptual networks halve the picture four times
SEPARATION = 0.2


def perceptual_pyramid(network: PerceptualDistance, prediction: Tensor, target: Tensor) -> Tensor:
    """Difference of features of (B, 3, H, W) pictures, summed over layers and scales (FOMM, sec. 3.3).

    Scales are 1, 1/2, 1/4 and 1/8, as far as the picture keeps 16 pixels a side.
    """
    factors = [factor for factor in PYRAMID if target.shape[-1] // factor >= SMALLEST_PX]
    levels = [
        [band_limited_downsample(image, factor) for image in (prediction, target)] for factor in factors
    ]
    return torch.stack([network.differences([made], wanted).sum() for made, wanted in levels]).sum()


def equivariance_value(driving: Keypoints, transformed: Keypoints, transform: RandomTransform) -> Tensor:
    """Keypoints move with the picture: driving's against T of those of T∘driving (FOMM, sec. 3.3)."""
    return (driving.values - transform.warp_points(transformed.values)).abs().mean()


def equivariance_jacobian(driving: Keypoints, transformed: Keypoints, transform: RandomTransform) -> Tensor:
    """Jacobians turn with the picture: I - J(driving)⁻¹·∂T·J(T∘driving) (FOMM, sec. 3.3).

    ∂T is taken at the transformed picture's keypoints. ValueError for keypoints without jacobians.
    """
    if driving.jacobians is None or transformed.jacobians is None:
        raise ValueError("these keypoints have no jacobians")
    with full_precision(driving.jacobians):
        carried = transform.jacobian(transformed.values) @ transformed.jacobians
        product = torch.linalg.inv(driving.jacobians) @ carried
    error: Tensor = torch.eye(2, dtype=product.dtype, device=product.device) - product
    return error.abs().mean()


def keypoint_separation(keypoints: Keypoints, *, official: bool = False) -> Tensor:
    """The paper's keypoint distance: max(0, 0.2 - d) averaged over all ordered pairs.

    The hinge is that of face-vid2vid's keypoint prior (CVPR 2021). official: the published code's
    1 - sign(d - 0.2), which has no gradient anywhere.
    """
    offsets = keypoints.values[:, :, None] - keypoints.values[:, None]
    distances = torch.sqrt(offsets.square().sum(-1) + 1e-8)
    # a keypoint is not its own neighbour
    beyond = distances - SEPARATION + SEPARATION * torch.eye(distances.shape[-1], device=distances.device)
    return (1 - torch.sign(beyond)).mean() if official else F.relu(-beyond).mean()


def generator_gan(scores: Tensor) -> Tensor:
    """The generator's side of least squares: the prediction's scores towards 1 (Mao et al., ICCV 2017)."""
    return (1 - scores).square().mean()


def discriminator_gan(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's side: real scores towards 1, predictions' towards 0 (Mao et al., ICCV 2017)."""
    return ((1 - real).square() + fake.square()).mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Features of a prediction towards the real frame's, summed over maps (pix2pixHD, CVPR 2018)."""
    return torch.stack([(goal - made).abs().mean() for goal, made in zip(real, fake, strict=True)]).sum()


def landmark_distance(found: Keypoints, wanted: Tensor) -> Tensor:
    """Mean absolute distance of keypoints to (B, K, 2) landmarks."""
    return (found.values - wanted).abs().mean()


def feature_consistency(memory: tuple[MemoryTrace, ...]) -> Tensor:
    """Memory values towards the projected features they stand for (ICCV 2023, sec. 3.4)."""
    terms = []
    for trace in memory:
        size = trace.value.shape[2:]
        goal = F.interpolate(trace.projected, size, mode="bilinear", align_corners=True).detach()
        terms.append((goal - trace.value).abs().mean())
    return torch.stack(terms).sum()


def weighted_l1(image: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error of (B, 3, H, W) pictures under a (B, 1, H, W) weight."""
    return ((image - target).abs() * weight).sum() / (3 * weight.sum())


def region_weights(points: Tensor, size: int, inside: float = 9.0) -> Tensor:
    """(B, 1, S, S): `inside` in the boxes of the mouth and the lids, 1 elsewhere."""
    weight = torch.ones(len(points), 1, size, size)
    for box in (MOUTH_BOX, LEFT_EYE, RIGHT_EYE):
        pixels = (points[:, list(box)] + 1) * (size - 1) / 2
        margin = size * 0.025
        low = (pixels.amin(1) - margin).round().long().clamp(0, size - 1)
        high = (pixels.amax(1) + margin).round().long().clamp(0, size - 1)
        for row, (start, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            weight[row, :, start[1] : end[1] + 1, start[0] : end[0] + 1] = inside
    return weight


def crop_boxes(points: Tensor, size: int, side: int, rng: np.random.Generator) -> Tensor:
    """(B, 2, 3) affines of `side`-pixel crops around the mouth (60 %) or the eyes (40 %)."""
    theta = torch.zeros(len(points), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = (side - 1) / (size - 1)
    for row in range(len(points)):
        box = MOUTH_BOX if rng.random() < 0.6 else EYE_BOX
        theta[row, :, 2] = points[row, list(box)].mean(0)
    reach = 1 - (side - 1) / (size - 1)
    theta[:, :, 2] = theta[:, :, 2].clamp(-reach, reach)
    return theta


def crop(images: Tensor, theta: Tensor, side: int) -> Tensor:
    """(B, 3, side, side) cut out at (B, 2, 3) affines."""
    grid = F.affine_grid(theta, [len(images), 3, side, side], align_corners=True)
    return grid_sample(images, grid, align_corners=True)


@dataclass(frozen=True, slots=True)
class OpeningMasks:
    """(B, 1, S, S) each: inside openings that are new, inside those that stay, on the rest of the face."""

    changed: Tensor
    steady: Tensor
    skin: Tensor

    def to(self, device: torch.device) -> "OpeningMasks":
        """The same on a device."""
        return OpeningMasks(self.changed.to(device), self.steady.to(device), self.skin.to(device))


def opening_masks(batch: Batch, size: int) -> OpeningMasks:
    """Where mouth and eyes are open in the driving and were closed or open in the source; the face without.

    Lids and lips that close are left to the other losses: painted by decree, they blurred (at 128², in 800
    steps).
    """
    source, driving = ((p.numpy() + 1) * (size - 1) / 2 for p in (batch.source_points, batch.driving_points))
    changed = np.zeros((len(source), size, size), np.uint8)
    steady, skin = np.zeros_like(changed), np.zeros_like(changed)
    for row in range(len(source)):
        before, after = source[row], driving[row]
        scale = max(float(np.linalg.norm(after[33] - after[263])), 1e-3)
        cv2.fillPoly(skin[row], [after[list(FACE_OVAL)].round().astype(np.int32)], 1)
        for outline, (top, bottom), closed in (
            (INNER_LIPS, (13, 14), CLOSED_MOUTH),
            (LEFT_EYE, (159, 145), CLOSED_EYE),
            (RIGHT_EYE, (386, 374), CLOSED_EYE),
        ):
            was, now = (float(np.linalg.norm(p[top] - p[bottom])) / scale for p in (before, after))
            polygon = after[list(outline)].round().astype(np.int32)
            inside = np.zeros_like(skin[row])
            cv2.fillPoly(inside, [polygon], 1)
            skin[row][cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0] = 0
            if was >= closed and now >= closed:
                steady[row] |= inside
            elif now > 0.04 and now - was > 0.03 and was < closed:
                changed[row] |= inside
    return OpeningMasks(*(torch.from_numpy(mask)[:, None].float() for mask in (changed, steady, skin)))


def openings_loss(occlusion: Tensor, masks: OpeningMasks) -> Tensor:
    """The decoder shall paint what opens; the warp keeps the rest of the face.

    Pixel losses would rather have the teeth and eyes that the source shows painted: soft ones, in the middle
    of where they may be.
    """
    missing = F.relu(TRUSTED - occlusion)

    def mean(values: Tensor, mask: Tensor) -> Tensor:
        return (values * mask).sum() / mask.sum().clamp_min(1)

    return mean(occlusion, masks.changed) + mean(missing, masks.steady) + mean(missing, masks.skin)
