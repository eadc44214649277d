"""What frames do with one front: where its pixels go, and what is painted over it."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mcnet_cli.compositing.compose import Drawing
from mcnet_cli.compositing.decoded import decoder_paints
from mcnet_cli.compositing.details import Canvas, Eye, Mouth
from mcnet_cli.compositing.draw import Movement, Paint
from mcnet_cli.compositing.front import Front
from mcnet_cli.compositing.tables import Tables
from mcnet_cli.model.detail_painter import EyePainter, MouthPainter
from mcnet_cli.model.face_parts import FaceParts


class Mover:
    """Decides what frames do with a front.

    What takes longer to call than to compute is computed for a batch of frames at once; the rest frame by
    frame. Arguments as for `PhotoCompositor`.
    """

    def __init__(
        self,
        front: Front,
        parts: FaceParts | None,
        device: torch.device,
        *,
        by_opencv: bool,
        paints: bool,
        painter: MouthPainter | None,
        eye_painter: EyePainter | None,
        placing: Sequence[int],
    ) -> None:
        self.front, self._parts, self._paints = front, parts, paints
        self.tables = Tables.of(front, device, by_opencv=by_opencv)
        canvas = self.tables.canvas
        self._mouth = None if painter is None else Mouth(painter, placing, front, canvas)
        self._eyes = _eyes(eye_painter, parts, front, canvas)

    def movements(self, drawing: Drawing) -> Iterator[Movement]:
        """What each frame of a batch does with the front."""
        tables, parts = self.tables, self._parts
        field = (drawing.whole if self.front.whole else drawing.person).float()
        if parts is not None:
            field = parts.settled(field, drawing.source, drawing.driving)
        places = tables.places(field)
        movements = [Movement(own, None, []) for own in places]
        if parts is not None:
            finer = tables.cells.finer(field, places, drawing, parts)
            movements = [Movement(own, around, []) for own, around in zip(places, finer, strict=True)]
        gaze, known = drawing.gaze, (tables.resting, drawing.source, drawing.driving)
        eyes = [] if gaze is None else self._eyes
        if not self._paints:
            yield from movements
            return
        mouth = [0.0] * len(movements) if self._mouth is None else self._mouth.strengths(*known)
        opening = [] if gaze is None else [(eye, eye.strengths(*known, gaze)) for eye in eyes]
        decoded = decoder_paints(tables, field, drawing, parts, mouth=self._mouth is None, eyes=not eyes)
        mouths = self._mouths(movements, drawing.driving, mouth)
        for number, (movement, paint) in enumerate(zip(movements, decoded, strict=True)):
            one = drawing[number]
            if paint is not None:
                movement.paints.append(paint)
            if mouth[number]:
                movement.paints.append(next(mouths))
            for eye, strengths in opening:
                if strengths[number] and one.gaze is not None:
                    moved = movement, one.source, one.driving, one.gaze
                    movement.paints.append(eye.paint(*moved, strengths[number]))
            yield movement

    def _mouths(
        self, movements: Sequence[Movement], driving: Tensor, strengths: Sequence[float]
    ) -> Iterator[Paint]:
        """What is painted in each frame whose mouth opens."""
        opened = [number for number, strength in enumerate(strengths) if strength]
        if self._mouth is not None and opened:
            yield from self._mouth.paints(
                [movements[number] for number in opened],
                driving[opened],
                [strengths[number] for number in opened],
            )


def _eyes(painter: EyePainter | None, parts: FaceParts | None, front: Front, canvas: Canvas) -> list[Eye]:
    """Both eyes of a front, if there is a painter, and it is known where they are."""
    if painter is None or parts is None or front.eyes is None:
        return []
    return [
        Eye(painter, parts, eye, torch.from_numpy(lids), front, canvas) for eye, lids in enumerate(front.eyes)
    ]
