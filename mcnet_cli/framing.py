"""How a crop relates to the face in it: by the height and the place of the face, or as the paper has it."""

from dataclasses import dataclass
from typing import ClassVar

# Bounds of the numbers that say how a face lies in its square.
LIMITS = {"face_height": (0.05, 1.0), "center_x": (0.0, 1.0), "center_y": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Framing:
    """How a crop relates to the face in it, as the weights were trained.

    face_height: of the mesh, relative to the square's side. center_x, center_y: of the mesh in the square, in
    [0, 1]. tube_factor: if not 0, it is used instead: the side, relative to the longer side of the tube's box
    (all frames' faces together), with the same centre.
    """

    face_height: float = 0.53
    center_x: float = 0.50
    center_y: float = 0.54
    tube_factor: float = 0.0

    PAPER: ClassVar["Framing"]

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, not in [{low:g}, {high:g}]")
        if not (self.tube_factor == 0 or 1 <= self.tube_factor <= 4):
            raise ValueError(f"tube_factor is {self.tube_factor}, neither 0 nor in [1, 4]")

    def __str__(self) -> str:
        """In words."""
        if self.tube_factor:
            return f"a square of {self.tube_factor:g} times the box that holds the face throughout"
        centre = f"{self.center_x:g}, {self.center_y:g}"
        return f"a square in which the face is {self.face_height:g} high, its middle at {centre}"

    def as_json(self) -> dict[str, float]:
        """The numbers that count."""
        if self.tube_factor:
            return {"tube_factor": self.tube_factor}
        return {name: getattr(self, name) for name in LIMITS}


# The rule of the VoxCeleb preprocessing that the paper trains on (ICCV 2023).
Framing.PAPER = Framing(tube_factor=1.2)
