"""The paper's loss terms one by one, and the discriminator."""

import numpy as np
import pytest
import torch
from face_tools import portrait_face
from parity_tools import rebuilt_weights
from torch import Tensor

from mcnet_cli.face import LID_OPENINGS
from mcnet_cli.model import Keypoints
from mcnet_cli.model.geometry import band_limited_downsample
from mcnet_cli.model.memory import MemoryTrace
from mcnet_cli.training import losses
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.equivariance import RandomTransform
from mcnet_cli.training.perceptual import VGG19

STILL = RandomTransform(torch.eye(2, 3)[None], torch.zeros(1, 25))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def vgg19() -> VGG19:
    torch.manual_seed(0)
    return VGG19()


# The perceptual pyramid


def test_the_pyramid_adds_up_five_layers_at_four_scales(vgg19: VGG19) -> None:
    prediction, target = random(1, 3, 128, 128), random(1, 3, 128, 128, seed=1)
    expected = 0.0
    for factor in (1, 2, 4, 8):
        made, wanted = (
            vgg19.features(band_limited_downsample(image, factor)) for image in (prediction, target)
        )
        expected += sum((a - b).abs().mean().item() for a, b in zip(made, wanted, strict=True))
    assert losses.perceptual_pyramid(vgg19, prediction, target).item() == pytest.approx(expected, rel=1e-4)


def test_the_pyramid_of_equal_pictures_is_zero_and_of_a_small_one_has_fewer_scales(vgg19: VGG19) -> None:
    picture = random(2, 3, 32, 32)
    assert losses.perceptual_pyramid(vgg19, picture, picture).item() == 0
    other = random(2, 3, 32, 32, seed=1)
    both = [
        vgg19.differences([band_limited_downsample(other, f)], band_limited_downsample(picture, f))
        for f in (1, 2)
    ]
    expected = sum(difference.sum().item() for difference in both)
    assert losses.perceptual_pyramid(vgg19, other, picture).item() == pytest.approx(expected, rel=1e-5)


def test_the_pyramid_teaches_the_prediction_alone(vgg19: VGG19) -> None:
    prediction = random(1, 3, 32, 32).requires_grad_()
    target = random(1, 3, 32, 32, seed=1).requires_grad_()
    losses.perceptual_pyramid(vgg19, prediction, target).backward()
    assert prediction.grad is not None and prediction.grad.abs().max() > 0
    assert target.grad is None
    assert all(parameter.grad is None for parameter in vgg19.parameters())


# Equivariance


def test_keypoints_that_follow_the_transform_cost_nothing() -> None:
    transform = RandomTransform.draw(2, np.random.default_rng(0))
    transformed = Keypoints(random(2, 5, 2) - 0.5)
    driving = Keypoints(transform.warp_points(transformed.values))
    assert losses.equivariance_value(driving, transformed, transform).item() == 0
    shifted = Keypoints(driving.values + torch.tensor([0.1, 0.3]))
    assert losses.equivariance_value(shifted, transformed, transform).item() == pytest.approx(0.2, rel=1e-5)


def test_jacobians_that_turn_with_an_affine_transform_cost_nothing() -> None:
    affine = torch.tensor([[[0.9, 0.2, 0.1], [-0.3, 1.1, 0.0]]])
    transform = RandomTransform(affine, torch.zeros(1, 25))
    jacobians = torch.eye(2) + 0.3 * random(1, 5, 2, 2)
    transformed = Keypoints(random(1, 5, 2), jacobians)
    driving = Keypoints(random(1, 5, 2), affine[:, None, :, :2] @ jacobians)
    assert losses.equivariance_jacobian(driving, transformed, transform).item() == pytest.approx(0, abs=1e-6)


def test_jacobians_are_compared_with_the_identity() -> None:
    eye = torch.eye(2).expand(1, 3, 2, 2)
    points = random(1, 3, 2)
    twice = losses.equivariance_jacobian(Keypoints(points, 2 * eye), Keypoints(points, eye), STILL)
    assert twice.item() == pytest.approx(0.25)  # the mean of 0.5 on the diagonal and 0 beside it


