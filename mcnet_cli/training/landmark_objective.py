"""Training with landmarks: keypoints are tied to points of the face mesh, regions of the face weigh more."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.face.topology import (
    BROW_MIDDLES,
    EYE_OUTLINES,
    LID_OPENINGS,
    MOUTH_CORNERS,
    MOUTH_OPENING,
    MOUTH_OUTLINE,
    OUTER_EYE_CORNERS,
    OUTER_LIPS,
    OVAL,
)
from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import Keypoints, MCNet, Rendering, SourceState
from mcnet_cli.model.geometry import grid_sample, warp
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.config import SMALL_PX
from mcnet_cli.training.objective_config import KeypointTraining, LandmarkLossWeights, mirror_order
from mcnet_cli.training.paper_objective import Terms, feature_consistency
from mcnet_cli.training.sampling import TrainingContext, rng_of

MIN_PIXEL_WEIGHT = 1e-3  # of a pixel without a person, so that a picture of nobody doesn't divide by 0
DETAIL_WEIGHT = 9.0  # of pixels in the boxes of the mouth and the lids, where others have 1
TRUSTED_OCCLUSION = 0.85  # at least the occlusion where the warped source shows the thing itself
# Openings below these count as closed, in distances of the outer eye corners; narrow eyes have 0.05.
CLOSED_MOUTH, CLOSED_EYE = 0.06, 0.03
LEFT_EYE, RIGHT_EYE = EYE_OUTLINES
# Points around the mouth, and around eyes and brows: crops are centred on their mean.
MOUTH_POINTS = (*MOUTH_CORNERS, *(edge[len(edge) // 2] for edge in OUTER_LIPS), *MOUTH_OPENING[0])
_UPPER_LIDS, _LOWER_LIDS = zip(*LID_OPENINGS, strict=True)
EYE_POINTS = (*OUTER_EYE_CORNERS, *_UPPER_LIDS, *_LOWER_LIDS, *BROW_MIDDLES)


def landmark_keypoints(points: Tensor, mirrored: Tensor, landmarks: tuple[int, ...]) -> Tensor:
    """(B, 478, 2) landmarks to (B, K, 2) keypoints, left and right as the pictures show them.

    mirrored: (B,) which pictures were flipped.
    """
    chosen = points[:, list(landmarks)]
    return torch.where(mirrored[:, None, None], chosen[:, mirror_order(landmarks)], chosen)


def landmark_distance(found: Keypoints, wanted: Tensor) -> Tensor:
    """Mean absolute distance of keypoints to (B, K, 2) landmarks."""
    return (found.values - wanted).abs().mean()


def weighted_l1(image: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error of (B, 3, H, W) pictures under a (B, 1, H, W) weight."""
    return ((image - target).abs() * weight).sum() / (3 * weight.sum())


