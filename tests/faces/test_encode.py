import numpy as np
import pytest
import torch

from facesnap.core.errors import AdapterError, InputError
from facesnap.core.weights import save_module, sha256_12
from facesnap.faces.encode import FaceEncoder, OnnxFaceEncoder
from facesnap.faces.networks import build_network

CONFIG = {"architecture": "FaceNet", "name": "tiny", "dim": 16, "channels": [4, 8], "blocks": [1, 1]}


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 112, 112, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    network = build_network(CONFIG)
    network(torch.rand(4, 3, 112, 112))  # the BatchNorms see something
    save_module(tmp_path / "enc", network, network.config, {})
    return tmp_path / "enc"


def test_from_a_folder_to_unit_vectors(folder):
    encoder = FaceEncoder.from_pretrained(folder)
    vectors = encoder.encode(crops(3))
    assert vectors.shape == (3, encoder.dim) == (3, 16)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])
    assert encoder.identifier == f"tiny@{sha256_12(folder / 'model.safetensors')}"


def test_batches_and_lists_make_no_difference(folder):
    encoder = FaceEncoder.from_pretrained(folder)
    many = crops(35)
    together = encoder.encode(many)
    assert np.allclose(together[33], encoder.encode([many[33]])[0], atol=1e-5)
    assert encoder.encode([]).shape == (0, 16)


def test_it_is_frozen_but_lets_gradients_through(folder):
    encoder = FaceEncoder.from_pretrained(folder)
    assert not any(value.requires_grad for value in encoder.network.parameters())
    images = torch.rand(1, 3, 112, 112, requires_grad=True)
    encoder.embed(images)[0, 0].backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_bad_crops_and_folders(folder, tmp_path):
    with pytest.raises(InputError):
        FaceEncoder.from_pretrained(folder).encode(np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(AdapterError):
        FaceEncoder.from_pretrained(tmp_path / "gone")


def onnx_file(path, batch: int | str):
    """ArcFace's shape with two numbers out: the mean of the first channel, and 3."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    inputs = helper.make_tensor_value_info("data", kind, [batch, 3, 112, 112])
    output = helper.make_tensor_value_info("vector", kind, [batch, 2])
    constants = [
        helper.make_tensor("weight", kind, [2, 3], [1, 0, 0, 0, 0, 0]),
        helper.make_tensor("bias", kind, [2], [0, 3]),
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["vector"], transB=1),
    ]
    graph = helper.make_graph(nodes, "arcface", [inputs], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("batch", ["n", 1, 2])
@pytest.mark.parametrize("bgr", [False, True])
def test_onnx_files(tmp_path, batch, bgr):
    pytest.importorskip("onnxruntime")
    encoder = OnnxFaceEncoder(onnx_file(tmp_path / "arc.onnx", batch), bgr=bgr)
    batch_of_three = np.zeros((3, 112, 112, 3), dtype=np.uint8)
    batch_of_three[:, :, :, 2 if bgr else 0] = np.array([0, 255, 255]).reshape(3, 1, 1)
    expected = np.array([[-1, 3], [1, 3], [1, 3]]) / np.sqrt(10)
    assert encoder.dim == 2
    assert np.allclose(encoder.encode(batch_of_three), expected, atol=1e-6)
    assert encoder.identifier == f"arc{'-bgr' if bgr else ''}@{sha256_12(tmp_path / 'arc.onnx')}"


def test_onnx_files_that_will_not_do(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(AdapterError, match="no ONNX"):
        OnnxFaceEncoder(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("nothing of the kind")
    with pytest.raises(AdapterError, match="not an ONNX"):
        OnnxFaceEncoder(tmp_path / "text.onnx")
