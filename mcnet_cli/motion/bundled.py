"""Motions that need no driving: controls over time, computed for any frame rate.

Each begins and ends with the source as it is, so that all can be repeated without a seam. Their timing is
taken from what has been measured on people:

- Blinks close in about 0.1 s and open in two to three times as long (Trutoiu et al., Modeling and Animating
  Eye Blinks, ACM TAP 2011), 17 times a minute at rest and 26 times in conversation (Bentivoglio et al.,
  Analysis of Blink Rate Patterns in Normal Subjects, Movement Disorders 1997). Large turns of the gaze come
  with a blink.
- Nods and shakes of the head for yes and no are cyclic, one to three cycles a second (Hadar et al., Head
  Movement during Listening Turns in Conversation, Journal of Nonverbal Behavior 1985).
- Mouths of speakers open two to seven times a second (Chandrasekaran et al., The Natural Statistics of
  Audiovisual Speech, PLOS Computational Biology 2009).
- Adults at rest breathe 12 to 20 times a minute.

In between, movements are of minimal jerk (Flash and Hogan, Journal of Neuroscience 1985).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.media import Span
from mcnet_cli.motion.blending import part
from mcnet_cli.motion.controls import Controls, eased, eased_through
from mcnet_cli.motion.motion import Motion

Times = NDArray[np.float64]
Tracks = dict[str, Any]

DEFAULT = "idle"
BUNDLED_RATE = Fraction(25)  # frames a second, if nothing else is asked for
CLOSING_S, SHUT_S, OPENING_S = 0.1, 0.04, 0.26  # of a blink


@dataclass(frozen=True, slots=True)
class BundledMotion:
    """A motion that comes with the program.

    Attributes:
        name: what it is called on the command line.
        shows: what the person does, in a few words.
        seconds: its length; repeated, it goes on without a seam.

    Example:
        >>> from mcnet_cli import bundled_motions
        >>> idle = bundled_motions()[0]
        >>> idle.name, idle.seconds, len(idle.motion())
        ('idle', 8.0, 200)
    """

    name: str
    shows: str
    seconds: float
    tracks: Callable[[Times], Tracks]

    def motion(self, rate: Fraction | int | None = None, span: Span | None = None) -> Motion:
        """It, or a part of it, with so many frames a second; 25 if nothing is said.

        InputError if nothing is left of it.
        """
        rate = BUNDLED_RATE if rate is None else rate
        times = np.arange(round(self.seconds * rate)) / float(rate)
        motion = Motion.of(Controls.of(**self.tracks(times)), rate)
        return motion if span is None else part(motion, span)

    def as_json(self) -> dict[str, Any]:
        """What there is to know of it, as JSON values."""
        return {"name": self.name, "seconds": self.seconds, "shows": self.shows}


def bundled_motions() -> tuple[BundledMotion, ...]:
    """All motions that `mcnet animate` knows by name.

    Example:
        >>> from mcnet_cli import bundled_motions
        >>> [motion.name for motion in bundled_motions()][:3]
        ['idle', 'nod', 'shake']
        >>> len(bundled_motions()[1].motion(rate=50))
        110
    """
    return tuple(_BUNDLED.values())


def bundled_motion(name: Path | str) -> BundledMotion | None:
    """The one of that name; None if there is none, or if a file has that name."""
    return None if os.path.lexists(name) else _BUNDLED.get(str(name))


def names_of_motions() -> str:
    """The names, as messages list them."""
    return ", ".join(_BUNDLED)


def _held(times: Times, start: float, rise: float, hold: float, fall: float) -> Times:
    """From 0 to 1 and back."""
    return eased((times - start) / rise) - eased((times - start - rise - hold) / fall)


def _blinks(times: Times, *starts: float) -> Times:
    """How far lids are shut, 0 to 1."""
    shut: Times = sum((_held(times, at, CLOSING_S, SHUT_S, OPENING_S) for at in starts), np.zeros(len(times)))
    return np.clip(shut, 0, 1)


def _wave(times: Times, period: float, phase: float = 0.0) -> Times:
    """A sine of that period, shifted so that it begins at 0."""
    turn = 2 * np.pi * phase
    wave: Times = np.sin(2 * np.pi * times / period + turn) - np.sin(turn)
    return wave


def _idle(t: Times) -> Tracks:
    breath = (1 - np.cos(2 * np.pi * t / 4)) / 2  # 15 a minute
    glances = [(2.6, 0), (2.66, 0.1), (4.4, 0.1), (4.46, -0.06), (6.6, -0.06), (6.66, 0)]
    return {
        "yaw": 1.6 * _wave(t, 8) + 0.5 * _wave(t, 8 / 3, 0.2),
        "pitch": 0.7 * breath + 0.5 * _wave(t, 8, 0.3),
        "roll": 0.8 * _wave(t, 8, 0.6),
        "x": 0.006 * _wave(t, 8, 0.1),
        "y": 0.006 * breath,
        "shoulders": 0.012 * breath,
        "smile": 0.05 * (1 - np.cos(2 * np.pi * t / 8)),
        "brows": 0.04 * (1 - np.cos(2 * np.pi * t / 8)),
        "eyes": -_blinks(t, 1.7, 5.6),
        "gaze_x": eased_through(t, glances),
    }


def _nod(t: Times) -> Tracks:
    # a small move up to begin with, then three times down, less each time
    turns = [(0.15, 0), (0.35, 2), (0.62, -9), (0.92, 1), (1.18, -6), (1.46, 0.5), (1.7, -3), (2.05, 0)]
    return {
        "pitch": eased_through(t, turns),
        "y": 0.0015 * eased_through(t, turns),
        "smile": 0.25 * _held(t, 0.3, 0.5, 0.5, 0.8),
        "eyes": -_blinks(t, 0.42),
        "brows": 0.15 * _held(t, 0.1, 0.25, 0.2, 0.5),
        "gaze_y": -0.012 * eased_through(t, turns),  # the eyes stay where they look
    }


def _shake(t: Times) -> Tracks:
    turns = [(0.1, 0), (0.42, -10), (0.8, 11), (1.18, -8), (1.54, 6), (1.86, -2.5), (2.2, 0)]
    return {
        "yaw": eased_through(t, turns),
        "pitch": -1.5 * _held(t, 0.1, 0.4, 1.2, 0.5),
        "smile": -0.15 * _held(t, 0.2, 0.5, 0.9, 0.6),
        "brows": -0.25 * _held(t, 0.2, 0.4, 1.0, 0.6),
        "eyes": -_blinks(t, 0.2),
        "gaze_x": -0.016 * eased_through(t, turns),
    }


def _smile(t: Times) -> Tracks:
    smile = _held(t, 0.3, 0.65, 1.5, 1.0)
    return {
        "smile": 0.95 * smile,
        "mouth": 0.06 * smile,
        "brows": 0.15 * _held(t, 0.3, 0.5, 0.8, 1.0),
        "roll": 2.5 * _held(t, 0.4, 0.9, 1.0, 1.2),
        "pitch": 1.5 * _held(t, 0.3, 0.8, 1.0, 1.2),
        "eyes": -0.12 * smile - 0.88 * _blinks(t, 1.15),
        "shoulders": 0.01 * _held(t, 0.3, 0.8, 0.8, 1.4),
    }


def _blink(t: Times) -> Tracks:
    shut = _blinks(t, 0.6)
    return {"eyes": -shut, "brows": -0.06 * shut, "pitch": -0.4 * _held(t, 0.55, 0.2, 0.1, 0.5)}


def _wink(t: Times) -> Tracks:
    wink, along = _held(t, 0.5, 0.14, 0.18, 0.28), _held(t, 0.3, 0.35, 0.5, 0.6)
    return {
        "right_eye": -wink,
        "left_eye": -0.15 * wink,
        "smile": 0.5 * along,
        "brows": 0.1 * along,
        "roll": 3.5 * along,
        "yaw": -4 * along,
        "pitch": -2 * wink,
    }


def _surprise(t: Times) -> Tracks:
    start, late = _held(t, 0.3, 0.28, 1.0, 0.9), _held(t, 0.38, 0.3, 0.9, 0.9)
    return {
        "brows": 1.1 * start,
        "eyes": 0.9 * start - 0.95 * _blinks(t, 0.22, 2.15),
        "mouth": 0.42 * late,
        "rounding": 0.2 * late,
        "pitch": 4 * late,
        "y": 0.012 * start,
        "shoulders": 0.02 * start,
    }


def _look_around(t: Times) -> Tracks:
    yaw = eased_through(t, [(0.4, 0), (1.1, -17), (2.1, -17), (3.0, 18), (4.1, 18), (4.8, 0)])
    pitch = eased_through(t, [(0.4, 0), (1.1, 2), (2.1, 2), (3.0, -3), (4.1, -3), (4.9, 0)])
    # eyes jump ahead of the head and come back to the middle of their sockets as it arrives
    ahead = [(0.35, 0), (0.41, -0.8), (0.6, -0.8), (1.1, -0.25), (2.05, -0.25), (2.12, 0.8), (2.4, 0.8)]
    up = [(0.35, 0), (0.41, 0.2), (2.05, 0.2), (2.12, -0.15), (4.05, -0.15), (4.12, 0)]
    back = [(3.0, 0.3), (4.05, 0.3), (4.12, -0.6), (4.3, -0.6), (4.85, 0)]
    return {
        "yaw": yaw,
        "pitch": pitch,
        "roll": -0.12 * yaw,
        "gaze_x": eased_through(t, ahead + back),
        "gaze_y": eased_through(t, up),
        "eyes": -_blinks(t, 2.08, 4.1),
        "brows": 0.15 * _held(t, 0.4, 0.3, 1.2, 0.6),
        "x": 0.0008 * yaw,
    }


# Syllables of nobody's words: start in seconds, length, opening, rounding.
_SPOKEN = (
    (0.25, 0.20, 0.28, 0.0), (0.42, 0.22, 0.45, -0.2), (0.64, 0.18, 0.22, 0.5), (0.80, 0.26, 0.52, 0.0),
    (1.06, 0.18, 0.25, -0.3), (1.22, 0.22, 0.36, 0.6), (1.42, 0.30, 0.48, -0.1), (2.10, 0.20, 0.34, 0.1),
    (2.28, 0.18, 0.20, -0.3), (2.44, 0.26, 0.55, 0.0), (2.70, 0.20, 0.26, 0.7), (2.88, 0.22, 0.40, -0.2),
    (3.10, 0.18, 0.24, 0.2), (3.26, 0.34, 0.46, 0.3), (4.05, 0.22, 0.42, -0.1), (4.26, 0.20, 0.24, 0.5),
    (4.44, 0.26, 0.50, 0.0), (4.70, 0.18, 0.22, -0.2), (4.87, 0.36, 0.38, 0.4),
)  # fmt: skip
_SUNG = (
    (0.4, 0.75, 0.45, 0.2), (1.15, 0.5, 0.34, 0.7), (1.65, 1.15, 0.68, -0.1), (3.1, 0.6, 0.42, 0.3),
    (3.7, 0.5, 0.36, -0.3), (4.2, 1.7, 0.85, 0.1), (6.2, 0.5, 0.35, 0.6), (6.7, 0.8, 0.4, 0.1),
)  # fmt: skip


def _syllables(times: Times, syllables: Sequence[tuple[float, float, float, float]]) -> tuple[Times, Times]:
    """The mouth's opening and rounding."""
    mouth, rounding = np.zeros(len(times)), np.zeros(len(times))
    for start, length, opening, rounded in syllables:
        voiced = _held(times, start - 0.05, 0.45 * length, 0.1 * length, 0.45 * length + 0.1)
        mouth = np.maximum(mouth, opening * voiced)
        rounding += rounded * _held(times, start - 0.08, 0.5 * length, 0, 0.5 * length + 0.16)
    return mouth, rounding