def region_weights(points: Tensor, size: int) -> Tensor:
    """(B, 1, S, S): `DETAIL_WEIGHT` in the boxes of the mouth and the lids, 1 elsewhere."""
    weight = torch.ones(len(points), 1, size, size)
    for box in (MOUTH_POINTS, LEFT_EYE, RIGHT_EYE):
        pixels = (points[:, list(box)] + 1) * (size - 1) / 2
        margin = size * 0.025
        low = (pixels.amin(1) - margin).round().long().clamp(0, size - 1)
        high = (pixels.amax(1) + margin).round().long().clamp(0, size - 1)
        for row, (start, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            weight[row, :, start[1] : end[1] + 1, start[0] : end[0] + 1] = DETAIL_WEIGHT
    return weight


def crop_boxes(points: Tensor, size: int, side: int, rng: np.random.Generator) -> Tensor:
    """(B, 2, 3) affines of `side`-pixel crops around the mouth (60 %) or the eyes (40 %)."""
    theta = torch.zeros(len(points), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = (side - 1) / (size - 1)
    for row in range(len(points)):
        box = MOUTH_POINTS if rng.random() < 0.6 else EYE_POINTS
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
    """Masks of mouth and eyes that open or stay open from the source to the driving, and of the other skin.

    Where they close no mask is set: asking the decoder to paint closed lids and lips blurred them in a trial
    of 800 steps at 128².
    """
    source, driving = ((p.numpy() + 1) * (size - 1) / 2 for p in (batch.source_points, batch.driving_points))
    changed = np.zeros((len(source), size, size), np.uint8)
    steady, skin = np.zeros_like(changed), np.zeros_like(changed)
    left, right = OUTER_EYE_CORNERS
    for row in range(len(source)):
        before, after = source[row], driving[row]
        scale = max(float(np.linalg.norm(after[left] - after[right])), 1e-3)
        cv2.fillPoly(skin[row], [after[list(OVAL)].round().astype(np.int32)], 1)
        for outline, (top, bottom), closed in (
            (MOUTH_OUTLINE, MOUTH_OPENING[0], CLOSED_MOUTH),
            (LEFT_EYE, LID_OPENINGS[0], CLOSED_EYE),
            (RIGHT_EYE, LID_OPENINGS[1], CLOSED_EYE),
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
    """Occlusion towards 0 where mouth or eyes open, towards 1 where they stay open and on other skin.

    So the decoder paints what opens, and the warp keeps what the source shows. Without this term pixel losses
    have teeth and eyes painted that could be warped, which makes them soft.
    """
    missing = F.relu(TRUSTED_OCCLUSION - occlusion)

    def mean(values: Tensor, mask: Tensor) -> Tensor:
        return (values * mask).sum() / mask.sum().clamp_min(1)

    return mean(occlusion, masks.changed) + mean(missing, masks.steady) + mean(missing, masks.skin)


class LandmarkObjective(nn.Module):
    """The loss of `model` on a batch, term by term, as a module that several processes can share."""

    def __init__(
        self,
        model: MCNet,
        weights: LandmarkLossWeights,
        keypoints: KeypointTraining,
        perceptual: PerceptualDistance | None,
    ) -> None:
        super().__init__()
        self.model, self.perceptual = model, perceptual
        self.weights, self.keypoints = weights, keypoints

    def forward(self, batch: Batch, context: TrainingContext) -> Terms:
        """The weighted terms; those of weight 0 are left out."""
        weights, target, size = self.weights, batch.driving, batch.driving.shape[-1]
        frames = torch.cat([batch.source, batch.driving]).contiguous(memory_format=torch.channels_last)
        found, count = self.model.detect_keypoints(frames), len(batch.source)
        source, driving = (
            landmark_keypoints(points, batch.mirrored, self.model.config.keypoints.landmarks).to(
                target.device
            )
            for points in (batch.source_points, batch.driving_points)
        )
        terms = {"keypoints": weights.keypoints * landmark_distance(found, torch.cat([source, driving]))}
        pair = Keypoints(source), Keypoints(driving)
        own = rng_of(context.seed, context.step, 3).random() < self.keypoints.detector_share
        if context.progress > self.keypoints.detector_from and own:
            # With the detector's errors, but without gradient: pictures would pull it off the landmarks.
            pair = found[:count].map(Tensor.detach), found[count:].map(Tensor.detach)
        state = self.model.encode_source(frames[:count], pair[0])
        rendering: Rendering = self.model(state, pair[1])
        terms |= self._person_terms(state, rendering, pair[1], batch)
        if batch.driving_people is not None:
            share = weights.background + (1 - weights.background) * batch.driving_people
            rendering = replace(
                rendering,
                prediction=torch.lerp(target, rendering.prediction, share),
                decoded=torch.lerp(target, rendering.decoded, share),
                deformed=torch.lerp(target, rendering.deformed, share),
            )
        regions = region_weights(batch.driving_points, size).to(target.device)
        terms["pixel"] = weights.pixel * weighted_l1(rendering.prediction, target, regions)
        terms["decoded_pixel"] = weights.decoded_pixel * weighted_l1(rendering.decoded, target, regions)
        terms["warped_pixel"] = weights.warped_pixel * (rendering.deformed - target).abs().mean()
        terms["consistency"] = weights.consistency * feature_consistency(rendering.memory)
        occlusion = rendering.motion.occlusion
        masks = opening_masks(batch, occlusion.shape[-1]).to(target.device)
        terms["openings"] = weights.openings * openings_loss(occlusion, masks)
        if self.perceptual is not None:
            # depthwise convolutions: on CPUs bfloat16 is slower for them than float32
            with torch.autocast("cpu", enabled=False):
                terms |= self._perceptual_terms(self.perceptual, rendering, batch, context)
        return {name: term for name, term in terms.items() if getattr(weights, name)}

    def _person_terms(
        self, state: SourceState, rendering: Rendering, driving: Keypoints, batch: Batch
    ) -> Terms:
        """Errors of the source moved by the person's motion alone; no terms for a batch without mattes."""
        if batch.source_people is None or batch.driving_people is None:
            return {}
        weights, target, size = self.weights, batch.driving, batch.driving.shape[-1]
        deformation = self.model.generator.dense_motion_network.refined_deformation(
            rendering.motion.person, state.keypoints, driving, (size, size)
        )
        front = torch.cat([batch.source, batch.source_people], dim=1)
        moved = warp(front, deformation, self.model.config.motion.border)
        return {
            "person_pixel": weights.person_pixel
            * weighted_l1(moved[:, :3], target, batch.driving_people + MIN_PIXEL_WEIGHT),
            "person_outline": weights.person_outline * (moved[:, 3:] - batch.driving_people).abs().mean(),
        }

    def _perceptual_terms(
        self, perceptual: PerceptualDistance, rendering: Rendering, batch: Batch, context: TrainingContext
    ) -> Terms:
        weights, target, size = self.weights, batch.driving, batch.driving.shape[-1]

        def shrunk(image: Tensor) -> Tensor:
            return F.avg_pool2d(image, size // SMALL_PX) if size > SMALL_PX else image

        # The network costs more than the generator: it sees two of these pictures in every third step only.
        pictures = {"perceptual": rendering.prediction}
        if context.step % 3 == 0:
            pictures["warped_perceptual"] = rendering.deformed
        elif context.step % 3 == 1:
            pictures["decoded_perceptual"] = rendering.decoded
        distances = perceptual([*map(shrunk, pictures.values())], shrunk(target))
        terms = {n: getattr(weights, n) * distance for n, distance in zip(pictures, distances, strict=True)}
        side = 80 if size > SMALL_PX else 56
        points = batch.driving_points
        boxes = [
            crop_boxes(points[row : row + 1], size, side, rng_of(context.seed, number, 4))
            for row, number in enumerate(batch.numbers.tolist())
        ]
        place = torch.cat(boxes).to(target.device)
        crops = [crop(image, place, side) for image in (rendering.prediction, rendering.decoded, target)]
        near = perceptual(crops[:2], crops[2])
        terms["crop_perceptual"] = weights.crop_perceptual * (2 * near[0] + near[1]) / 3
        return terms
