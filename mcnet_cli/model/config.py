"""Everything that defines an architecture: frozen dataclasses, and JSON of them."""

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

Condition = Literal["both", "keypoints", "features", "none"]
Border = Literal["zeros", "border"]
Pictures = Literal["each", "shared"]
LANDMARKS = 478  # points that keypoints can stand for: the face mesh's 468, then ten of skull, hair and body
PAINTERS = "painter", "eye_painter"  # fields of `ModelConfig`, and parts of the network
# Points of the face mesh that place a mouth in a face: its corners, the middles of the inner and of the outer
# lips, the outer corners of the eyes, the tip of the nose and the chin.
PLACING = (61, 291, 13, 14, 0, 17, 33, 263, 1, 152)


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name} = {value!r}: {rule}")


def _bounded(name: str, value: float, low: float, high: float) -> None:
    _require(low <= value <= high, name, value, f"must be between {low} and {high}")


def _each_bounded(name: str, values: Iterable[float], low: float, high: float) -> None:
    for value in values:
        _bounded(name, value, low, high)


@dataclass(frozen=True, slots=True)
class HourglassConfig:
    """An encoder and decoder with skips: width `expansion`·2^level, at most `cap`, over `blocks` halvings."""

    expansion: int
    cap: int
    blocks: int

    def __post_init__(self) -> None:
        _bounded("expansion", self.expansion, 1, 512)
        _bounded("cap", self.cap, 1, 2048)
        _bounded("blocks", self.blocks, 1, 6)


