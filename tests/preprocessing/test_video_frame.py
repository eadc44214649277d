"""Frames of brightness and chroma: RGB of their parts, and squares cut out of them."""

from pathlib import Path

import numpy as np
import pytest
from face_tools import detector, mesh, scene
from media_tools import ffmpeg, read
from preprocess_tools import cut_up, frames_of, moving, write_film

from mcnet_cli.face import follow
from mcnet_cli.media import read_image
from mcnet_cli.media.frames import Frame
from mcnet_cli.preprocessing.crop_buffer import CropBuffer
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.tracker import followed
from mcnet_cli.preprocessing.video_frame import VideoFrame

WIDTH, HEIGHT = 800, 640
Both = tuple[VideoFrame, Frame]


@pytest.fixture(scope="module", params=["bt709", "smpte170m"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """A film's frame as brightness and chroma, and the same as ffmpeg makes it RGB."""
    film = tmp_path_factory.mktemp("frame") / "film.mp4"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-i", "-"]
    coded = ["-vf", f"scale=out_color_matrix={request.param}", "-colorspace", request.param, "-crf", 8]
    ffmpeg(*raw, *coded, "-pix_fmt", "yuv420p", film, data=scene(WIDTH, HEIGHT, [(70, 20, 600)]).tobytes())
    source, (pixels,) = read(film, planar=True)
    assert source.matrix == request.param
    assert pixels.shape == (HEIGHT * 3 // 2, WIDTH)
    _, (rgb,) = read(film)
    return VideoFrame(pixels, source.matrix), rgb


def test_brightness_and_chroma_are_the_rgb_that_ffmpeg_makes_of_them(both: Both) -> None:
    frame, rgb = both
    assert frame.size == (WIDTH, HEIGHT)
    errors = np.abs(frame.whole_rgb().astype(int) - rgb)
    assert errors.mean() < 1.5
    assert errors.max() <= 4


@pytest.mark.parametrize("shrink", [1, 2, 3, 4])
def test_parts_of_a_shrunk_frame_are_those_of_the_whole(both: Both, shrink: int) -> None:
    frame, rgb = both
    whole = frame.whole_rgb(shrink)
    assert frame.rgb(shrink).shape == whole.shape
    assert (frame.rgb(shrink)[13:90, 7:120] == whole[13:90, 7:120]).all()
    height, width = whole.shape[:2]
    means = rgb[: height * shrink, : width * shrink].reshape(height, shrink, width, shrink, 3).mean((1, 3))
    assert np.abs(whole - means).mean() < 3


def test_a_large_face_is_followed_as_well_in_a_shrunk_frame(both: Both) -> None:
    frame, rgb = both
    region = detector()(rgb)[0].region
    assert frame.shrink_to(192, 1.5 * region.side) > 1
    found, wanted = followed(frame, mesh(), region), follow(rgb, mesh(), region)
    assert found is not None
    assert wanted is not None
    assert np.abs(found.points - wanted.points).mean() < 0.004 * region.side
    assert np.abs(found.irises - wanted.irises).mean() < 0.004 * region.side


@pytest.mark.parametrize(
    "square",
    [(100, 60, 0.5), (101, 61, 0.5), (-40, -30, 1.0), (250, 180, 1.375), (100.5, 60, 0.8), (90, 10, 2.0)],
)
def test_planes_are_cut_out_as_rgb_is(both: Both, square: tuple[float, float, float], tmp_path: Path) -> None:
    frame, rgb = both
    left, top, pixel = square
    placement = np.array([[pixel, 0, left], [0, pixel, top]])
    shown = []
    for each in (frame, VideoFrame(rgb)):
        buffer = CropBuffer(placement, Settings(size=256), each.size, tmp_path, each.matrix)
        buffer.add(*each.layers)
        (layers,) = buffer.pictures(1)
        shown.append(VideoFrame(buffer.cropped(layers, 0, placement), each.matrix).whole_rgb())
        buffer.close()
    assert np.abs(shown[0].astype(int) - shown[1]).mean() < 3


def test_a_clip_has_the_colours_of_its_video(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", moving(12, dx=0))
    (row,) = cut_up(film, tmp_path / "out").rows
    (png,) = cut_up(film, tmp_path / "png", format="png").rows
    assert row["box"] == png["box"]
    clip = frames_of(tmp_path / "out" / row["clip"])[6].astype(int)
    picture = read_image(tmp_path / "png" / png["clip"] / "00007.png")
    assert np.abs(clip - picture).mean() < 3
    assert np.abs((clip - picture).mean((0, 1))).max() < 2
