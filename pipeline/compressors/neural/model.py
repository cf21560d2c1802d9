"""The byte LM of an artifact on a device, and how to tell whether devices compute the same codes."""

from __future__ import annotations

import numpy as np
import torch

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import ByteLMConfig
from kernels.byte_model import ByteModel
from kernels.byte_spans import ByteSpans
from kernels.prefix_coding import PrefixCoder
from schemas.byte_lm_files import ByteLMFiles
from schemas.errors import ArtifactError
from schemas.files import sha256_hex

READ_DTYPES = {"cpu": torch.float32, "cuda": torch.bfloat16}
"""A CPU without instructions for bfloat16 would read many times slower with it. A code costs the same bits in both."""


def load_model(files: ByteLMFiles, device: str) -> ByteLM:
    """The byte LM of an artifact, on a device, ready to read in the dtype of its type.

    A matrix product over several CPU threads adds in another order than over one, and codes would differ; so a read
    runs on one thread, in this whole process, and parallelism comes from threads that read different prefixes.
    ArtifactError where the weights are not those of one of our models.
    """
    torch.set_num_threads(1)
    try:
        model = ByteLM(ByteLMConfig(**files.config))
        model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in files.weights.items()})
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"byte LM {files.digest[:12]} is not one of ours ({reason}); train one with `make lm`"
        ) from error
    return model.eval().requires_grad_(False).to(device, READ_DTYPES[torch.device(device).type])


def device_probe(model: ByteModel) -> str:
    """Digest of the intervals of fixed strings: equal where a device computes the same codes for them."""
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
