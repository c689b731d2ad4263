"""``facesnap doctor``: what is installed, which devices, which weights, which licences."""

from __future__ import annotations

import platform
from importlib import metadata, util
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from facesnap import __version__
from facesnap.cli import console

LIBRARIES: Final = (
    *("torch", "diffusers", "transformers", "safetensors", "numpy", "pillow", "opencv-python-headless"),
    *("typer", "rich"),
)

#: Extra -> the modules that it brings, and what it is for.
EXTRAS: Final = {
    "onnx": (("onnxruntime",), "other face encoders, as ONNX files"),
    "lora": (("accelerate", "peft"), "LoRAs on the base, FaceID adapters, offloading to the CPU"),
    "data": (("pydantic", "webdataset", "scipy", "matplotlib"), "data sets of photographs"),
    "train": (("pydantic", "webdataset", "accelerate", "yaml", "tensorboard"), "training adapters, and mini"),
    "world": (("moderngl", "webdataset", "matplotlib"), "rendering the portrait world, for training and evaluation"),
    "serve": (
        ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx", "pydantic"),
        "the REST service and its Python client",
    ),
    "ui": (("gradio",), "the studio, a web page"),
    "ray": (("ray",), "the service on several machines"),
}


def version_of(package: str) -> str:
    """Version of an installed package, or ``not installed``."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what is installed, which devices and weights there are, and under which licences."""
    found = {
        "facesnap": __version__,
        "python": platform.python_version(),
        "libraries": {name: version_of(name) for name in LIBRARIES},
        "devices": _devices(),
        "extras": {name: all(map(util.find_spec, modules)) for name, (modules, _) in EXTRAS.items()},
        "weights": _weights(),
    }
    console.result(found, _as_text(found), as_json)


def _devices() -> list[str]:
    import torch

    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def _weights() -> list[dict[str, Any]]:
    from facesnap.core.weights import WEIGHTS, sha256_12

    return [
        {
            "name": info.name,
            "what": info.what,
            "licence": info.licence,
            "folder": str(info.path),
            "present": info.present,
            "sha256": sha256_12(info.path) if info.present else None,
            "megabytes": round(_size(info.path) / 1e6, 1),
        }
        for info in WEIGHTS
    ]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def _as_text(found: dict[str, Any]) -> str:
    lines = [f"facesnap {found['facesnap']}, Python {found['python']}", "", "libraries"]
    lines += [f"  {name:24} {version}" for name, version in found["libraries"].items()]
    lines += ["", "devices", *(f"  {device}" for device in found["devices"]), "", "extras"]
    for name, (_, purpose) in EXTRAS.items():
        state = "installed" if found["extras"][name] else f'not installed: pip install "facesnap[{name}]"'
        lines.append(f"  {name:24} {purpose}: {state}")
    lines += ["", "weights (mini)"]
    for weight in found["weights"]:
        state = f"{weight['sha256']}, {weight['megabytes']} MB" if weight["present"] else "missing"
        lines.append(f"  {weight['name']:24} {weight['what']}: {state}")
        lines.append(f"  {'':24} {weight['licence']}")
    if any(not weight["present"] for weight in found["weights"]):
        lines.append("  Missing weights are trained by `facesnap mini train`.")
    return "\n".join(lines)
