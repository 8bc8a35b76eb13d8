"""ONNX files as segmenters: ``encoder.onnx,decoder.onnx`` or ``model.onnx``. Extra ``onnx``."""

import re
from pathlib import Path

from segrobust.errors import ModelError, UsageError
from segrobust.models.base import Segmenter
from segrobust.models.black_box import refuse_options
from segrobust.models.onnx_sam import NEEDED, OnnxSam
from segrobust.models.onnx_session import Session
from segrobust.models.onnx_single import FindingOnnxSegmenter, OnnxSegmenter
from segrobust.models.options import LoadOptions


def load_onnx(name: str, options: LoadOptions) -> Segmenter:
    """A segmenter from one ONNX file, or a SAM from two.

    Args:
        name: ``model.onnx`` or ``encoder.onnx,decoder.onnx``.
        options: the device; the files have their own precision.

    Raises:
        MissingError: onnxruntime is not installed.
        ModelError: the files cannot be opened or driven; the message lists what was found in them.
        UsageError: more than two files, or options that mean nothing here.
    """
    refuse_options(name, options)
    files = [Path(part.strip()) for part in re.split(r"(?<=\.onnx),", name)]
    if len(files) > 2:
        raise UsageError(f"{len(files)} ONNX files; give one model, or encoder.onnx,decoder.onnx")
    sessions = [Session(file, options) for file in files]
    if len(sessions) == 2:
        return OnnxSam(name, *sessions)
    session = sessions[0]
    if NEEDED[0] in session.inputs or NEEDED[0] in session.outputs:
        raise ModelError(f"{session.file} is half of a SAM; give both files: encoder.onnx,decoder.onnx")
    segmenter = OnnxSegmenter(name, session)
    return FindingOnnxSegmenter(name, session) if segmenter.prompt_free else segmenter
