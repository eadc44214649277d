"""From recipes, TOML files and `--set a.b=c` to a `RunConfig`, and back to TOML."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import atomic_output, require_regular_file
from mcnet_cli.model import PRESETS, ModelConfig, PainterConfig
from mcnet_cli.model.config import typed_value
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.objective_config import PaperLossWeights

MAX_FILE_BYTES = 1 << 20
Settings = dict[str, Any]

# What each recipe changes in the defaults of `RunConfig`, as a configuration file would.
RECIPES: dict[str, Settings] = {
    "lite": {},
    "mcnet": {  # the paper's: 8 pictures on each of 8 GPUs (ICCV 2023, sec. 4.1)
        "batch_size": 8,
        "learning_rate": 2e-4,
        "checkpoint_every": 1000,
        "schedule": {
            "minutes": 0.0,
            "epochs": 100.0,
            "warmup_steps": 0,
            "decay": "step",
            "decay_from": 0.8,
            "final_rate": 0.1,
            "small_share": 0.0,
        },
        "optimizer": {"clip_norm": 10.0, "ema": 0.0},
        "keypoints": {"supervision": "none"},
        "data": {"frames_per_clip": 0, "repeats": 75, "workers": 4, "expressive_share": 0.0},
        "augment": {
            "rotation_deg": 0.0,
            "scale": 0.0,
            "anisotropy": 0.0,
            "shear": 0.0,
            "shift": 0.0,
            "shape": 0.0,
            "colour": 0.0,
            "faded": 0.0,
            "jitter": 0.1,
            "separate_share": 0.0,
        },
        "output": {"log_every": 50, "sheet_every": 1000},
        "model": asdict(PRESETS["mcnet"]),
    },
}


def configure(
    run: Path,
    *,
    configs: Sequence[str] = (),
    assignments: Sequence[str] = (),
    changes: Settings | None = None,
    model: ModelConfig | None = None,
) -> RunConfig:
    """The configuration of the run in the folder `run`. UsageError or InputError names what is wrong.

    configs: recipes' names and TOML files, each over the one before; without any, those of the run if it has
    begun, else `lite`. model: an architecture to begin from. assignments, changes: what goes over all that,
    as `a.b=c` and as settings.
    """
    begun = run / "config.toml"
    names = [*configs] or ([str(begun)] if begun.is_file() else [])
    layers = [layer(name) for name in names]
    layers += [{"model": asdict(model)}] if model is not None else []
    files = [shown(name) for name in names if name not in RECIPES]
    return resolve([*layers, *map(assignment, assignments), changes or {}], files)


def layer(name: str) -> Settings:
    """What `--config NAME` says: a recipe's name, or a TOML file."""
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix != ".toml" and not path.exists():
        raise UsageError(
            f"--config: no recipe {shown(name)!r}",
            hint=f"there are {', '.join(RECIPES)}; or give a FILE.toml",
        )
    if require_regular_file(path).st_size > MAX_FILE_BYTES:
        raise InputError(f"{shown(path)} is too large for a configuration")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{shown(path)} is not TOML: {shown(str(error)[:100])}") from error


def assignment(text: str) -> Settings:
    """`a.b=c` as nested settings; c is a TOML value, or a bare word."""
    name, sign, value = text.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not sign or not all(keys):
        raise UsageError(f"--set {shown(text)}: write it as name=value, e.g. losses.perceptual=5")
    try:
        settings: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        settings = value.strip()
    for key in reversed(keys):
        settings = {key: settings}
    return dict(settings)


def resolve(layers: Iterable[Settings], files: Sequence[str] = ()) -> RunConfig:
    """The configuration that `layers` make, later ones over earlier.

    UsageError names a bad setting, and `files`, those that some of the layers are from.
    """
    merged: Settings = {}
    for settings in layers:
        merged = _merged(merged, settings)
    keypoints, defaults = merged.get("keypoints"), RunConfig()
    if isinstance(keypoints, Mapping) and keypoints.get("supervision") == "none":
        defaults = _without_landmarks(defaults)
    try:
        config: RunConfig = typed_value(RunConfig, merged, defaults=defaults)
        return config
    except ValueError as error:
        raise UsageError(f"{', '.join(files) or 'configuration'}: {shown(str(error))}") from error


def _without_landmarks(config: RunConfig) -> RunConfig:
    """The same trained in the paper's way, by a network without the parts that need landmarks."""
    model = config.model
    return replace(
        config,
        keypoints=replace(config.keypoints, supervision="none"),
        losses=PaperLossWeights(),
        model=replace(
            model,
            keypoints=replace(model.keypoints, landmarks=()),
            motion=replace(model.motion, mouth=(), eyes=()),
            painter=PainterConfig(),
            eye_painter=PainterConfig(),
        ),
    )


def _merged(below: Settings, above: Mapping[str, Any]) -> Settings:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = (
            _merged(under, value) if isinstance(under, dict) and isinstance(value, Mapping) else value
        )
    return merged


def write_config(path: Path, config: RunConfig) -> None:
    """Writes all settings as TOML; `layer` reads them back."""
    import tomli_w

    with atomic_output(path, overwrite=True) as part:
        part.write_text(tomli_w.dumps(asdict(config)), encoding="utf-8")
