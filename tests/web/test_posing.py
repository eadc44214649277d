"""Photos posed by sliders look as the command makes them."""

from pathlib import Path

import numpy as np
from face_tools import animator

from mcnet_cli import AnimationRequest, Controls, Keyframes, Motion, Transfer
from mcnet_cli.media import write_image
from mcnet_cli.synthetic import Expression, Identity, Pose, render
from mcnet_cli.web.storage import Upload
from mcnet_cli.web.studio import POSED_PX, Posing


def test_a_face_that_looks_aside_is_turned_as_far_as_the_command_turns_it(tmp_path: Path) -> None:
    path = tmp_path / "aside.png"
    write_image(path, render(Identity.draw(8), Pose(yaw=28), Expression(), 256)[0])
    request = AnimationRequest(sources=(path,), controls=Keyframes.of(yaw=-20))
    posed = Posing(animator()).posed(Upload("id", path, "aside.png"), request)
    portrait = animator().portrait(path, longest=POSED_PX)
    transfer = Transfer(controls=Controls.of(yaw=-20))
    (expected,) = animator().render(portrait, Motion.of(Controls.none(1)), transfer)
    assert np.abs(posed.astype(int) - expected).mean() < 0.1