def _talk(t: Times) -> Tracks:
    mouth, rounding = _syllables(t, _SPOKEN)
    stress = [_held(t, at, 0.16, 0.04, 0.34) for at in (0.74, 1.4, 2.4, 3.22, 4.4)]
    phrases = sum(_held(t, at, 0.4, 0.8, 0.6) for at in (0.2, 2.05, 3.95))
    return {
        "mouth": mouth,
        "rounding": rounding,
        "smile": 0.15 * phrases,
        "pitch": -2.6 * sum(stress) + 1.2 * phrases,
        "yaw": eased_through(t, [(0.2, 0), (1.0, 4), (1.9, 3), (2.7, -5), (3.8, -3), (4.5, 2), (5.7, 0)]),
        "roll": eased_through(t, [(0.3, 0), (1.4, 1.5), (2.3, -1), (3.3, 1.5), (4.6, -1), (5.7, 0)]),
        "brows": 0.4 * (stress[0] + stress[2] + 0.7 * stress[4]),
        "eyes": -_blinks(t, 1.78, 3.72, 5.3),
        "gaze_x": eased_through(t, [(1.75, 0), (1.8, -0.25), (2.3, -0.25), (2.35, 0)]),
        "shoulders": 0.012 * _held(t, 1.75, 0.3, 0, 0.9) + 0.012 * _held(t, 3.65, 0.35, 0, 0.9),
    }


