"""Splits MediaPipe's attention mesh into four networks that OpenCV can run.

    pip install mediapipe==0.10.14
    python weights/face/split_face_mesh.py

The original, face_landmark_with_attention.tflite of that wheel, samples feature maps around lips and eyes by
three operations of MediaPipe's own. Everything before them becomes face_mesh.tflite, what follows for the
lips and for each eye a file of its own; `mcnet_cli.face.networks` does what lies between. Weights and
operations stay as they are.
"""

import hashlib
from importlib.resources import files
from pathlib import Path

import flatbuffers
from mediapipe.tasks.metadata import schema_py_generated as schema

FOLDER = Path(__file__).parent
ORIGINAL = "face_landmark_with_attention.tflite"
ORIGINAL_SHA256 = "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4"
# Each network's inputs and outputs, by the names of the original's tensors.
PARTS = {
    "face_mesh.tflite": (["input_1"], ["output_mesh", "conv_faceflag", "p_re_lu_3"]),
    "face_mesh_lips.tflite": (["transform_tensor_bilinear_v2"], ["conv_lips"]),
    "face_mesh_left_eye.tflite": (["transform_tensor_bilinear_v2_1"], ["conv_left_eye", "conv_left_iris"]),
    "face_mesh_right_eye.tflite": (["transform_tensor_bilinear_v2_2"], ["conv_right_eye", "conv_right_iris"]),
}


def part(data: bytes, inputs: list[str], outputs: list[str]) -> bytes:
    """The TFLite file `data` reduced to what leads from some of its tensors to others."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    (graph,) = model.subgraphs
    places = {tensor.name.decode(): place for place, tensor in enumerate(graph.tensors)}
    first, last = [places[name] for name in inputs], [places[name] for name in outputs]

    needed, operators = set(last), []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            needed.update(int(place) for place in operator.inputs if place not in first)
            operators.append(operator)
    kept = sorted(needed.union(first))

    renumbered = {old: new for new, old in enumerate(kept)}
    codes = sorted({operator.opcodeIndex for operator in operators})
    for operator in operators:
        operator.inputs = [renumbered[place] for place in operator.inputs]
        operator.outputs = [renumbered[place] for place in operator.outputs]
        operator.opcodeIndex = codes.index(operator.opcodeIndex)
    graph.operators = operators[::-1]
    graph.inputs, graph.outputs = [renumbered[p] for p in first], [renumbered[p] for p in last]
    graph.tensors = [graph.tensors[place] for place in kept]
    buffers = sorted({0, *(tensor.buffer for tensor in graph.tensors)})
    for tensor in graph.tensors:
        tensor.buffer = buffers.index(tensor.buffer)
    model.buffers = [model.buffers[place] for place in buffers]
    model.operatorCodes = [model.operatorCodes[place] for place in codes]
    model.metadata, model.metadataBuffer, model.signatureDefs = None, None, None
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Writes the four networks beside this file."""
    data = (files("mediapipe") / "modules" / "face_landmark" / ORIGINAL).read_bytes()
    assert hashlib.sha256(data).hexdigest() == ORIGINAL_SHA256, f"another {ORIGINAL}"
    for name, (inputs, outputs) in PARTS.items():
        content = part(data, inputs, outputs)
        (FOLDER / name).write_bytes(content)
        print(hashlib.sha256(content).hexdigest(), name)


if __name__ == "__main__":
    main()