@dataclass(frozen=True, slots=True)
class KeypointConfig:
    """The keypoint detector.

    count: of keypoints. jacobians: whether each has a local affine frame beside its position.
    hourglass, kernel: of the network, and of the convolutions that make heatmaps of its output.
    padded: whether those convolutions are. Without padding they shrink the heatmaps, as the paper's do.
    landmarks: what the keypoints were trained to be, one number each: points of the face mesh (below 468) or
        `mcnet_cli.face.OUTER` (468 to 477); empty for keypoints that the network found by itself.
    """

    count: int = 15
    jacobians: bool = True
    hourglass: HourglassConfig = HourglassConfig(32, 1024, 5)
    kernel: int = 7
    padded: bool = False
    landmarks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _bounded("keypoints.count", self.count, 1, 500)
        _bounded("keypoints.kernel", self.kernel, 1, 15)
        _require(self.kernel % 2 == 1, "keypoints.kernel", self.kernel, "must be odd")


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Dense motion.

    heatmap_variances: of the keypoints' heatmaps, one for all or one each.
    locality: standard deviations of the prior that ties each keypoint's mask to its neighbourhood,
        one each; empty for no prior.
    spline: whether a smooth motion by all keypoints together is one more sparse motion.
    mouth, eyes: numbers of the keypoints whose geometry decides about lips and lids, in the order of
        `face_parts.FaceParts`; empty leaves lips and lids to the network.
    border: what lies beyond the source's picture, black or its last pixels.
    pictures: which motions' pictures of the source the network sees: of each motion, as in the paper, or only
        of those that no single keypoint makes (the background's and the spline's).
    """

    hourglass: HourglassConfig = HourglassConfig(64, 1024, 5)
    kernel: int = 7
    heatmap_variances: tuple[float, ...] = (0.01,)
    locality: tuple[float, ...] = ()
    spline: bool = False
    mouth: tuple[int, ...] = ()
    eyes: tuple[int, ...] = ()
    border: Border = "zeros"
    pictures: Pictures = "each"

    def __post_init__(self) -> None:
        _bounded("motion.kernel", self.kernel, 1, 15)
        _require(self.kernel % 2 == 1, "motion.kernel", self.kernel, "must be odd")
        _each_bounded("motion.heatmap_variances", self.heatmap_variances, 1e-5, 10)
        _each_bounded("motion.locality", self.locality, 1e-3, 10)


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """The memory unit.

    sizes: nominal sides (in a picture of 256²) of the features that it serves. width: its channels.
    style_width: of the layer that makes the style. bank_size: side of the bank.
    experts: of the convolution that reads keys and values. condition: what the bank is conditioned on.
    """

    sizes: tuple[int, ...] = (32, 64, 128)
    width: int = 512
    style_width: int = 128
    bank_size: int = 32
    experts: int = 4
    condition: Condition = "both"

    def __post_init__(self) -> None:
        _each_bounded("memory.sizes", self.sizes, 4, 256)
        _bounded("memory.width", self.width, 1, 1024)
        _bounded("memory.style_width", self.style_width, 1, 1024)
        _bounded("memory.bank_size", self.bank_size, 1, 128)
        _bounded("memory.experts", self.experts, 1, 16)


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Encoder and decoder.

    channels: of the encoder's features, finest first; each level halves the size.
    stem_stride: 2 works at half size and lets a pixel shuffle make the full-size picture.
    residual_blocks: at each decoder level below the finest, coarsest first.
    hint_channels: to which dense motion's last features are reduced that join the decoder; 0 for none.
    detail_keypoints: numbers of keypoints whose narrow driving heatmaps join the decoder; empty for none.
    detail_variance: of those heatmaps.
    cubic: share of bicubic interpolation, the rest bilinear, in the warped source that the result shows. The
        larger, the sharper.
    hint_kernel, final_kernel: of the convolution that takes in the hints beside coarser features, and of the
        last one.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512)
    stem_stride: int = 1
    residual_blocks: tuple[int, ...] = (2, 2, 2)
    hint_channels: int = 0
    detail_keypoints: tuple[int, ...] = ()
    detail_variance: float = 0.0008
    cubic: float = 0.0
    hint_kernel: int = 3
    final_kernel: int = 7

    def __post_init__(self) -> None:
        _bounded("generator.channels", len(self.channels), 2, 6)
        _each_bounded("generator.channels", self.channels, 2, 1024)
        _require(all(c % 2 == 0 for c in self.channels), "generator.channels", self.channels, "must be even")
        _require(self.stem_stride in (1, 2), "generator.stem_stride", self.stem_stride, "must be 1 or 2")
        _require(
            len(self.residual_blocks) == len(self.channels) - 1,
            "generator.residual_blocks",
            self.residual_blocks,
            "needs one number a level below the finest",
        )
        _each_bounded("generator.residual_blocks", self.residual_blocks, 0, 8)
        _bounded("generator.hint_channels", self.hint_channels, 0, 256)
        _bounded("generator.detail_variance", self.detail_variance, 1e-5, 1)
        _bounded("generator.cubic", self.cubic, 0, 1)
        for name in ("hint_kernel", "final_kernel"):
            kernel = getattr(self, name)
            _bounded(f"generator.{name}", kernel, 1, 15)
            _require(kernel % 2 == 1, f"generator.{name}", kernel, "must be odd")


@dataclass(frozen=True, slots=True)
class PainterConfig:
    """A detail painter, which paints the inside of mouths or eyes at the portrait's own size.

    size: side in pixels of the squares around them that it sees; 0 for no painter.
    channels: at a half, a quarter and an eighth of that size. tokens: of its memory bank; 0 for no bank.
    enlarger: channels of what doubles its paint for larger mouths; 0 for none.
    """

    size: int = 0
    channels: tuple[int, ...] = (24, 48, 80)
    tokens: int = 64
    enlarger: int = 0

    def __post_init__(self) -> None:
        _bounded("painter.size", self.size, 0, 512)
        _require(self.size % 16 == 0, "painter.size", self.size, "must be a multiple of 16")
        _require(len(self.channels) == 3, "painter.channels", self.channels, "needs three numbers")
        _each_bounded("painter.channels", self.channels, 4, 512)
        _require(
            all(c % 4 == 0 for c in self.channels), "painter.channels", self.channels, "must be fourfold"
        )
        _bounded("painter.tokens", self.tokens, 0, 4096)
        _bounded("painter.enlarger", self.enlarger, 0, 128)

    def to_json(self) -> str:
        """The config as JSON."""
        return json.dumps(self.entries(), separators=(",", ":"))

    def entries(self) -> dict[str, Any]:
        """All fields; without `enlarger` where there is none, as older versions don't know it."""
        data = dataclasses.asdict(self)
        if not self.enlarger:
            del data["enlarger"]
        return data

    @classmethod
    def from_json(cls, text: str) -> "PainterConfig":
        """Reads `to_json`'s text. ValueError names the first bad field; all numbers are bounded."""
        config: PainterConfig = typed_value(cls, json.loads(text), "painter")
        return config


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """An MCNet architecture. Equal configs build networks with equal parameter names and shapes."""

    size: int = 256
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    painter: PainterConfig = field(default_factory=PainterConfig)  # of mouths
    eye_painter: PainterConfig = field(default_factory=PainterConfig)

    def __post_init__(self) -> None:
        _require(self.size in (64, 128, 256, 512), "size", self.size, "must be 64, 128, 256 or 512")
        count = self.keypoints.count
        landmarks = self.keypoints.landmarks
        _each_bounded("keypoints.landmarks", landmarks, 0, LANDMARKS - 1)
        _require(
            len(landmarks) in (0, count), "keypoints.landmarks", landmarks, f"needs no number or {count}"
        )
        _require(
            not (landmarks and self.keypoints.jacobians),
            "keypoints.landmarks",
            landmarks,
            "goes without keypoints.jacobians",
        )
        _require(
            len(self.motion.heatmap_variances) in (1, count),
            "motion.heatmap_variances",
            self.motion.heatmap_variances,
            f"needs one number or {count}",
        )
        _require(
            len(self.motion.locality) in (0, count),
            "motion.locality",
            self.motion.locality,
            f"needs no number or {count}",
        )
        detail = self.generator.detail_keypoints
        _each_bounded("generator.detail_keypoints", detail, 0, count - 1)
        mouth, eyes = self.motion.mouth, self.motion.eyes
        for name, part in (("mouth", mouth), ("eyes", eyes)):
            _each_bounded(f"motion.{name}", part, 0, count - 1)
            _require(len(part) in (0, 6), f"motion.{name}", part, "must be six keypoints, or none")
        _require(bool(mouth) == bool(eyes), "motion.eyes", eyes, "goes with motion.mouth")
        _require(
            not self.painter.size or (bool(mouth) and set(PLACING) <= set(landmarks)),
            "painter.size",
            self.painter.size,
            f"needs motion.mouth, and keypoints that are landmarks {PLACING}",
        )
        _require(
            not self.eye_painter.size or bool(eyes),
            "eye_painter.size",
            self.eye_painter.size,
            "needs motion.eyes",
        )
        _require(
            all(size in self.feature_sizes[1:] for size in self.memory.sizes),
            "memory.sizes",
            self.memory.sizes,
            f"must be among {self.feature_sizes[1:]}",
        )

    @property
    def painters(self) -> tuple[str, ...]:
        """Those of `PAINTERS` that the network has."""
        return tuple(name for name in PAINTERS if getattr(self, name).size)

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """Nominal sides of the encoder's features, finest first, for a 256² picture."""
        return tuple(
            256 // self.generator.stem_stride >> level for level in range(len(self.generator.channels))
        )

    def to_json(self) -> str:
        """The config as JSON, without the fields that format 1 lacks where they say nothing."""
        data = dataclasses.asdict(self)
        if not self.keypoints.landmarks:
            del data["keypoints"]["landmarks"]
        for name in PAINTERS:
            del data[name]
        data |= {name: getattr(self, name).entries() for name in self.painters}
        for part, names in NEWER_FIELDS.items():
            default = getattr(DEFAULT, part)
            for name in names:
                if data[part][name] == getattr(default, name):
                    del data[part][name]
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "ModelConfig":
        """Reads `to_json`'s text. ValueError names the first bad field; all numbers are bounded."""
        try:
            config: ModelConfig = typed_value(cls, json.loads(text), "config")
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError("the config is not JSON") from error
        return config


