"""How tests of weights files look at refusals."""

from pathlib import Path

import pytest

from mcnet_cli.checkpoint import read_weights
from mcnet_cli.errors import WeightsError


def refused(path: Path, *words: str) -> str:
    """The message with which `path` is refused; it names the file, says `words` and never quotes torch."""
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    text = f"{caught.value}\n{caught.value.hint or ''}"
    assert path.name in text
    assert len(text.strip().splitlines()) <= 3
    assert "weights_only" not in text and "\x1b" not in text
    for word in words:
        assert word in text, text
    return text
