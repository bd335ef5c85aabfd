"""The sample's encoders as ONNX models, beside their weights.

    python sample_data/export.py [--folder FOLDER]

Every encoder's folder gets `onnx/vision_model.onnx` (`pixel_values` → `image_embeds`) and
`onnx/text_model.onnx` (`input_ids`, `attention_mask` → `text_embeds`), in single precision, the
same bytes on every run. The graphs compute what `encoders.py` does (`Filters.features`,
`DualEncoder`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from encoders import DualEncoder
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
UNKNOWN = 0  # the token of an empty sentence


def constant(name: str, values: object) -> onnx.TensorProto:
    array = np.asarray(values)
    return numpy_helper.from_array(
        array.astype(np.int64 if array.dtype.kind == "i" else np.float32), name
    )


def vision_model(encoder: DualEncoder) -> onnx.ModelProto:
    """Pixels → unit vectors: conv, relu and average pool; then three kinds of features."""
    f, size = encoder.filters, encoder.preprocessor.size
    strides = {"strides": [f.stride] * 2}
    pool = {"kernel_shape": [f.pool] * 2, "strides": [f.pool] * 2}
    grid = {"kernel_shape": [f.grid] * 2, "strides": [f.grid] * 2}
    nodes = [
        helper.make_node("Conv", ["pixel_values", "conv1", "bias1"], ["maps"], **strides),
        helper.make_node("Relu", ["maps"], ["maps_on"]),
        helper.make_node("AveragePool", ["maps_on"], ["cells"], **pool),
        helper.make_node("AveragePool", ["cells"], ["coarse_cells"], **grid),
        helper.make_node("Flatten", ["coarse_cells"], ["coarse"]),
        helper.make_node("Conv", ["cells", "conv2", "bias2"], ["parts"]),
        helper.make_node("Relu", ["parts"], ["parts_on"]),
        helper.make_node("GlobalAveragePool", ["parts_on"], ["mean_cell"]),
        helper.make_node("Flatten", ["mean_cell"], ["mean"]),
        helper.make_node("GlobalMaxPool", ["parts_on"], ["max_cell"]),
        helper.make_node("Flatten", ["max_cell"], ["max"]),
        helper.make_node("Concat", ["coarse", "mean", "max"], ["features"], axis=1),
        helper.make_node("Gemm", ["features", "linear", "bias"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["image_embeds"], axis=1, p=2),
    ]
    weights = [
        constant("conv1", f.conv1),
        constant("bias1", f.bias1),
        constant("conv2", f.conv2),
        constant("bias2", f.bias2),
        constant("linear", encoder.image_linear),
        constant("bias", encoder.image_bias),
    ]
    pixels = helper.make_tensor_value_info(
        "pixel_values", TensorProto.FLOAT, ["batch_size", 3, size, size]
    )
    return model("vision_model", nodes, [pixels], "image_embeds", weights, encoder)


def text_model(encoder: DualEncoder) -> onnx.ModelProto:
    """Tokens → unit vectors: the sum of the embeddings of those that the mask leaves.

    A sentence without any is a single unknown token.
    """
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["mask_wide"]),
        helper.make_node("Mul", ["embedded", "mask_wide"], ["left"]),
        helper.make_node("ReduceSum", ["left", "tokens_axis"], ["sum"], keepdims=0),
        helper.make_node("ReduceMax", ["mask"], ["any"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["one", "any"], ["none"]),
        helper.make_node("Mul", ["none", "unknown"], ["instead"]),
        helper.make_node("Add", ["sum", "instead"], ["bag"]),
        helper.make_node("Gemm", ["bag", "linear", "bias"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["text_embeds"], axis=1, p=2),
    ]
    weights = [
        constant("embedding", encoder.token_embedding),
        constant("unknown", encoder.token_embedding[UNKNOWN : UNKNOWN + 1]),
        constant("linear", encoder.text_linear),
        constant("bias", encoder.text_bias),
        constant("last_axis", [2]),
        constant("tokens_axis", [1]),
        constant("one", 1.0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch_size", "sequence_length"])
        for name in ("input_ids", "attention_mask")
    ]
    return model("text_model", nodes, inputs, "text_embeds", weights, encoder)


def model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: str,
    weights: list[onnx.TensorProto],
    encoder: DualEncoder,
) -> onnx.ModelProto:
    dimension = len(encoder.image_bias)
    found = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch_size", dimension])
    graph = helper.make_graph(nodes, name, inputs, [found], weights)
    opset = helper.make_opsetid("", OPSET)
    made = helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[opset], producer_name="sample_data"
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def export(folder: Path) -> None:
    """Write both models of one encoder into its folder."""
    encoder = DualEncoder.load(folder)
    (folder / "onnx").mkdir(exist_ok=True)
    for name, made in (("vision", vision_model(encoder)), ("text", text_model(encoder))):
        raw = made.SerializeToString(deterministic=True)
        (folder / "onnx" / f"{name}_model.onnx").write_bytes(raw)


def main(folder: Path) -> None:
    for weights in sorted(folder.glob("*/weights.npz")):
        export(weights.parent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the sample's encoders as ONNX models.")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "encoders")
    main(parser.parse_args().folder)
