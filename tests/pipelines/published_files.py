"""Other projects' adapters and what goes with them, in small: weights are random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionXLPipeline
from tests.models import tiny
from tests.models.published import files

WIDTH = 2 * tiny.WIDTH  # of the small SDXL's text states
CLIP = 12  # of the small CLIP's tokens


def write_arcface(path: Path) -> Path:
    """ArcFace's shape, 512 numbers out: the crop's averages, mixed at random."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(512, 3 * 64)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["mean"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["vector"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "arcface",
        [helper.make_tensor_value_info("data", kind, ["b", 3, 112, 112])],
        [helper.make_tensor_value_info("vector", kind, ["b", 512])],
        [helper.make_tensor("weight", kind, weights.shape, weights.ravel())],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def write_xl(root: Path) -> Path:
    """A small SDXL's folder."""
    StableDiffusionXLPipeline(**tiny.sdxl_parts(root / "f"), add_watermarker=False).save_pretrained(root / "xl")
    return root / "xl"


def write_instantid(folder: Path) -> Path:
    """``ip-adapter.bin`` and ``ControlNetModel/`` for it."""
    projection = files.instantid(dim=64, heads=1, width=WIDTH, queries=3)
    files.write(folder / "ip-adapter.bin", files.filled(projection, files.layers([16] * 8, WIDTH)))
    torch.manual_seed(0)
    net = ControlNetModel.from_unet(tiny.sdxl_unet(), conditioning_embedding_out_channels=(16, 32, 96))
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(conv.weight, std=1.0)
    net.save_pretrained(folder / "ControlNetModel")
    return folder


def write_faceid(
    folder: Path, plus: bool = False, rank: int | None = None, width: int = tiny.WIDTH, count: int = 4
) -> Path:
    """The file of FaceID, or of FaceID-PlusV2, for the small SD."""
    projection = files.faceid_plus(width, CLIP) if plus else files.faceid(width)
    name = "ip-adapter-faceid-plusv2_sd15.bin" if plus else "ip-adapter-faceid_sd15.bin"
    return files.write(folder / name, files.filled(projection, files.layers([16] * count, width, rank)))
