"""Training with landmarks: keypoints are tied to points of the face mesh, regions of the face weigh more."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model import Keypoints, MCNet, Rendering, SourceState
from mcnet_cli.training import losses
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.config import SMALL, KeypointTraining, mirror_order
from mcnet_cli.training.loss_weights import LandmarkLossWeights
from mcnet_cli.training.moment import Moment, Terms
from mcnet_cli.training.mouths import MouthDiscriminator, Mouths, mouth_losses, open_mouths
from mcnet_cli.training.perceptual import PerceptualDistance
from mcnet_cli.training.sampling import chance

ALONE = 0.1  # of the time that the discriminator takes part, it learns alone at first


class LandmarkObjective(nn.Module):
    """The loss of `model` on a batch, term by term; `last` is what the discriminator then learns from."""

    last: Mouths | None = None

    def __init__(
        self,
        model: MCNet,
        weights: LandmarkLossWeights,
        keypoints: KeypointTraining,
        perceptual: PerceptualDistance | None,
        discriminator: MouthDiscriminator | None = None,
        gan_from: float = 0.0,
    ) -> None:
        """discriminator: takes part from the share `gan_from` of the run on, at the full size."""
        super().__init__()
        self.model, self.perceptual = model, perceptual
        self._critic = (discriminator,)  # in a tuple, lest it count as a part: it learns by `MouthObjective`
        self._gan_from = gan_from
        self.weights, self.keypoints = weights, keypoints
        self._mirror = mirror_order(keypoints.landmarks)

    def forward(self, batch: Batch, moment: Moment) -> Terms:
        """The weighted terms; those of weight 0 are left out."""
        weights, target, size = self.weights, batch.driving, batch.driving.shape[-1]
        frames = torch.cat([batch.source, batch.driving]).contiguous(memory_format=torch.channels_last)
        found, count = self.model.detect_keypoints(frames), len(batch.source)
        source, driving = (
            self.wanted(points, batch).to(target.device)
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
        state = SourceState(*self.model.generator.encode(frames[:count]), pair[0])
        rendering: Rendering = self.model(state, pair[1])
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
        terms |= self._mouth_terms(rendering, batch, moment)
        return {name: term for name, term in terms.items() if getattr(weights, name)}

    def _mouth_terms(self, rendering: Rendering, batch: Batch, moment: Moment) -> Terms:
        (discriminator,), self.last = self._critic, None
        full = batch.driving.shape[-1] == self.model.config.size
        if discriminator is None or moment.progress < self._gan_from or not full:
            return {}
        self.last = open_mouths(rendering.prediction, batch)
        if moment.progress < self._gan_from + ALONE * (1 - self._gan_from):
            return {}
        real_looking, features = mouth_losses(discriminator, self.last)
        weights = self.weights
        return {"gan": weights.gan * real_looking, "feature_matching": weights.feature_matching * features}

    def wanted(self, points: Tensor, batch: Batch) -> Tensor:
        """(B, 478, 2) landmarks to (B, K, 2) keypoints, left and right as the pictures show them."""
        chosen = points[:, list(self.keypoints.landmarks)]
        return torch.where(batch.mirrored[:, None, None], chosen[:, self._mirror], chosen)

    def _perceptual_terms(
        self, perceptual: PerceptualDistance, rendering: Rendering, batch: Batch, moment: Moment
    ) -> Terms:
        weights, target, size = self.weights, batch.driving, batch.driving.shape[-1]

        def shrunk(image: Tensor) -> Tensor:
            return F.avg_pool2d(image, size // SMALL) if size > SMALL else image

        # the network costs more than the generator: two pictures are looked at in every third step only
        pictures = {"perceptual": rendering.prediction}
        if moment.step % 3 == 0:
            pictures["warped_perceptual"] = rendering.deformed
        elif moment.step % 3 == 1:
            pictures["decoded_perceptual"] = rendering.decoded
        distances = perceptual([*map(shrunk, pictures.values())], shrunk(target))
        terms = {n: getattr(weights, n) * distance for n, distance in zip(pictures, distances, strict=True)}
        side = 80 if size > SMALL else 56
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
