"""A folder with inputs of its own for each test."""

from pathlib import Path

import pytest
from batch_tools import write_inputs


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs that are made once."""
    return write_inputs(tmp_path_factory.mktemp("written"))


@pytest.fixture
def inputs(written: Path, tmp_path: Path) -> Path:
    """Copies of them, which a test may change, and write beside."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    for path in written.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
