"""Videos to training clips: faces found, followed, cropped, and listed; on one machine or a cluster."""

from mcnet_cli.preprocessing.framing import choose_framing
from mcnet_cli.preprocessing.pipeline import Progress, preprocess
from mcnet_cli.preprocessing.report import PreprocessPlan, PreprocessReport
from mcnet_cli.preprocessing.request import PreprocessRequest, Settings

__all__ = [
    "PreprocessPlan",
    "PreprocessReport",
    "PreprocessRequest",
    "Progress",
    "Settings",
    "choose_framing",
    "preprocess",
]
