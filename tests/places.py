"""Where files of the project are that tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS, EXAMPLES, SHIPPED = ROOT / "tests", ROOT / "examples", ROOT / "weights"
DATA = TESTS / "data"
