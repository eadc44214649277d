"""Makes examples/driving.mp4: a portrait that turns, blinks and speaks, with a synthesised voice.

    python examples/make_driving.py --overwrite

Every run gives the same pictures and the same sound. Nobody was filmed or recorded.
"""

import argparse
import math
import subprocess
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from puppet import Pose, Puppet

from mcnet_cli.face import FaceMesh, Framing, choose_face, crop, crop_box, faces_in, make_detector
from mcnet_cli.media import SoundTrack, ffmpeg_binary, open_output, read_image

FOLDER = Path(__file__).resolve().parent
FRAME_RATE = Fraction(25)
DURATION_S = 4
SIZE_PX = 320
DETAIL = 2  # drawn so many times larger, for smooth edges
FRAMING = Framing(face_height=0.42, center_y=0.46)
SAMPLE_RATE = 24_000

# What is said: when, for how long, and which vowel.
SPEECH = (
    (0.30, 0.24, "a"),
    (0.58, 0.18, "i"),
    (0.80, 0.26, "o"),
    (1.10, 0.18, "e"),
    (1.32, 0.30, "a"),
    (2.00, 0.20, "u"),
    (2.24, 0.26, "a"),
    (2.54, 0.18, "e"),
    (2.76, 0.28, "o"),
    (3.08, 0.16, "i"),
    (3.28, 0.34, "a"),
)
# Each vowel's opening and rounding of the mouth, and its first three formants in Hz.
VOWELS = {
    "a": (1.0, 0.0, (850, 1400, 2800)),
    "e": (0.6, -0.1, (560, 2200, 2900)),
    "i": (0.35, -0.2, (320, 2700, 3300)),
    "o": (0.7, 0.7, (520, 950, 2700)),
    "u": (0.4, 1.0, (350, 800, 2600)),
}
BLINKS_S = (0.72, 1.85, 3.2)
BLINK_S = 0.28


def bump(time_s: NDArray[np.float64] | float, start_s: float, length_s: float) -> NDArray[np.float64]:
    """Rises smoothly from 0 to 1 and falls back within `length_s`."""
    phase = np.clip((np.asarray(time_s) - start_s) / length_s, 0, 1)
    return np.sin(np.pi * phase) ** 2


def pose_at(time_s: float) -> Pose:
    """The performance. It starts and ends looking straight ahead, mouth and eyes at rest."""
    turn = 2 * math.pi * time_s / DURATION_S
    mouth = rounding = 0.0
    for start_s, length_s, vowel in SPEECH:
        # The mouth forms a vowel a little before it is heard.
        share = float(bump(time_s, start_s - 0.06, length_s + 0.1))
        mouth = max(mouth, share * VOWELS[vowel][0])
        rounding += share * VOWELS[vowel][1]
    return Pose(
        yaw=16 * math.sin(turn),
        pitch=6 * math.sin(2 * turn) + 2 * mouth - 2 * math.sin(turn / 2) ** 2,
        roll=5 * math.sin(2 * turn) * math.cos(turn / 2),
        mouth=mouth,
        rounding=max(-0.3, min(1.0, rounding)),
        blink=max(float(bump(time_s, start_s, BLINK_S)) for start_s in BLINKS_S),
    )


def voice() -> NDArray[np.int16]:
    """The sound, mono: harmonics of a voice's tone, shaped by the formants of each vowel."""
    time_s = np.arange(DURATION_S * SAMPLE_RATE) / SAMPLE_RATE
    tone_hz = 196 * (1 + 0.08 * np.sin(2 * np.pi * time_s / 2) + 0.012 * np.sin(2 * np.pi * 5.5 * time_s))
    phase = 2 * np.pi * np.cumsum(tone_hz) / SAMPLE_RATE
    loudness = np.zeros((len(SPEECH), len(time_s)))
    for number, (start_s, length_s, _) in enumerate(SPEECH):
        loudness[number] = bump(time_s, start_s, length_s) ** 0.6
    sound = np.zeros_like(time_s)
    for harmonic in range(1, 19):
        pitch_hz = harmonic * tone_hz
        gain = sum(
            loud * _resonance(pitch_hz, VOWELS[vowel][2])
            for loud, (_, _, vowel) in zip(loudness, SPEECH, strict=True)
        )
        sound += gain * np.sin(harmonic * phase) / harmonic
    return np.rint(sound / np.abs(sound).max() * 0.6 * 32767).astype(np.int16)


def _resonance(pitch_hz: NDArray[np.float64], formants_hz: tuple[int, int, int]) -> NDArray[np.float64]:
    gain = np.full_like(pitch_hz, 0.02)
    for number, formant_hz in enumerate(formants_hz):
        width_hz = 60 + 0.04 * formant_hz
        gain += 0.6**number / (1 + ((pitch_hz - formant_hz) / width_hz) ** 2)
    return gain


def make_puppet(portrait: Path) -> Puppet:
    """The largest face of a portrait, cropped and ready to be posed."""
    photo = read_image(portrait)
    detector, mesh = make_detector("blazeface"), FaceMesh()
    face = choose_face(faces_in(photo, detector, mesh), "largest")
    picture = crop(photo, crop_box(face.points, FRAMING), SIZE_PX * DETAIL)
    return Puppet(picture, choose_face(faces_in(picture, detector, mesh), "largest"), mesh)


def frames(puppet: Puppet, numbers: range) -> Iterator[NDArray[np.uint8]]:
    """(SIZE_PX, SIZE_PX, 3) frames of the performance."""
    for number in numbers:
        drawn = puppet.draw(pose_at(float(number / FRAME_RATE)))
        yield cv2.resize(drawn, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)


def write_sound(path: Path, samples: NDArray[np.int16]) -> None:
    """Writes mono samples without loss."""
    command = [
        ffmpeg_binary(),
        "-v",
        "error",
        "-f",
        "s16le",
        "-ar",
        str(SAMPLE_RATE),
        "-ac",
        "1",
        "-i",
        "pipe:",
    ]
    subprocess.run([*command, "-c:a", "pcm_s16le", str(path)], input=samples.tobytes(), check=True)


def main() -> None:
    """Writes the clip."""
    parser = argparse.ArgumentParser(description="Make the example driving clip.")
    parser.add_argument("--portrait", type=Path, default=FOLDER / "portrait.jpg")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "driving.mp4")
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args()
    puppet = make_puppet(options.portrait)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "voice.mka"
        write_sound(sound, voice())
        with open_output(
            options.output,
            size=(SIZE_PX, SIZE_PX),
            frame_rate=FRAME_RATE,
            sounds=[SoundTrack(sound)],
            overwrite=options.overwrite,
        ) as sink:
            for frame in frames(puppet, range(int(DURATION_S * FRAME_RATE))):
                sink.write(frame)
    for warning in sink.warnings:
        print(warning)


if __name__ == "__main__":
    main()
