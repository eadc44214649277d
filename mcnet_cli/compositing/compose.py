"""From what the network says of a frame to the frame that users see.

The network's own result is the paper's: its decoder's picture and the warped source, mixed by the occlusion
map. Where a network knows the landmarks of a face (`MCNet.parts`), and where the photo goes on beyond the
network's square, more is known of the source than that, and rules without parameters use it:

- what a head uncovers shows the background behind it (`backdrop`);
- what comes into view beyond the square is the photo's, a head that the photo cuts off is rounded
  (`surroundings`);
- what is painted into a photo of one hue has that hue (`tone`).

Training sees none of this: there it is the network that has to learn what a head uncovers, and which colours
to paint.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mcnet_cli.compositing.backdrop import MARGIN, Backdrop, warp_beyond, with_crown
from mcnet_cli.compositing.gaze import Gaze
from mcnet_cli.compositing.head import HeadSurface
from mcnet_cli.compositing.tone import Tone
from mcnet_cli.model import Keypoints, MCNet, SourceState
from mcnet_cli.model.generator import occlusion_at_size_of
from mcnet_cli.model.motion import MotionField
from mcnet_cli.model.windows import Window


@dataclass(frozen=True, slots=True)
class SourceLayers:
    """What compositing needs of a source beside the network's own state.

    picture: (B, 3, H + 2·margin, W + 2·margin) in [0, 1], what is warped: the source, and around it what the
    photo shows beyond the network's square. margin: in pixels, on each side.
    backdrop, tone: None for networks without landmarks of a face; tone also for sources in colours.
    """

    picture: Tensor
    margin: int = 0
    backdrop: Backdrop | None = None
    tone: Tone | None = None

    def expand(self, batch: int) -> "SourceLayers":
        """The same for `batch` frames; no copy is made."""
        if self.picture.shape[0] == batch:
            return self
        return SourceLayers(
            self.picture.expand(batch, *self.picture.shape[1:]),
            self.margin,
            None if self.backdrop is None else self.backdrop.expand(batch),
            None if self.tone is None else self.tone.expand(batch),
        )


@dataclass(frozen=True, slots=True)
class Composition:
    """A batch of finished frames and what they are put together from, (B, 3, H, W) in [0, 1] each.

    painted: the decoder's picture in the source's colours. warped: the source, moved. motion: the network's.
    """

    frames: Tensor
    painted: Tensor
    warped: Tensor
    motion: MotionField


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What the network says of a batch of frames, from which pictures of any size are put together.

    person: (B, 64, 64, 2), where in the source each cell of the person is taken from. whole: the same of
    everything, background included. occlusion: (B, 1, 64, 64), 1 where the warped source can be trusted.
    source, driving: (1, K, 2) and (B, K, 2) keypoints. gaze: where irises go; None leaves that to the motion.
    All of that is on the CPU, where it is decided what is drawn, and where.
    paint: computes the decoder's picture for some frames of the batch, in a window of rows and columns. Most
    frames show little of it, so it is computed only where it is shown. frames: which of the batch's frames
    this drawing has.
    """

    person: Tensor
    whole: Tensor
    occlusion: Tensor
    source: Tensor
    driving: Tensor
    paint: Callable[[slice, Window], Tensor]
    gaze: Gaze | None = None
    frames: slice = field(default_factory=lambda: slice(None))

    def painted(self, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
        """(B, 3, h, w) in [0, 1], a part of the decoder's picture in the source's colours.

        It is computed anew with each call, on the network's device.
        """
        return self.paint(self.frames, (rows, columns))

    def __getitem__(self, number: int) -> "Drawing":
        """One frame, as a batch of one."""
        rows, first = slice(number, number + 1), (self.frames.start or 0) + number
        return Drawing(
            person=self.person[rows],
            whole=self.whole[rows],
            occlusion=self.occlusion[rows],
            source=self.source,
            driving=self.driving[rows],
            paint=self.paint,
            gaze=None if self.gaze is None else self.gaze[rows],
            frames=slice(first, first + 1),
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What is known of a batch before anything is painted; `person` and `occlusion` as in `Drawing`."""

    motion: MotionField
    person: Tensor
    occlusion: Tensor


class Compositor:
    """Puts frames of `model` together; it has no parameters of its own, and works on the model's device."""

    def __init__(self, model: MCNet) -> None:
        self.model = model
        numbers, device = model.config.keypoints.landmarks, next(model.parameters()).device
        self._head = HeadSurface(numbers, device) if model.parts is not None else None

    @property
    def margin(self) -> int:
        """How many pixels beyond its square the model can show; 0 if it takes everything beyond for black."""
        config = self.model.config
        return round(MARGIN * config.size) if config.motion.border == "border" else 0

    def layers(self, state: SourceState, surroundings: Tensor | None = None, top: int = 0) -> SourceLayers:
        """All that depends on the source alone, beside its `state` of batch B.

        surroundings: (1, 3, H + 2·margin, W + 2·margin) in [0, 1], the state's image with `margin` more
        pixels on each side; None if there is nothing around it. top: how many of its rows lie above the
        photo.
        """
        image = state.image
        backdrop = tone = None
        if self.model.parts is not None:
            backdrop = Backdrop.of(self.foreground(state), image)
            tone = Tone.of(state.motion_image)
        if surroundings is None:
            return SourceLayers(image, 0, backdrop, tone)
        if backdrop is not None:
            surroundings = with_crown(surroundings, backdrop, top)
        margin = (surroundings.shape[-1] - image.shape[-1]) // 2
        return SourceLayers(surroundings, margin, backdrop, tone)

    def foreground(self, state: SourceState) -> Tensor:
        """(B, 1, 64, 64) in [0, 1]: what of a source moves with its keypoints."""
        dense_motion = self.model.generator.dense_motion_network
        at_rest: MotionField = dense_motion(state.motion_image, state.keypoints, state.keypoints)
        return 1 - at_rest.shares.background

    def frames(self, state: SourceState, layers: SourceLayers, driving: Keypoints) -> Tensor:
        """(B, 3, H, W) frames in [0, 1] of the source with its keypoints moved to `driving`, of batch B.

        A state and layers of batch 1 serve any B. Without landmarks of a face and without a margin the result
        is the paper's, as `MCNet.render` computes it.
        """
        return self.compose(state, layers, driving).frames

    def moved(self, state: SourceState, driving: Keypoints) -> Moved:
        """Where a source's parts go with its keypoints moved to `driving`; a state of batch 1 serves any."""
        whole = state.expand(len(driving))
        motion = self.model.generator.dense_motion_network(whole.motion_image, whole.keypoints, driving)
        person, occlusion = motion.person, motion.occlusion
        if self._head is not None:
            person, share = self._head.turned(person, state.keypoints.values, driving.values)
            # the decoder paints where the network's own motion has opened something, and the surface's hasn't
            occlusion = torch.lerp(occlusion, torch.ones_like(occlusion), share[:, None, None, None])
        return Moved(motion, person, occlusion)

    def painted(
        self,
        state: SourceState,
        layers: SourceLayers,
        driving: Keypoints,
        motion: MotionField,
        window: Window | None = None,
    ) -> Tensor:
        """(B, 3, H, W) in [0, 1], the decoder's picture in the source's colours, of a motion of batch B.

        window: the part of it that is wanted, rows and columns; None for all.
        """
        state, layers = state.expand(len(driving)), layers.expand(len(driving))
        generator = self.model.generator
        if window is None:
            decoded = generator.painted(state, driving, motion).decoded
        else:
            decoded = generator.painted_part(state, driving, motion, window)
        return decoded if layers.tone is None else layers.tone(decoded)

    def drawings(
        self, state: SourceState, layers: SourceLayers, driving: Keypoints
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first three fields of a `Drawing`, and all that is painted; arguments as for `frames`."""
        moved = self.moved(state, driving)
        painted = self.painted(state, layers, driving, moved.motion)
        return moved.person, moved.motion.deformation, moved.occlusion, painted

    def compose(self, state: SourceState, layers: SourceLayers, driving: Keypoints) -> Composition:
        """Like `frames`, with what they are put together from."""
        state, layers = state.expand(len(driving)), layers.expand(len(driving))
        generator = self.model.generator
        made = generator.generate(state, driving)
        painted = made.decoded if layers.tone is None else layers.tone(made.decoded)
        deformation, uncovered = made.motion.deformation, None
        if layers.backdrop is not None:
            deformation, uncovered = layers.backdrop.parted(deformation, made.motion.person)
        deformation = generator.dense_motion_network.refined_deformation(
            deformation, state.keypoints, driving, (painted.shape[2], painted.shape[3])
        )
        border, cubic = self.model.config.motion.border, self.model.config.generator.cubic
        warped = warp_beyond(layers.picture, deformation, layers.margin, border, cubic)
        trust = occlusion_at_size_of(warped, made.motion)
        frames = painted * (1 - trust) + warped * trust
        if layers.backdrop is not None and uncovered is not None:
            frames = layers.backdrop.behind(frames, uncovered)
        return Composition(frames, painted, warped, made.motion)
