"""Who a synthetic head is: everything that stays the same while it moves, drawn from a seed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Colour = tuple[float, float, float]  # RGB in [0, 1]

# From light to dark; a skin lies between two neighbours.
SKINS: tuple[Colour, ...] = (
    (0.96, 0.82, 0.74),
    (0.91, 0.73, 0.62),
    (0.83, 0.62, 0.48),
    (0.68, 0.47, 0.34),
    (0.50, 0.33, 0.24),
    (0.34, 0.22, 0.16),
)
HAIRS: tuple[Colour, ...] = (
    (0.10, 0.08, 0.08),
    (0.16, 0.11, 0.08),
    (0.28, 0.18, 0.11),
    (0.42, 0.28, 0.16),
    (0.70, 0.55, 0.33),
    (0.50, 0.20, 0.09),
    (0.62, 0.61, 0.60),
)
IRISES: tuple[Colour, ...] = (
    (0.24, 0.14, 0.07),
    (0.36, 0.22, 0.10),
    (0.42, 0.36, 0.18),
    (0.30, 0.42, 0.30),
    (0.30, 0.45, 0.60),
    (0.42, 0.48, 0.52),
)
Style = Literal["bald", "buzz", "short", "fringe", "afro", "bob", "long"]
STYLES: tuple[Style, ...] = ("bald", "buzz", "short", "fringe", "afro", "bob", "long")


@dataclass(frozen=True, slots=True)
class Shape:
    """Departures from the average face, relative to its height or to the part's size."""

    width: float
    jaw: float
    chin: float
    forehead: float
    cheeks: float
    depth: float
    nose_width: float
    nose_length: float
    nose_height: float
    eye_size: float
    eye_distance: float
    eye_tilt: float
    brow_height: float
    mouth_width: float
    lips: float
    asymmetry: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Shape":
        """A face; extremes are cut off."""
        sizes = (0.05, 0.10, 0.05, 0.06, 0.03, 0.06, 0.14, 0.03, 0.16,
                 0.08, 0.015, 0.025, 0.012, 0.09, 0.35, 0.006)  # fmt: skip
        return cls(*(size * float(np.clip(rng.normal(), -2, 2)) for size in sizes))


@dataclass(frozen=True, slots=True)
class Skin:
    """Colours and marks of the face. Strengths in [0, 1]."""

    tone: Colour
    lips: Colour
    iris: Colour
    brow_thickness: float
    beard: float
    moustache: float
    freckles: float
    age: float
    makeup: float
    shine: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Skin":
        """A skin and what goes with it."""
        place = float(rng.uniform(0, len(SKINS) - 1.001))
        low, share = int(place), place % 1
        tone = np.array(SKINS[low]) * (1 - share) + np.array(SKINS[low + 1]) * share
        dark = place / (len(SKINS) - 1)
        masculine = rng.random() < 0.5
        makeup = 0.0 if masculine else float(rng.uniform(0, 1))
        painted = np.array([0.72, 0.16, 0.22]) * rng.uniform(0.75, 1.1)
        natural = tone * [0.86, 0.62, 0.62] + [0.04, 0.0, 0.01]
        lips = natural + (painted - natural) * makeup * 0.6
        bearded = masculine and rng.random() < 0.45
        return cls(
            tone=_colour(tone * rng.uniform([0.97, 0.97, 0.95], [1.03, 1.02, 1.03])),
            lips=_colour(lips),
            iris=_colour(np.array(IRISES[_drawn_to_dark(rng, len(IRISES), dark)]) * rng.uniform(0.8, 1.2)),
            brow_thickness=float(rng.uniform(0.55, 1.0) if masculine else rng.uniform(0.3, 0.7)),
            beard=float(rng.uniform(0.25, 1.0)) if bearded else 0.0,
            moustache=float(rng.uniform(0.3, 1.0)) if bearded or (masculine and rng.random() < 0.1) else 0.0,
            freckles=float(max(0.0, rng.uniform(-2, 1) * (1 - dark))),
            age=float(rng.uniform(0, 1) ** 1.5),
            makeup=makeup,
            shine=float(rng.uniform(0.08, 0.3)),
        )


