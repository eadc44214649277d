"""Training with landmarks: keypoints are tied to points of the face mesh, regions of the face weigh more."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import Keypoints, MCNet, Rendering, SourceState
from mcnet_cli.model.geometry import warp
from mcnet_cli.training import losses
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.config import SMALL_PX
from mcnet_cli.training.moment import Moment, Terms
from mcnet_cli.training.objective_config import KeypointTraining, LandmarkLossWeights, mirror_order
from mcnet_cli.training.sampling import chance

LEAST_WEIGHT = 1e-3  # of a pixel without a person, lest a picture without any divides by 0


def landmark_keypoints(points: Tensor, mirrored: Tensor, landmarks: tuple[int, ...]) -> Tensor:
    """(B, 478, 2) landmarks to (B, K, 2) keypoints, left and right as the pictures show them.

    mirrored: (B,) which pictures were flipped.
    """
    chosen = points[:, list(landmarks)]
    return torch.where(mirrored[:, None, None], chosen[:, mirror_order(landmarks)], chosen)


class LandmarkObjective(nn.Module):
    """The loss of `model` on a batch, term by term."""

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

    def forward(self, batch: Batch, moment: Moment) -> Terms:
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
        terms = {
            "keypoints": weights.keypoints * losses.landmark_distance(found, torch.cat([source, driving]))
        }
        pair = Keypoints(source), Keypoints(driving)
        own = chance(moment.seed, moment.step, 3).random() < self.keypoints.detector_share
        if moment.progress > self.keypoints.detector_from and own:
            # errors included, but without gradient: pictures would pull the detector off the landmarks
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
        regions = losses.region_weights(batch.driving_points, size).to(target.device)
        terms["pixel"] = weights.pixel * losses.weighted_l1(rendering.prediction, target, regions)
        terms["decoded_pixel"] = weights.decoded_pixel * losses.weighted_l1(
            rendering.decoded, target, regions
        )
        terms["warped_pixel"] = weights.warped_pixel * (rendering.deformed - target).abs().mean()
        terms["consistency"] = weights.consistency * losses.feature_consistency(rendering.memory)
        occlusion = rendering.motion.occlusion
        masks = losses.opening_masks(batch, occlusion.shape[-1]).to(target.device)
        terms["openings"] = weights.openings * losses.openings_loss(occlusion, masks)
        if self.perceptual is not None:
            # depthwise convolutions: on CPUs bfloat16 is slower for them than float32
            with torch.autocast("cpu", enabled=False):
                terms |= self._perceptual_terms(self.perceptual, rendering, batch, moment)
        return {name: term for name, term in terms.items() if getattr(weights, name)}

    def _person_terms(
        self, state: SourceState, rendering: Rendering, driving: Keypoints, batch: Batch
    ) -> Terms:
        """What is wrong with the source moved by the person's motion alone; nothing without mattes."""
        if batch.source_people is None or batch.driving_people is None:
            return {}
        weights, target, size = self.weights, batch.driving, batch.driving.shape[-1]
        deformation = self.model.generator.dense_motion_network.refined_deformation(
            rendering.motion.without_background(), state.keypoints, driving, (size, size)
        )
        front = torch.cat([batch.source, batch.source_people], dim=1)
        moved = warp(front, deformation, self.model.config.motion.border)
        return {
            "person_pixel": weights.person_pixel
            * losses.weighted_l1(moved[:, :3], target, batch.driving_people + LEAST_WEIGHT),
            "person_outline": weights.person_outline * (moved[:, 3:] - batch.driving_people).abs().mean(),
        }

    def _perceptual_terms(
        self, perceptual: PerceptualDistance, rendering: Rendering, batch: Batch, moment: Moment
    ) -> Terms:
        weights, target, size = self.weights, batch.driving, batch.driving.shape[-1]

        def shrunk(image: Tensor) -> Tensor:
            return F.avg_pool2d(image, size // SMALL_PX) if size > SMALL_PX else image

        # the network costs more than the generator: two pictures are looked at in every third step only
        pictures = {"perceptual": rendering.prediction}
        if moment.step % 3 == 0:
            pictures["warped_perceptual"] = rendering.deformed
        elif moment.step % 3 == 1:
            pictures["decoded_perceptual"] = rendering.decoded
        distances = perceptual([*map(shrunk, pictures.values())], shrunk(target))
        terms = {n: getattr(weights, n) * distance for n, distance in zip(pictures, distances, strict=True)}
        side = 80 if size > SMALL_PX else 56
        points = batch.driving_points
        boxes = [
            losses.crop_boxes(points[row : row + 1], size, side, chance(moment.seed, number, 4))
            for row, number in enumerate(batch.numbers.tolist())
        ]
        place = torch.cat(boxes).to(target.device)
        crops = [
            losses.crop(image, place, side) for image in (rendering.prediction, rendering.decoded, target)
        ]
        near = perceptual(crops[:2], crops[2])
        terms["crop_perceptual"] = weights.crop_perceptual * (2 * near[0] + near[1]) / 3
        return terms