def typed_value(kind: Any, data: Any, name: str = "", defaults: Any = None) -> Any:
    """Data of JSON or TOML as a field's type or a dataclass, whose missing fields `defaults` may have.

    ValueError for another type, for what is out of range, and for an unknown field, which names the nearest.
    name: of the data, in messages.
    """
    if get_origin(kind) is UnionType:  # of dataclasses: the kind that the defaults have
        kind = type(defaults)
    if dataclasses.is_dataclass(kind):
        return _dataclass_value(kind, data, name, defaults)
    if get_origin(kind) is tuple:
        _require(isinstance(data, list | tuple), name, data, "must be a list")
        _require(len(data) <= 1000, name, "…", "must be a short list")
        return tuple(typed_value(get_args(kind)[0], value, name) for value in data)
    if get_origin(kind) is Literal:
        _require(data in get_args(kind), name, data, f"must be one of {', '.join(get_args(kind))}")
    elif kind is float and type(data) is int and abs(data) < 1e300:
        return float(data)
    else:
        _require(type(data) is kind, name, data, f"must be of type {kind.__name__}")
    return data


def _dataclass_value(kind: Any, data: Any, name: str, defaults: Any) -> Any:
    _require(isinstance(data, Mapping), name, data, "must be a table")
    hints, prefix = get_type_hints(kind), f"{name}." if name else ""
    for key in data:
        if key not in hints:
            (nearest,) = difflib.get_close_matches(key, hints, 1, 0.0)
            raise ValueError(f"no setting {prefix}{key}; the nearest is {prefix}{nearest}")
    known = {} if defaults is None else {key: getattr(defaults, key) for key in hints}
    given = {key: typed_value(hints[key], data[key], f"{prefix}{key}", known.get(key)) for key in data}
    try:
        return kind(**(known | given))
    except (TypeError, ValueError) as error:  # TypeError where a field is missing
        own = f"{name.rpartition('.')[2]}."  # which parts of `ModelConfig` say themselves
        raise ValueError(prefix + str(error).removeprefix(own)) from error


DEFAULT = ModelConfig()
# Fields that weights of format 1 lack, unless they differ from the default: older versions can't read them.
NEWER_FIELDS = {"motion": ("pictures",), "generator": ("hint_kernel", "final_kernel")}