def test_the_jacobian_term_teaches_positions_too() -> None:
    transform = RandomTransform.draw(1, np.random.default_rng(0))
    values = random(1, 3, 2).requires_grad_()
    eye = torch.eye(2).expand(1, 3, 2, 2)
    losses.equivariance_jacobian(Keypoints(values, eye), Keypoints(values, eye), transform).backward()
    assert values.grad is not None and values.grad.abs().min() > 0


def test_keypoints_without_jacobians_have_no_jacobian_term() -> None:
    points = Keypoints(random(1, 3, 2))
    with pytest.raises(ValueError, match="no jacobians"):
        losses.equivariance_jacobian(points, points, STILL)


# Separation

NEAR = Keypoints(torch.tensor([[[0.0, 0.0], [0.1, 0.0]]]))
FAR = Keypoints(torch.tensor([[[0.0, 0.0], [0.0, 0.21]]]))


def test_near_keypoints_are_pushed_apart_by_what_they_lack() -> None:
    values = NEAR.values.clone().requires_grad_()
    loss = losses.keypoint_separation(Keypoints(values))
    assert loss.item() == pytest.approx(2 * 0.1 / 4, rel=1e-4)  # two ordered pairs of four
    loss.backward()
    assert values.grad is not None
    assert values.grad[0, 0, 0] > 0 > values.grad[0, 1, 0]  # descent moves them away from each other


def test_the_official_form_counts_near_pairs_and_teaches_nothing() -> None:
    values = NEAR.values.clone().requires_grad_()
    loss = losses.keypoint_separation(Keypoints(values), official=True)
    assert loss.item() == pytest.approx(2 * 2 / 4)
    loss.backward()
    assert values.grad is not None and not values.grad.any()


@pytest.mark.parametrize("official", [False, True])
def test_keypoints_far_enough_apart_cost_nothing(official: bool) -> None:
    assert losses.keypoint_separation(FAR, official=official).item() == 0


def test_keypoints_at_one_place_have_a_finite_gradient() -> None:
    values = torch.zeros(1, 4, 2, requires_grad=True)
    losses.keypoint_separation(Keypoints(values)).backward()
    assert values.grad is not None and values.grad.isfinite().all()


# Memory and landmarks


def trace(projected: Tensor, value: Tensor) -> MemoryTrace:
    return MemoryTrace(*[projected] * 4, value, *[projected] * 3)


def test_consistency_adds_up_sizes_and_teaches_memory_values_alone() -> None:
    projected = torch.full((1, 4, 16, 16), 0.5, requires_grad=True)
    value = torch.full((1, 4, 8, 8), 0.2, requires_grad=True)
    loss = losses.feature_consistency((trace(projected, value), trace(projected, value)))
    assert loss.item() == pytest.approx(0.6)
    loss.backward()
    assert projected.grad is None and value.grad is not None and value.grad.max() < 0


def test_consistency_resizes_features_with_corners_kept() -> None:
    ramp = torch.linspace(0, 1, 9).expand(1, 1, 9, 9)
    small = torch.linspace(0, 1, 5).expand(1, 1, 5, 5)
    assert losses.feature_consistency((trace(ramp, small),)).item() == pytest.approx(0, abs=1e-6)


def test_keypoints_are_as_far_from_landmarks_as_the_mean_coordinate() -> None:
    landmarks = random(2, 5, 2)
    moved = Keypoints(landmarks + torch.tensor([0.1, -0.3]))
    assert losses.landmark_distance(moved, landmarks).item() == pytest.approx(0.2)


# The discriminator and its terms


def test_least_squares_pull_scores_to_one_for_real_and_zero_for_fake() -> None:
    one, zero, half = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 0.5)
    assert losses.generator_gan(one).item() == 0
    assert losses.generator_gan(half).item() == pytest.approx(0.25)
    assert losses.discriminator_gan(real=one, fake=zero).item() == 0
    assert losses.discriminator_gan(real=zero, fake=one).item() == pytest.approx(2)
    assert losses.discriminator_gan(real=half, fake=zero).item() == pytest.approx(0.25)


def test_feature_matching_adds_up_the_means_of_the_maps() -> None:
    real = [torch.zeros(1, 2, 8, 8), torch.zeros(1, 4, 2, 2)]
    fake = [torch.full((1, 2, 8, 8), 0.5), torch.full((1, 4, 2, 2), -0.25)]
    assert losses.feature_matching(real, fake).item() == pytest.approx(0.75)


