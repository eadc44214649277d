"""Making training clips from videos: faces are found, tracked, cropped and listed, here or on a cluster."""

from mcnet_cli.preprocessing.preprocess import preprocess
from mcnet_cli.preprocessing.report import PreprocessPlan, PreprocessReport
from mcnet_cli.preprocessing.request import PreprocessRequest, Settings, choose_framing

__all__ = [
    "PreprocessPlan",
    "PreprocessReport",
    "PreprocessRequest",
    "Settings",
    "choose_framing",
    "preprocess",
]
