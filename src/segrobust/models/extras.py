"""What segrobust needs and what it can use beside that, as plain data; ``segrobust doctor`` tries them."""

from dataclasses import dataclass

REQUIRED = {
    "numpy": "numpy",
    "PIL": "pillow",
    "scipy": "scipy",
    "pycocotools": "pycocotools",
    "typer": "typer",
    "rich": "rich",
    "pydantic": "pydantic",
    "yaml": "pyyaml",
    "jinja2": "jinja2",
    "safetensors": "safetensors",
    "huggingface_hub": "huggingface_hub",
    "filelock": "filelock",
    "torch": "torch",
    "transformers": "transformers",
}
"""What is imported, and the distribution that brings it."""


@dataclass(frozen=True)
class Extra:
    """An optional dependency.

    Attributes:
        name: as in ``pip install 'segrobust[name]'``.
        package: what is imported.
        purpose: what it is for.
    """

    name: str
    package: str
    purpose: str


EXTRAS = (
    Extra("kornia", "kornia", "MobileSAM"),
    Extra("fastsam", "ultralytics", "FastSAM (AGPL-3.0)"),
    Extra("onnx", "onnxruntime", "ONNX files"),
)
