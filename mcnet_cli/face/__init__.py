"""Faces: finding them, following them, cutting them out and pasting them back."""

from mcnet_cli.face.crop import CropBox, Framing, clip_box, crop, crop_box, feather_mask, parse_crop, paste
from mcnet_cli.face.detect import BlazeFaceDetector, Detector, Face, choose_face, faces_in, make_detector
from mcnet_cli.face.landmarks import FaceMesh, Landmarks, Region
from mcnet_cli.face.track import FaceTracker

__all__ = [
    "BlazeFaceDetector",
    "CropBox",
    "Detector",
    "Face",
    "FaceMesh",
    "FaceTracker",
    "Framing",
    "Landmarks",
    "Region",
    "choose_face",
    "clip_box",
    "crop",
    "crop_box",
    "faces_in",
    "feather_mask",
    "make_detector",
    "parse_crop",
    "paste",
]
