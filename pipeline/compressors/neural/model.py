"""The byte LM of an artifact on a device, and the alarm that tells whether it computes what every machine computes."""

from __future__ import annotations

import numpy as np
import torch

from kernels.byte_model import ByteModel
from kernels.byte_spans import ByteSpans
from kernels.exact_lm import ExactByteLM
from kernels.prefix_coding import PrefixCoder
from pipeline.compressors.neural.artifact import byte_lm_config
from schemas.byte_lm_files import ByteLMFiles
from schemas.errors import ArtifactError
from schemas.files import sha256_hex


def load_model(files: ByteLMFiles, device: str) -> ExactByteLM:
    """The byte LM of an artifact, on a device, ready to read.

    A read runs on one thread, in this whole process: parallelism comes from threads that read different prefixes.
    ArtifactError where the arrays are not those of an exact byte LM.
    """
    torch.set_num_threads(1)
    try:
        return ExactByteLM(byte_lm_config(files), files.arrays, device=device)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ArtifactError):
            raise
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{files.path} is of no byte LM of ours ({reason}); train one with `make lm`") from error


def device_probe(model: ByteModel) -> str:
    """Digest of the intervals of fixed strings: the same on every machine, or something is broken."""
    values = np.arange(4096, dtype=np.uint64)
    noise = ((values * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56)).astype(np.uint8)
    text = np.where(values % np.uint64(3) == 0, noise, noise % 95 + 32).astype(np.uint8)
    first, last = PrefixCoder(model).intervals(ByteSpans.from_ends(text, np.arange(8, 4097, 8)))
    return sha256_hex(first.tobytes() + last.tobytes())


def describe_device(device: str) -> str:
    """Device type, capability and torch version, for people."""
    kind = torch.device(device).type
    detail = torch.backends.cpu.get_cpu_capability() if kind == "cpu" else torch.cuda.get_device_name()
    return f"{kind} {detail}, torch {torch.__version__}"
