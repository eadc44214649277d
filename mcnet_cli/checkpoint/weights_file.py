"""Reads and writes a network's weights, whole and checked, and builds the network from them."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mcnet_cli.checkpoint.official import (
    LEGACY_MAGIC,
    check_container,
    config_of,
    official_entries,
    read_checkpoint,
)
from mcnet_cli.checkpoint.safetensors_file import (
    FLOATS,
    FORMAT,
    LANDMARKS_ENTRY,
    Description,
    landmarks_in,
    read_header,
    read_tensors,
    write_tensors,
)
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import atomic_output, require_regular_file
from mcnet_cli.model import MCNet, ModelConfig
from mcnet_cli.model.config import PainterConfig

FILE_LIMIT = 4 << 30  # bytes; an official checkpoint with its optimizers has 1.3 GB
PARAMETER_LIMIT = 500_000_000  # the paper's network has 102 million
PAINTER_ENTRY = "mcnet.painter"


@dataclass(frozen=True, slots=True)
class Weights:
    """The content of a weights file that passed all checks.

    state: float32 on the CPU, finite, with exactly the names and shapes that `config` asks for.
    framing: how faces were cropped for training (see `face.crop.Framing`); None if the file doesn't say.
    smooth: default sigma, in frames, of the Gaussian over learned keypoints; None for no smoothing.
    card: what the network was trained on, how, and how well it does; empty if the file doesn't say.
    """

    path: Path
    config: ModelConfig
    state: dict[str, Tensor]
    framing: dict[str, float] | None = None
    smooth: float | None = None
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def landmarks(self) -> tuple[int, ...] | None:
        """Indices of the landmarks used as keypoints (see `KeypointConfig`); None for learned keypoints."""
        return self.config.keypoints.landmarks or None


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file or a torch checkpoint; the content decides which, never the name.

    WeightsError names the file and the first problem. Memory is allocated only after names and shapes have
    been checked, and no code in the file runs.
    """
    size = require_regular_file(path, error=WeightsError).st_size
    if not size:
        raise WeightsError(f"{shown(path)} is empty", hint="download it again")
    if size > FILE_LIMIT:
        raise WeightsError(f"{shown(path)} is too large for a weights file ({size >> 20} MB)")
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"can't read {shown(path)}: {error.strerror}") from error
    if head[8:9] == b"{":
        return _read_safetensors(path)
    zipped = head.startswith(b"PK\x03\x04")
    if zipped:
        check_container(path)
    if zipped or LEGACY_MAGIC in head[:16]:
        config = _inferred_config(path, read_checkpoint(path, device="meta"))
        return Weights(path, config, _checked(path, read_checkpoint(path, device="cpu")))
    raise _not_weights(path, head)


def _not_weights(path: Path, head: bytes) -> WeightsError:
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return WeightsError(
            f"{shown(path)} is a web page (HTML), not a weights file", hint="download it again, in a browser"
        )
    if head.startswith(b"\x80"):
        return WeightsError(f"{shown(path)} is a bare pickle: unsafe, and not a weights file")
    return WeightsError(
        f"{shown(path)} is not a weights file: neither a safetensors header nor torch's format",
        hint="mcnet reads .safetensors files and official .pth.tar checkpoints",
    )


def _read_safetensors(path: Path) -> Weights:
    header = read_header(path)
    metadata = header.metadata
    if "mcnet.format" not in metadata:  # a checkpoint that somebody converted
        names = {name.replace(".module.", ".").removeprefix("module."): name for name in header.shapes}
        placeholders = {name: torch.empty(header.shapes[names[name]], device="meta") for name in names}
        entries = official_entries(path, placeholders)
        config = _inferred_config(path, entries)
        loaded = read_tensors(path, [names[name] for name in entries])
        return Weights(path, config, _checked(path, {name: loaded[names[name]] for name in entries}))
    if metadata["mcnet.format"] != FORMAT:
        raise WeightsError(
            f"{shown(path)} has the format {shown(metadata['mcnet.format'][:20])}, too new for this mcnet",
            hint="update mcnet",
        )
    config = _read_config(path, metadata)
    _check_shapes(path, config, header.shapes)
    if wrong := [name for name, dtype in header.dtypes.items() if dtype not in FLOATS]:
        raise WeightsError(f"{shown(path)}: {wrong[0]} has the type {header.dtypes[wrong[0]]}, not a float")
    said = Description.parse(path, metadata)
    state = _checked(path, read_tensors(path, header.shapes))
    return Weights(path, config, state, said.framing, said.smooth, said.card)


def _inferred_config(path: Path, entries: Mapping[str, Tensor]) -> ModelConfig:
    """The architecture of an official checkpoint; WeightsError unless it fits every entry."""
    shapes = {name: tuple(tensor.shape) for name, tensor in entries.items()}
    try:
        config = config_of(shapes)
    except (ValueError, IndexError) as error:
        raise WeightsError(f"{shown(path)} is not an MCNet checkpoint: {shown(str(error)[:200])}") from error
    _check_shapes(path, config, shapes)
    return config


class _NoRandomValues(TorchFunctionMode):
    """Skips drawing initial values: on the meta device torch would import its compiler for it (over 1 s)."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        arguments = kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **arguments)
        if func in (torch.Tensor.normal_, nn.init.normal_, nn.init.kaiming_normal_):
            return args[0] if args else arguments["tensor"]
        return func(*args, **arguments)


def _expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The names and shapes of everything a network of this config loads; nothing is allocated."""
    with torch.device("meta"), _NoRandomValues():
        state = MCNet(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not _is_counter(name)}


