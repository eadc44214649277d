"""From recipes, TOML files and `--set a.b=c` to a `RunConfig`, and back to TOML."""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import atomic_output, require_regular_file
from mcnet_cli.model import ModelConfig
from mcnet_cli.model.config import PainterConfig
from mcnet_cli.training.config import RECIPES, RunConfig
from mcnet_cli.training.loss_weights import PaperLossWeights

FILE_LIMIT = 1 << 20  # bytes
Settings = dict[str, Any]


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
    begun, else `lite`. model: an architecture to begin from. assignments, changes: the last words, as `a.b=c`
    and as settings.
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
    if require_regular_file(path).st_size > FILE_LIMIT:
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
    keypoints = merged.get("keypoints")
    unsupervised = isinstance(keypoints, Mapping) and keypoints.get("supervision") == "none"
    defaults = RunConfig()
    if unsupervised:
        supervision = dataclasses.replace(defaults.keypoints, supervision="none")
        model = defaults.model  # without what is known of landmarks
        detector = dataclasses.replace(model.keypoints, landmarks=())
        motion = dataclasses.replace(model.motion, mouth=(), eyes=())
        defaults = dataclasses.replace(
            defaults,
            keypoints=supervision,
            losses=PaperLossWeights(),
            model=dataclasses.replace(
                model, keypoints=detector, motion=motion, painter=PainterConfig(), eye_painter=PainterConfig()
            ),
        )
    try:
        config: RunConfig = build(RunConfig, merged, defaults)
        return config
    except ValueError as error:
        raise UsageError(f"{', '.join(files) or 'configuration'}: {error}") from error


def _merged(below: Settings, above: Mapping[str, Any]) -> Settings:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = (
            _merged(under, value) if isinstance(under, dict) and isinstance(value, Mapping) else value
        )
    return merged


def build(kind: type[Any], data: Any, defaults: Any, name: str = "") -> Any:
    """The dataclass `kind` from `data`, where it says nothing from `defaults`.

    ValueError for an unknown key, which names the nearest one, and for a value of another type or out of
    range.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{name} = {data!r}: must be a table")
    hints, prefix = get_type_hints(kind), f"{name}." if name else ""
    for key in data:
        if key not in hints:
            nearest = difflib.get_close_matches(key, hints, 1, 0.0)[0]
            raise ValueError(f"no setting {prefix}{shown(key)}; the nearest is {prefix}{nearest}")
    values = {
        key: _value(hint, data[key], getattr(defaults, key), f"{prefix}{key}")
        if key in data
        else getattr(defaults, key)
        for key, hint in hints.items()
    }
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{prefix}{error}") from error


def _value(kind: Any, data: Any, default: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return build(kind, data, default, name)  # type: ignore[arg-type]
    if get_origin(kind) is UnionType:  # of dataclasses: the kind that the defaults have
        return build(type(default), data, default, name)
    if get_origin(kind) is tuple:
        if not isinstance(data, list | tuple):
            raise ValueError(f"{name} = {data!r}: must be a list")
        return tuple(_value(get_args(kind)[0], value, None, name) for value in data)
    if get_origin(kind) is Literal:
        if data not in get_args(kind):
            raise ValueError(f"{name} = {data!r}: must be one of {', '.join(get_args(kind))}")
        return data
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise ValueError(f"{name} = {data!r}: must be of type {kind.__name__}")
    return data


def write_config(path: Path, config: RunConfig) -> None:
    """Writes all settings as TOML; `layer` reads them back."""
    import tomli_w

    with atomic_output(path, overwrite=True) as part:
        part.write_text(tomli_w.dumps(_plain(asdict(config))), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
