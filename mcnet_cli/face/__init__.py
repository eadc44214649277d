"""Faces: finding them, following them, cutting them and people out."""

from mcnet_cli.face.crop import CropBox, clip_box, crop, crop_box, extents_box, parse_crop
from mcnet_cli.face.detect import FACE_SCORE, BatchDetector, BlazeFaceDetector, Detector, Face, overlap
from mcnet_cli.face.find import FaceTracker, choose_face, faces_in, follow, make_detector
from mcnet_cli.face.landmarks import CAREFUL_LOOKS, STEADY_LOOKS, FaceMesh, Landmarks, Region, opening
from mcnet_cli.face.matte import glanced_matte, person_matte
from mcnet_cli.face.outer import OuterTracker, numbered, with_outer, yaw_deg
from mcnet_cli.face.sampling import resample
from mcnet_cli.face.topology import LID_OPENINGS, MOUTH_OPENING, OUTER, SIDES
from mcnet_cli.face.upright import (
    ROLL_POINTS,
    lies,
    remaining_roll_deg,
    roll_deg,
    rolled_box,
    rolled_points,
    turned,
    turned_box,
    turned_points,
    turned_size,
    upright_turns,
)
from mcnet_cli.framing import Framing

__all__ = [
    "CAREFUL_LOOKS",
    "FACE_SCORE",
    "LID_OPENINGS",
    "MOUTH_OPENING",
    "OUTER",
    "ROLL_POINTS",
    "SIDES",
    "STEADY_LOOKS",
    "BatchDetector",
    "BlazeFaceDetector",
    "CropBox",
    "Detector",
    "Face",
    "FaceMesh",
    "FaceTracker",
    "Framing",
    "Landmarks",
    "OuterTracker",
    "Region",
    "choose_face",
    "clip_box",
    "crop",
    "crop_box",
    "extents_box",
    "faces_in",
    "follow",
    "glanced_matte",
    "lies",
    "make_detector",
    "numbered",
    "opening",
    "overlap",
    "parse_crop",
    "person_matte",
    "remaining_roll_deg",
    "resample",
    "roll_deg",
    "rolled_box",
    "rolled_points",
    "turned",
    "turned_box",
    "turned_points",
    "turned_size",
    "upright_turns",
    "with_outer",
    "yaw_deg",
]