def _is_counter(name: str) -> bool:
    """Whether it counts batches for batch normalisation in training; inference never reads it."""
    return name.endswith(".num_batches_tracked")


def _check_shapes(path: Path, config: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """WeightsError unless a network of this config has exactly the entries `shapes`, counters aside."""
    expected = _expected_shapes(config)
    if sum(map(math.prod, expected.values())) > PARAMETER_LIMIT:
        raise WeightsError(f"{shown(path)}: its config asks for a network that is too large")
    if missing := [name for name in expected if name not in shapes]:
        raise WeightsError(f"{shown(path)}: missing {missing[0]}{_and_more(missing)}")
    if unexpected := [name for name in shapes if name not in expected and not _is_counter(name)]:
        raise WeightsError(f"{shown(path)}: unexpected {shown(unexpected[0][:100])}{_and_more(unexpected)}")
    if wrong := [name for name in expected if shapes[name] != expected[name]]:
        name = wrong[0]
        raise WeightsError(f"{shown(path)}: {name} has the shape {shapes[name]}, not {expected[name]}")


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _checked(path: Path, entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in float32, without counters; WeightsError for values that are not finite floats."""
    state = {}
    for name, tensor in entries.items():
        if _is_counter(name):
            continue
        if not tensor.dtype.is_floating_point or tensor.layout is not torch.strided:
            raise WeightsError(f"{shown(path)}: {name} has the type {tensor.dtype}, not a float")
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{shown(path)}: {name} holds values that are not finite (NaN or infinity)")
        state[name] = tensor.to(torch.float32).clone(memory_format=torch.contiguous_format)
    return state


def _read_config(path: Path, metadata: Mapping[str, str]) -> ModelConfig:
    """The architecture. Format 1 has the keypoints' landmarks and the painter in entries of their own."""
    try:
        config = ModelConfig.from_json(metadata.get("mcnet.config", ""))
    except ValueError as error:
        raise WeightsError(f"{shown(path)}: bad config in its metadata: {shown(str(error)[:200])}") from error
    entry = ""
    try:
        if (entry := LANDMARKS_ENTRY) in metadata:
            landmarks = landmarks_in(metadata)
            if not landmarks:
                raise ValueError
            config = _with(config, landmarks, config.painter)
        if (entry := PAINTER_ENTRY) in metadata:
            painter = PainterConfig.from_json(metadata[entry])
            config = _with(config, config.keypoints.landmarks, painter)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise WeightsError(f"{shown(path)}: bad metadata: {entry} makes no sense") from error
    return config


def _config_metadata(config: ModelConfig) -> dict[str, str]:
    """The entries that `_read_config` reads, as every version that reads format 1 understands them."""
    entries = {"mcnet.config": _with(config, (), PainterConfig()).to_json()}
    if config.keypoints.landmarks:
        entries[LANDMARKS_ENTRY] = json.dumps(config.keypoints.landmarks)
    if config.painter.size:
        entries[PAINTER_ENTRY] = config.painter.to_json()
    return entries


def _with(config: ModelConfig, landmarks: tuple[int, ...], painter: PainterConfig) -> ModelConfig:
    """The config with these landmarks and this painter."""
    return replace(config, keypoints=replace(config.keypoints, landmarks=landmarks), painter=painter)


def build_model(weights: Weights, device: str | torch.device = "cpu") -> MCNet:
    """The network with these weights: evaluation mode, channels-last, no gradients."""
    model = MCNet(weights.config)
    model.load_state_dict(weights.state)
    return model.eval().requires_grad_(False).channels_last().to(device)


def write_weights(
    path: Path,
    state: Mapping[str, Tensor],
    config: ModelConfig,
    *,
    framing: Mapping[str, float] | None,
    smooth: float | None,
    card: Mapping[str, Any],
    half: bool = True,
    overwrite: bool = True,
) -> None:
    """Writes a weights file that `read_weights` takes; it appears under its name only when complete.

    half: matrices and kernels are stored in half precision where the values fit; vectors, which are small and
    sensitive, in single precision. WeightsError if `state` doesn't fit `config` or isn't finite; nothing is
    written then.
    """
    entries = {name: tensor.detach() for name, tensor in state.items() if not _is_counter(name)}
    _check_shapes(path, config, {name: tuple(tensor.shape) for name, tensor in entries.items()})
    description = Description(None if framing is None else dict(framing), smooth, dict(card))
    metadata = {"mcnet.format": FORMAT, **_config_metadata(config), **description.metadata()}
    Description.parse(path, metadata)  # refuses what could not be read again
    stored = {name: _narrowed(tensor, half) for name, tensor in _checked(path, entries).items()}
    with atomic_output(path, overwrite=overwrite) as part:
        write_tensors(part, stored, metadata)
        read_header(part)


def _narrowed(tensor: Tensor, half: bool) -> Tensor:
    if half and tensor.dim() > 1 and torch.isfinite(narrow := tensor.to(torch.float16)).all():
        return narrow
    return tensor


def detector_digest(weights: Weights | Mapping[str, Tensor]) -> str:
    """sha256 of the keypoint detector's parameters: a motion file names the detector it was made with."""
    state = weights.state if isinstance(weights, Weights) else weights
    digest = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith("kp_detector.") and not _is_counter(name)):
        tensor = state[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
