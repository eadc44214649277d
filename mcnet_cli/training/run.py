"""`train`: from a folder of clips to a run folder whose weights file `mcnet animate` takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.checkpoint import write_weights
from mcnet_cli.devices import choose
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.model import ModelConfig
from mcnet_cli.training.config import FRAMING, LANDMARKS, RunConfig
from mcnet_cli.training.dataset import find_clips, load_clips
from mcnet_cli.training.loop import Training, write_config
from mcnet_cli.training.perceptual import load_perceptual


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What `mcnet train` is asked to do."""

    clips: Path
    run: Path
    config: RunConfig = field(default_factory=RunConfig)
    model: str = "lite"
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What was done."""

    weights: Path
    steps: int
    seconds: float
    clips: int
    skipped: int

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "version": __version__,
            "weights": str(self.weights),
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "clips": self.clips,
            "skipped_steps": self.skipped,
        }

    def as_text(self) -> str:
        """Two lines for people."""
        return (
            f"{self.steps} steps on {self.clips} clips in {self.seconds / 60:.1f} minutes\n"
            f"{shown(self.weights)}"
        )


def train(request: TrainRequest, on_progress: Callable[[dict[str, Any]], None] | None = None) -> TrainReport:
    """Trains, or goes on with what `request.run` holds. Raises the children of McnetError."""
    compute = choose(request.device, request.precision)
    try:
        model = ModelConfig.preset(request.model)
    except ValueError as error:
        raise UsageError(f"--config: {error}") from error
    paths = find_clips(request.clips)
    request.run.mkdir(parents=True, exist_ok=True)
    clips = load_clips(
        paths, size=model.size, limit=request.config.frames_per_clip, cache=request.run / "landmarks"
    )
    perceptual = load_perceptual()
    training = Training(model, request.config, clips, request.run, compute.device, compute.dtype, perceptual)
    training.resume()
    write_config(request.run, model, request.config)
    training.train(on_progress)
    weights = request.run / "weights.safetensors"
    card = {
        "trained_by": f"mcnet {__version__}",
        "steps": training.step,
        "minutes": round(training.elapsed_s / 60, 1),
        "clips": len(clips),
        "perceptual": "none" if perceptual is None else "efficientnet-lite0",
    }
    write_weights(weights, training.ema.state_dict(), model, framing=FRAMING, smooth=None, card=card, landmarks=LANDMARKS)
    return TrainReport(weights, training.step, training.elapsed_s, len(clips), training.skipped)