def test_the_discriminator_has_the_official_names_and_shapes() -> None:
    official = rebuilt_weights("discriminator.")
    ours = Discriminator(15).state_dict(prefix="discriminator.")
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in official.items()}


def test_the_discriminator_judges_patches_and_shows_its_maps() -> None:
    discriminator = Discriminator(15)
    judgement = discriminator(random(1, 3, 256, 256), Keypoints(random(1, 15, 2)))
    assert judgement.scores.shape == (1, 1, 26, 26)
    shapes = [tuple(feature.shape[1:]) for feature in judgement.features]
    assert shapes == [(64, 126, 126), (128, 61, 61), (256, 29, 29), (512, 26, 26)]


def test_the_discriminator_sees_where_keypoints_are_but_does_not_teach_them() -> None:
    discriminator = Discriminator(2, (8, 8))
    frames, values = random(1, 3, 64, 64), (random(1, 2, 2) - 0.5).requires_grad_()
    scores = discriminator(frames, Keypoints(values)).scores
    assert not torch.equal(scores, discriminator(frames, Keypoints(values + 0.3)).scores)
    scores.sum().backward()
    assert values.grad is None


def test_a_critic_judges_alike_and_teaches_the_frames_alone() -> None:
    discriminator, points = Discriminator(2, (8, 8)), Keypoints(random(1, 2, 2))
    frames = random(1, 3, 64, 64).requires_grad_()
    judgement = discriminator.as_critic(frames, points)
    assert torch.equal(judgement.scores, discriminator(frames, points).scores)
    (judgement.scores.sum() + sum(feature.sum() for feature in judgement.features)).backward()
    assert frames.grad is not None and frames.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())


# Openings


def face_points(*, lids: float = 1.0) -> Tensor:
    """(1, 468, 2) of a face as clips are framed, its lids as far apart as `lids` says, 1 for as they are."""
    points = portrait_face().points
    points = (points - points.mean(0)) / np.ptp(points[:, 1])
    for eye in (losses.LEFT_EYE, losses.RIGHT_EYE):
        middle = points[list(eye), 1].mean()
        points[list(eye), 1] = middle + lids * (points[list(eye), 1] - middle)
    for pair in LID_OPENINGS:
        points[list(pair), 0] = points[list(pair), 0].mean()  # across the eye they don't meet
    return torch.from_numpy(points)[None]


def masks_of(source: Tensor, driving: Tensor) -> losses.OpeningMasks:
    picture = torch.zeros(1, 3, 128, 128)
    nothing = torch.zeros(1)
    return losses.opening_masks(Batch(picture, picture, source, driving, nothing, nothing, ("a",)), 64)


def test_eyes_that_open_are_to_be_painted_and_others_warped() -> None:
    wide, shut = face_points(lids=1.5), face_points(lids=0.2)
    masks = masks_of(shut, wide)
    assert masks.changed.sum() > 4
    for eye in (losses.LEFT_EYE, losses.RIGHT_EYE):
        x, y = ((wide[0, list(eye)].mean(0) + 1) * 63 / 2).round().long().tolist()
        assert masks.changed[0, 0, y, x] == 1
    assert not (masks.changed * masks.skin).any()
    for source, driving in ((wide, wide), (shut, shut), (wide, shut)):
        assert not masks_of(source, driving).changed.any()
    assert masks_of(wide, wide).skin.sum() > 50


def test_narrow_eyes_that_look_wider_are_warped() -> None:
    masks = masks_of(face_points(lids=0.5), face_points(lids=1.5))
    assert not masks.changed.any()
    assert masks.steady.sum() > 4


def test_occlusion_falls_where_eyes_open_and_rises_where_they_stay_open() -> None:
    wide, shut = face_points(lids=1.5), face_points(lids=0.2)
    for source, part, sign in ((shut, "changed", 1), (wide, "steady", -1)):
        masks = masks_of(source, wide)
        occlusion = torch.full((1, 1, 64, 64), 0.5, requires_grad=True)
        losses.openings_loss(occlusion, masks).backward()
        slope = sign * occlusion.grad[getattr(masks, part) > 0]  # type: ignore[index]
        assert len(slope) > 4 and (slope > 0).all()
