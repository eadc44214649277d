"""Checkpoints that people have got themselves become weights with a name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcnet_cli.checkpoint import Weights, read_weights, write_weights
from mcnet_cli.checkpoint.official import read_epoch
from mcnet_cli.errors import UsageError, WeightsError, shown
from mcnet_cli.weights.cache import RECORD, Cache, Record, sha256_of
from mcnet_cli.weights.registry import HUB_PREFIX, Manual, registry


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a checkpoint, and what was inferred from its content.

    epoch: of the training that the checkpoint ends, None if it doesn't say.
    """

    name: str
    path: Path
    architecture: str
    keypoints: int
    jacobians: bool
    epoch: int | None
    licence: str

    def as_json(self) -> dict[str, Any]:
        """What was inferred."""
        return {
            "architecture": self.architecture,
            "keypoints": self.keypoints,
            "jacobians": self.jacobians,
            "epoch": self.epoch,
        }

    def as_text(self) -> str:
        """What was inferred, in one line."""
        jacobians = "with" if self.jacobians else "without"
        epoch = "no epoch stated" if self.epoch is None else f"epoch {self.epoch}"
        return f"{self.architecture}, {self.keypoints} keypoints {jacobians} jacobians, {epoch}"


def convert(source: Path, name: str, cache: Cache, *, force: bool = False) -> Conversion:
    """Converts a checkpoint to mcnet's format, tensor by tensor equal, under `name` in the cache.

    Raises UsageError for a name that is taken, WeightsError for a file that isn't a network's weights.
    """
    check_name(name, cache)
    with cache.locked(name) as folder:
        if not force and (folder / RECORD).exists():
            raise UsageError(
                f"there are weights called {name} already",
                hint="choose another --name, or replace them: --force",
            )
        weights = read_weights(source)
        digest = sha256_of(source)
        licence = _licence(name, weights)
        card = _card(source, digest, weights, licence)
        target = folder / f"{name}-{digest[:8]}.safetensors"
        write_weights(
            target,
            weights.state,
            weights.config,
            framing=weights.framing,
            smooth=weights.smooth,
            card=card,
            half=False,
        )
        record = Record(
            name=name,
            file=target.relative_to(cache.root).as_posix(),
            sha256=sha256_of(target),
            size=target.stat().st_size,
            origin=f"{shown(source.name)}, sha256 {digest}",
            licence=licence,
            pinned=False,
        )
        cache.keep(name, record)
        cache.sweep(name)
    return Conversion(
        name=name,
        path=target,
        architecture=weights.config.described,
        keypoints=weights.config.keypoints.count,
        jacobians=weights.config.keypoints.jacobians,
        epoch=read_epoch(source),
        licence=licence,
    )


def check_name(name: str, cache: Cache) -> None:
    """UsageError unless people may give `name` to their weights."""
    try:
        cache.folder(name)
    except WeightsError as error:
        raise UsageError(f"--name: {error}", hint=error.hint) from error
    entry = registry().get(name)
    if entry and not (entry.kind == "model" and isinstance(entry.source, Manual)):
        raise UsageError(f"--name {name}: that is the name of other weights", hint="choose another")
    if name.startswith(HUB_PREFIX.replace(":", "--")):
        raise UsageError(f"--name {name}: names that begin so are for downloads", hint="choose another")


def _card(source: Path, digest: str, weights: Weights, licence: str) -> dict[str, Any]:
    """The file's own card, with where it came from, and with a licence."""
    origin = {"file": shown(source.name), "sha256": digest}
    return {"licence": licence, **weights.card, "converted_from": origin}


def _licence(name: str, weights: Weights) -> str:
    """By the file's card, else by the registry; never made up."""
    if "licence" in weights.card:
        return shown(str(weights.card["licence"])[:100])
    entry = registry().get(name)
    return entry.licence if entry else "not stated in the file"