@dataclass(frozen=True, slots=True)
class Hair:
    """A hairstyle.

    thickness: above the skull, in heights of the mesh. curl: in [0, 1]. parting: from -1, left, to 1, right.
    length: where hanging hair ends, as y. recession: how far the hairline lies above the mesh.
    """

    style: Style
    colour: Colour
    brows: Colour
    thickness: float
    curl: float
    parting: float
    length: float
    recession: float

    @classmethod
    def draw(cls, rng: np.random.Generator, skin: Skin) -> "Hair":
        """A hairstyle that may go with a skin."""
        dark = 1 - sum(skin.tone) / 3
        chances = np.array([0.06, 0.1, 0.26, 0.16, 0.05 + 0.12 * (dark > 0.5), 0.16, 0.2])
        if skin.beard or skin.moustache:
            chances *= [2, 1.5, 1.5, 1, 1, 0.1, 0.25]
        style = STYLES[int(rng.choice(len(STYLES), p=chances / chances.sum()))]
        colour = np.array(HAIRS[_drawn_to_dark(rng, len(HAIRS) - 1, dark)])
        if skin.age > 0.6 and rng.random() < 0.6:
            colour += (np.array(HAIRS[-1]) - colour) * rng.uniform(0.4, 1)
        colour = colour * rng.uniform(0.8, 1.2)
        thickness = {"afro": (0.1, 0.2), "short": (0.02, 0.1), "fringe": (0.03, 0.09)}
        return cls(
            style=style,
            colour=_colour(colour),
            brows=_colour(colour * 0.72),
            thickness=float(rng.uniform(*thickness.get(style, (0.03, 0.09)))),
            curl=1.0 if style == "afro" else float(rng.uniform(0, 1) ** 2),
            parting=float(rng.uniform(-0.9, 0.9)),
            length=float(rng.uniform(0.2, 0.5) if style == "bob" else rng.uniform(0.7, 1.1)),
            recession=float(rng.uniform(-0.02, 0.07) + 0.05 * skin.age),
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """Light, clothes and background. key_direction points to the light, in the axes of `mesh`."""

    key_direction: tuple[float, float, float]
    key: Colour
    ambient: Colour
    clothes: Colour
    pattern: Literal["plain", "stripes", "checks"]
    collar: Literal["round", "high", "shirt"]
    background: Literal["gradient", "lights", "wall", "shelves"]
    background_colours: tuple[Colour, Colour]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Scene":
        """A place to be filmed in."""
        side, up = float(rng.uniform(-1.2, 1.2)), float(rng.uniform(-0.9, -0.1))
        strength = float(rng.uniform(0.4, 0.8))
        warmth = np.array([1.0, 0.0, -1.0]) * rng.uniform(-0.08, 0.1)
        return cls(
            key_direction=(side, up, -1.0),
            key=_colour((1 + warmth) * strength, 2),
            ambient=_colour((1 - 0.7 * warmth) * (1.12 - strength) * rng.uniform(0.85, 1.05), 2),
            clothes=_colour(rng.uniform(0.08, 0.85) * rng.uniform(0.55, 1.25, 3)),
            pattern=("plain", "plain", "stripes", "checks")[int(rng.integers(4))],
            collar=("round", "high", "shirt")[int(rng.integers(3))],
            background=("gradient", "lights", "wall", "shelves")[int(rng.integers(4))],
            background_colours=(
                _colour(rng.uniform(0.1, 0.9) * rng.uniform(0.75, 1.2, 3)),
                _colour(rng.uniform(0.1, 0.9) * rng.uniform(0.75, 1.2, 3)),
            ),
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """A synthetic person in a place. seed: of the small random marks: strands, freckles, noise."""

    seed: int
    shape: Shape
    skin: Skin
    hair: Hair
    scene: Scene
    glasses: bool

    @classmethod
    def draw(cls, seed: int) -> "Identity":
        """The person of a seed, which is at least 0."""
        rng = np.random.default_rng([seed, 0])
        skin = Skin.draw(rng)
        return cls(
            seed, Shape.draw(rng), skin, Hair.draw(rng, skin), Scene.draw(rng), bool(rng.random() < 0.15)
        )


def _colour(values: "np.ndarray[tuple[int], np.dtype[np.float64]]", most: float = 0.97) -> Colour:
    red, green, blue = np.clip(values, 0.02, most).tolist()
    return red, green, blue


def _drawn_to_dark(rng: np.random.Generator, count: int, dark: float) -> int:
    """A place in a table that starts with dark colours; dark skins tend to dark hair and eyes."""
    return min(int(rng.uniform(0, 1) ** (0.7 + 5 * dark) * count), count - 1)