def _sing(t: Times) -> Tracks:
    mouth, rounding = _syllables(t, _SUNG)
    moved = _held(t, 4.1, 0.6, 0.9, 0.9)  # by the long note
    return {
        "mouth": mouth,
        "rounding": rounding,
        "smile": 0.25 * _held(t, 0.3, 0.8, 5.6, 0.9),
        "roll": 3.2 * _wave(t, 4) * _held(t, 0.2, 1.2, 5.0, 1.4),
        "yaw": 2.5 * _wave(t, 8),
        "pitch": eased_through(t, [(0.2, 0), (1.8, 2), (2.9, -1), (4.3, -1.5), (5.0, 5), (5.9, 3), (6.8, 0)]),
        "brows": 0.3 * _held(t, 1.5, 0.4, 0.7, 0.5) + 0.75 * moved,
        "eyes": -0.45 * moved - 0.55 * _blinks(t, 5.9) - _blinks(t, 2.95, 7.3),
        "x": 0.012 * _wave(t, 4) * _held(t, 0.2, 1.2, 5.0, 1.4),
        "shoulders": 0.02 * (_held(t, 0.0, 0.35, 0, 0.8) + _held(t, 2.75, 0.35, 0, 0.8) + moved),
    }


_BUNDLED = {
    motion.name: motion
    for motion in (
        BundledMotion("idle", "breathes, sways a little, blinks", 8.0, _idle),
        BundledMotion("nod", "nods three times", 2.2, _nod),
        BundledMotion("shake", "shakes the head", 2.4, _shake),
        BundledMotion("smile", "smiles, and stops smiling", 4.0, _smile),
        BundledMotion("blink", "blinks once", 1.6, _blink),
        BundledMotion("wink", "winks with the picture's right eye", 2.0, _wink),
        BundledMotion("surprise", "raises the brows, eyes wide, mouth open", 3.0, _surprise),
        BundledMotion("look-around", "looks to the left, to the right, and back", 5.2, _look_around),
        BundledMotion("talk", "speaks, without a sound", 6.0, _talk),
        BundledMotion("sing", "sings, without a sound", 8.0, _sing),
    )
}
