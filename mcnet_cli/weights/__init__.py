"""Weights by name: which there are, where they are kept, how they are fetched, converted and verified.

Commands call `resolve_weights` for a network's weights, and `cached_path` or `resolve_file` for those of
other kinds. Importing this package doesn't load torch.
"""

from mcnet_cli.checkpoint import weights_framing
from mcnet_cli.weights.manage import convert_file, fetch, remove, show, survey
from mcnet_cli.weights.registry import Entry, registry
from mcnet_cli.weights.resolve import (
    NEVER,
    Fetch,
    cached_path,
    find,
    resolve_file,
    resolve_weights,
    weights_name,
)
from mcnet_cli.weights.store import Cache

__all__ = [
    "NEVER",
    "Cache",
    "Entry",
    "Fetch",
    "cached_path",
    "convert_file",
    "fetch",
    "find",
    "registry",
    "remove",
    "resolve_file",
    "resolve_weights",
    "show",
    "survey",
    "weights_framing",
    "weights_name",
]
