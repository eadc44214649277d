"""Motion transfer: carry the driving's motion over to the source (FOMM, sec. 3.3)."""

import torch

from mcnet_cli.model.geometry import Keypoints


def transfer_motion(
    driving: Keypoints, reference: Keypoints, source: Keypoints, scale: float = 1.0
) -> Keypoints:
    """Relative motion: the change from `reference` to `driving`, applied to `source`.

    driving: B frames; reference and source: one frame, or B. scale: factor on the displacements.
    """
    values = source.values + scale * (driving.values - reference.values)
    if driving.jacobians is None or reference.jacobians is None or source.jacobians is None:
        return Keypoints(values)
    change = driving.jacobians @ torch.linalg.inv(reference.jacobians)
    return Keypoints(values, change @ source.jacobians)
