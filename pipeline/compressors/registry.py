"""Load the compressors of a run or of a finished dataset by name, from its compressors directory."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.compressors.base import Compressor
from pipeline.compressors.gzip import GzipCompressor
from pipeline.storage import files as storage
from schemas.errors import DatasetError, SettingsError
from schemas.manifest import Manifest

COMPRESSORS_DIRECTORY = "compressors"
TOKENIZER_NAME = "tokenizer.model"


def check_device(device: str) -> None:
    """SettingsError where the byte LM cannot run there."""
    kind, _, number = device.partition(":")
    if device != "cpu" and (kind != "cuda" or (number and not number.isdigit())):
        raise SettingsError(f"--device is {device!r}; give cpu or cuda")
    if kind == "cuda":
        import torch

        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= found:
            raise SettingsError(f"--device is {device!r}, but torch finds {found} CUDA devices here; give cpu")


def load_compressors(
    directory: str,
    names: Sequence[str],
    *,
    device: str = "cpu",
    allow_other_device: bool = False,
    token_width_bytes: int = 0,
    token_code: str = "plain",
) -> dict[str, Compressor]:
    """The compressors, in the order of `names`; `directory` is local or remote."""
    loaded: dict[str, Compressor] = {}
    for name in names:
        if name == "neural":
            check_device(device)
            from pipeline.compressors.neural.compressor import NeuralCompressor

            loaded[name] = NeuralCompressor.load(
                storage.local_copy(storage.join(directory, "neural")),
                device=device,
                allow_other_device=allow_other_device,
            )
        elif name in ("tokenizer", "token_bytes"):
            from pipeline.compressors.token_bytes import TokenBytesCompressor
            from pipeline.compressors.tokenizer.compressor import TokenizerCompressor

            path = storage.join(storage.local_copy(storage.join(directory, "tokenizer")), TOKENIZER_NAME)
            tokenizer = TokenizerCompressor.load(path)
            loaded[name] = (
                tokenizer
                if name == "tokenizer"
                else TokenBytesCompressor(tokenizer, width_bytes=token_width_bytes or None, code=token_code)
            )
        elif name == "gzip":
            loaded[name] = GzipCompressor()
        else:
            raise DatasetError(f"compressor {name!r} is not known to this version; use the one that wrote the dataset")
    return loaded


def dataset_compressors(directory: str, manifest: Manifest, *, device: str = "cpu") -> dict[str, Compressor]:
    """The compressors that wrote a dataset; DatasetError where an artifact is not the one the manifest names."""
    # A compressor's own entry says how it was made; the run's settings have another form in each release.
    token_bytes = manifest.compressors.get("token_bytes", {})
    compressors = load_compressors(
        os.path.join(directory, COMPRESSORS_DIRECTORY),
        list(manifest.compressors),
        device=device,
        allow_other_device=True,
        token_width_bytes=token_bytes.get("width_bytes", 0),
        token_code=token_bytes.get("code", "plain"),
    )
    for name, compressor in compressors.items():
        # Any zlib decodes what another has written, so gzip's digest may differ here.
        if name != "gzip" and compressor.digest != manifest.compressors[name]["digest"]:
            raise DatasetError(
                f"the {name} compressor in {directory} is not the one that wrote the shards; put that one back"
            )
    return compressors
