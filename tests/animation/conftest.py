"""A tiny network, a photo and a clip without faces, and what renders them."""

from pathlib import Path

import numpy as np
import pytest
from animation_tools import NO_CROP, rendered, write_inputs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights, a photo and a clip with sound."""
    return write_inputs(tmp_path_factory.mktemp("place"), rate="30000/1001")


@pytest.fixture(scope="module")
def known() -> dict[str, np.ndarray]:
    """What has been rendered before; that the same input gives the same frames has a test of its own."""
    return {}


@pytest.fixture
def frames(place: Path, tmp_path: Path, known: dict[str, np.ndarray]):
    """Renders the photo with the clip and the given options, both uncropped."""

    def render(**options: object) -> np.ndarray:
        settings = {"weights": str(place / "tiny.safetensors"), **NO_CROP, **options}
        source, driving = (
            settings.pop("source", place / "photo.png"),
            settings.pop("driving", place / "clip.mp4"),
        )
        key = repr((source, driving, settings))
        if key not in known or {"save_motion", "crop_json"} & {*settings}:
            known[key] = rendered(tmp_path, source, driving, **settings)
        return known[key]

    return render
