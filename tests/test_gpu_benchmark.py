"""The script that measures a GPU works, so that a machine that has one is not needed to find out."""

import subprocess
import sys

import pytest
from places import ROOT

SCRIPT = ROOT / "tests" / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_every_section_measures_something_on_a_cpu_too() -> None:
    words = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for said in (
        "matrix product fp32 TFLOP/s: ",
        "lite largest: 0\n",  # of a CPU and the same CPU
        "photo largest: 0\n",
        "lite fp32 batch 1 optimised: ",
        "256 pixels, as it is: ",
        "256 pixels, drawn by OpenCV: ",
        "h264 of 256 pixels, --hwaccel none: ",
        "Self CPU time total",
        "frames/s, --hwaccel auto: ",
        "lite batch 1, steps on noise: ",
    ):
        assert said in done.stdout
