"""The neural compressor in the registry: an artifact directory becomes a compressor, or a description."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pipeline.compressors.base import Loader
from pipeline.compressors.neural.description import NeuralDescription
from schemas.errors import ArtifactError

if TYPE_CHECKING:
    from pipeline.compressors.neural.compressor import NeuralCompressor

logger = logging.getLogger(__name__)

ARTIFACT = "neural"
"""Folder of the artifact in the compressors' directory."""


class NeuralFamily:
    """The neural compressor in the registry; see `pipeline.compressors.base.CompressorFamily`."""

    name = "neural"
    description = NeuralDescription

    def load(self, loader: Loader) -> NeuralCompressor:
        """The compressor of the artifact, on the device asked for."""
        from pipeline.compressors.neural.device import check_device

        check_device(loader.loading.device)
        return load_neural(loader.artifact(ARTIFACT), device=loader.loading.device)

    def describe(self, loader: Loader) -> NeuralDescription:
        """What the artifact says about itself."""
        from pipeline.compressors.neural.artifact import read_described

        return read_described(loader.artifact(ARTIFACT))


def load_neural(directory: str, *, device: str = "cpu") -> NeuralCompressor:
    """Read an artifact; ArtifactError where it is missing or damaged, or this machine computes wrong codes."""
    from pipeline.compressors.neural.artifact import read_checked, read_codebook
    from pipeline.compressors.neural.compressor import NeuralCompressor
    from pipeline.compressors.neural.model import describe_device, device_probe, load_model
    from pipeline.compressors.neural.score import score_from_table
    from schemas.byte_lm_files import read_byte_lm

    description, table = read_checked(directory)
    files = read_byte_lm(directory)
    if files.digest != description.lm_digest:
        raise ArtifactError(
            f"the byte LM at {directory} is not the one the codes were made with; "
            "remove the directory and make it again"
        )
    model = load_model(files, device)
    if model.slower_because:
        logger.warning("%s", model.slower_because)
    if device_probe(model) != description.device_probe:
        raise ArtifactError(
            f"{describe_device(device)} computes other codes than the machine that made {directory}, which must never "
            "happen: please report this with both devices; another machine will read it"
        )
    try:
        score = score_from_table(description.settings, model, *table)
    except ValueError as error:
        raise ArtifactError(f"the score table at {directory} is damaged ({error}); make it again") from error
    return NeuralCompressor(
        model,
        score,
        description.settings,
        description.theta_bits,
        jump_bits=description.jump_bits,
        book=read_codebook(directory),
        digest=description.digest,
    )


FAMILY = NeuralFamily()
