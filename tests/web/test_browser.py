"""The page of `mcnet web` in a real Chromium, without a window."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from media_tools import ffmpeg
from places import EXAMPLES
from web_tools import Client, running

from mcnet_cli.web import Limits

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH"),
]
# Without these, Chromium looks for its maker's servers when it starts, which tests must not need.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
    "--autoplay-policy=no-user-gesture-required",
)
LONGEST_MS = 120_000
FRAMES = "20"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("stored"), limits=Limits(seconds=10)) as client:
        yield client


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera shows the example's driving."""
    seen = tmp_path_factory.mktemp("camera") / "seen.y4m"
    ffmpeg("-i", EXAMPLES / "driving.mp4", "-pix_fmt", "yuv420p", seen)
    with playwright.sync_playwright() as started:
        camera = f"--use-file-for-fake-video-capture={seen}"
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, camera])
        yield browser
        browser.close()


class Visitor:
    """A page of its own, with what it asked for and complained about."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(LONGEST_MS)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type == "error" else None
        )
        self.page.goto(address)
        self.page.wait_for_selector("#motions img")

    def choose(self, portrait: Path | str, driving: Path | str, max_frames: str = FRAMES) -> None:
        if isinstance(portrait, Path):
            self.page.set_input_files("#portrait-file", portrait)
        else:
            self.page.click(f"#examples [title='{portrait}']")
        self.page.wait_for_selector("#boxes .picked")
        if isinstance(driving, Path):
            self.page.set_input_files("#driving-file", driving)
            self.page.wait_for_selector("#driving-video:visible")
        else:
            self.page.get_by_role("button", name=driving, exact=True).click()
        self.page.click("#settings summary")
        self.page.fill("[name=max-frames]", max_frames)

    def text(self, selector: str) -> str:
        return str(self.page.text_content(selector))

    def film(self) -> dict[str, Any]:
        """What the video element says of the film, when it plays."""
        self.page.wait_for_selector("#screen video")
        facts: dict[str, Any] = self.page.evaluate(
            """async () => {
              const video = document.querySelector("#screen video");
              while (!(video.currentTime > 0)) await new Promise((done) => setTimeout(done, 50));
              return { time: video.currentTime, width: video.videoWidth, height: video.videoHeight,
                       seconds: video.duration, frames: video.getVideoPlaybackQuality().totalVideoFrames,
                       soundBytes: video.webkitAudioDecodedByteCount };
            }"""
        )
        return facts


@pytest.fixture
def visit(chromium: Any, server: Client) -> Iterator[Any]:
    visitors: list[Visitor] = []

    def opened(**options: Any) -> Visitor:
        visitors.append(Visitor(chromium, server.address, **options))
        return visitors[-1]

    yield opened
    for visitor in visitors:
        visitor.context.close()


def test_photo_and_video_become_a_film_that_plays_with_sound(
    visit: Any, server: Client, tmp_path: Path
) -> None:
    visitor = visit()
    visitor.choose(EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4")
    visitor.page.click("#make")
    visitor.page.locator("#progress-text", has_text="frames/s").wait_for(state="attached")
    film = visitor.film()
    assert (film["width"], film["height"]) == (512, 512)
    assert film["seconds"] == pytest.approx(0.8, abs=0.1)
    assert min(film["time"], film["frames"], film["soundBytes"]) > 0
    assert (
        visitor.text("#command")
        == f"mcnet animate portrait.jpg driving.mp4 --device cpu --max-frames {FRAMES}"
    )
    with visitor.page.expect_download() as download:
        visitor.page.click("#download")
    assert download.value.suggested_filename == "portrait--driving.mp4"
    assert Path(download.value.path()).stat().st_size > 10_000
    assert visitor.complaints == []
    hosts = {urlsplit(url).netloc for url in visitor.asked if not url.startswith(("blob:", "data:"))}
    assert hosts == {urlsplit(server.address).netloc}


def test_cancel_stops_the_film_and_the_next_one_can_be_made(visit: Any) -> None:
    visitor = visit()
    visitor.choose("astronaut.jpg", "talk", max_frames="")
    visitor.page.click("#make")
    visitor.page.locator("#progress-text", has_text="Rendering").wait_for()
    visitor.page.click("#cancel")
    visitor.page.locator("#film-error", has_text="Cancelled.").wait_for()
    assert not visitor.page.is_visible("#screen video")
    visitor.page.fill("[name=max-frames]", "5")
    visitor.page.click("#make")
    assert visitor.film()["width"] == 512


def test_files_that_cannot_be_used_are_told_of_where_they_were_chosen(visit: Any, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!doctype html><title>404</title>")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    visitor = visit()
    visitor.page.set_input_files("#portrait-file", tmp_path / "page.jpg")
    visitor.page.locator("#portrait-error", has_text="page.jpg is not an image but a web page").wait_for()
    visitor.page.set_input_files("#driving-file", tmp_path / "list.mp4")
    visitor.page.locator("#driving-error", has_text="list.mp4 is not a video").wait_for()
    assert visitor.page.is_disabled("#make")
    assert visitor.text("#make-hint") == "Choose a portrait and a driving first."


def test_of_two_visitors_at_once_one_waits_and_each_gets_their_own_film(visit: Any) -> None:
    first, second = visit(), visit()
    first.choose("astronaut.jpg", "talk", max_frames="")  # all of its frames, so that the other one waits
    second.choose("drawn-grey.jpg", "smile")
    first.page.click("#make")
    first.page.locator("#progress-text", has_text="Rendering").wait_for()
    second.page.click("#make")
    second.page.locator("#progress-text", has_text="Waiting: next in the queue").wait_for()
    for visitor, name in ((first, "astronaut--talk.mp4"), (second, "drawn-grey--smile.mp4")):
        visitor.page.locator("#film-facts", has_text=name).wait_for()
        assert visitor.film()["frames"] > 0


def test_boxes_are_picked_moved_and_put_back(visit: Any, tmp_path: Path) -> None:
    from PIL import Image

    portrait = Image.open(EXAMPLES / "portrait.jpg")
    both = Image.new("RGB", (1024, 512))
    both.paste(portrait, (0, 0))
    both.paste(portrait.resize((300, 300)), (600, 100))
    both.save(tmp_path / "both.jpg")
    visitor = visit()
    visitor.choose(tmp_path / "both.jpg", "nod")
    page = visitor.page
    assert visitor.text("#boxes-hint").startswith("2 faces were found")
    assert page.get_attribute("#boxes g >> nth=0", "aria-checked") == "true"
    page.locator("#boxes g").nth(1).click(position={"x": 10, "y": 10})
    assert page.get_attribute("#boxes g >> nth=1", "aria-checked") == "true"
    box = page.locator("#boxes .picked rect").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + box["height"] / 2 + 10, steps=4)
    page.mouse.up()
    moved = page.locator("#boxes .picked rect").bounding_box()
    assert (moved["x"] - box["x"], moved["y"] - box["y"]) == pytest.approx((30, 10), abs=1.5)
    page.click("#make")
    visitor.film()
    assert "--source-crop" in visitor.text("#command")
    page.click("#boxes-reset")
    page.check("#all-faces")
    page.click("#make")
    page.locator("#command", has_text="--face all").wait_for()


def test_sliders_pose_the_photo(visit: Any) -> None:
    visitor = visit()
    visitor.choose("astronaut.jpg", "nod")
    visitor.page.click("#posing summary")
    photo = visitor.page.get_attribute("#photo", "src")
    visitor.page.locator("#sliders [name=yaw]").fill("18")
    visitor.page.locator("#photo[src^='blob:']").wait_for()
    assert visitor.page.is_visible("#posing-save")
    visitor.page.click("#posing-reset")
    visitor.page.locator(f"#photo[src='{photo}']").wait_for()
    assert visitor.complaints == []


def test_the_camera_takes_a_photo_and_records_a_clip(visit: Any) -> None:
    visitor = visit(permissions=["camera", "microphone"])
    visitor.page.click("#portrait-camera")
    visitor.page.click("#camera-go")
    visitor.page.wait_for_selector("#photo:visible")
    assert visitor.text("#boxes-hint").startswith("Drag the box")  # one face was found
    visitor.page.click("#driving-camera")
    visitor.page.click("#camera-go")
    visitor.page.locator("#camera-hint", has_text="Recording: 1 s").wait_for()
    visitor.page.click("#camera-go")
    visitor.page.wait_for_selector("#driving-video:visible")
    assert visitor.text("#driving-name") == "webcam.webm"
    assert not visitor.page.is_visible("#camera")
    visitor.page.click("#settings summary")
    visitor.page.fill("[name=max-frames]", "5")
    visitor.page.click("#make")
    assert visitor.film()["frames"] > 0
    assert visitor.text("#command").startswith("mcnet animate webcam.jpg webcam.webm")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_fits_on_a_phone(visit: Any, scheme: str) -> None:
    visitor = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    visitor.choose("astronaut.jpg", "smile")
    visitor.page.click("#make")
    visitor.film()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == 390
    orders = [
        visitor.page.locator(f"#{name}").bounding_box()["y"]
        for name in ("portrait", "driving", "settings", "film")
    ]
    assert orders == sorted(orders)
