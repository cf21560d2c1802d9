"""The neural compressor: segments of likely bytes, spelled by the codebook and, where it ends, by the byte LM.

    raw ──── scores ─── segment ──► segments ── codebook.find ──► known ─────────────► spell ──► symbols, window ends
                                                    └► unknown ─ distinct ─ LM intervals ─ windows ─┘

A segment's code does not depend on whether it was found or computed. Segments learned at run time live in a bounded
cache on top of the artifact's codebook; when it is full it starts again from the artifact's.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import torch

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import ByteLMConfig
from kernels.byte_windows import document_entropies
from kernels.codebook import Codebook
from kernels.entropy_memo import EntropyMemo
from kernels.pair_surprisal import PairSurprisals
from kernels.prefix_coding import PrefixCoder
from kernels.segmentation import ends_within, segment
from kernels.window_coder import encode_windows
from pipeline.compressors.codebook_cache import DEFAULT_CACHE_BYTES, GrowingBook
from pipeline.compressors.neural.artifact import (
    CODEBOOK_NAME,
    ENTROPY_NAME,
    NeuralSettings,
    read_codebook,
    read_described,
    read_entropies,
)
from pipeline.compressors.neural.decoder import NeuralDecoder, block_ends
from pipeline.timing import attribute_time_to
from schemas.batches import Documents, Encoding
from schemas.byte_lm_files import ByteLMFiles, read_byte_lm
from schemas.errors import ArtifactError
from schemas.files import canonical_json, sha256_hex

BYTE_LM = "byte_lm"
"""The stage that counts the model's reading."""
READ_DTYPES = {"cpu": torch.float32, "cuda": torch.bfloat16}
"""A CPU without instructions for bfloat16 would read many times slower with it. A code costs the same bits in both."""


def load_model(files: ByteLMFiles, device: str) -> ByteLM:
    """The byte LM of an artifact, on a device, ready to read in the dtype of its type.

    A matrix product over several CPU threads adds in another order than over one, and codes would differ; so a read
    runs on one thread, in this whole process, and parallelism comes from threads that read different prefixes.
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


class NeuralCompressor:
    """Text to symbols and back, by one artifact directory. Safe to share between threads."""

    name = "neural"
    symbol_dtype = np.dtype(np.uint16)

    def __init__(
        self,
        *,
        model: ByteLM,
        lm_digest: str,
        settings: NeuralSettings,
        memo: EntropyMemo | PairSurprisals | None,
        book: Codebook,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        described: dict[str, Any] | None = None,
        threads: int = 1,
    ) -> None:
        self.model, self.config, self.threads = model, settings, threads
        self.alphabet_size = 1 << settings.window_bits
        self.memo, self.book = memo, GrowingBook(book, self.code, stage=BYTE_LM, cache_bytes=cache_bytes)
        self._described = described or {}
        self._lock = threading.Lock()
        self._decoder = NeuralDecoder(settings, model.config.attention_bytes, book, self._coder)
        self.prefixes_read = 0
        self.segment_bytes_read = 0
        self.digest = sha256_hex(canonical_json({"lm": lm_digest, "described": self._described}))

    @classmethod
    def load(
        cls,
        directory: str,
        *,
        device: str = "cpu",
        allow_other_device: bool = False,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> NeuralCompressor:
        """Read an artifact; ArtifactError where it is missing or damaged, or this device computes other codes."""
        settings, described = read_described(directory)
        files = read_byte_lm(directory)
        if files.digest != described["lm_digest"]:
            raise ArtifactError(f"the byte LM at {directory} is not the one the codes were made with; make it anew")
        model = load_model(files, device)
        if not allow_other_device and device_probe(model) != described["device_probe"]:
            raise ArtifactError(
                f"{directory} was built on {described['device']} and this {device} computes other codes; "
                "use that device type and those versions, or give --allow-other-device (noted in the manifest)"
            )
        contexts, bits = read_entropies(os.path.join(directory, ENTROPY_NAME))
        memo: EntropyMemo | PairSurprisals | None = None
        if settings.entropy_context_bytes is None:
            memo = PairSurprisals(bits)
        elif settings.entropy_context_bytes:
            memo = EntropyMemo(settings.entropy_context_bytes, contexts, bits)
        return cls(
            model=model,
            lm_digest=files.digest,
            settings=settings,
            memo=memo,
            book=read_codebook(os.path.join(directory, CODEBOOK_NAME)),
            cache_bytes=cache_bytes,
            described=described,
        )

    def settings(self) -> dict[str, Any]:
        """Settings, digests, θ and its origin, device and versions."""
        return {**self._described, "digest": self.digest}

    def entropies(self, documents: Documents) -> np.ndarray:
        """What decides boundaries, float32 [n_bytes] in bits, of every byte: its surprisal, or its entropy H."""
        if self.memo is None:
            return document_entropies(self.model, documents.raw, documents.offsets)
        if isinstance(self.memo, PairSurprisals):
            return self.memo.scores(documents.raw, documents.offsets)
        return self.memo.entropies(documents.raw, documents.offsets, self._coder())

    def segments(self, documents: Documents, entropies: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Segment ends int64 over all bytes, and segment_offsets int64 [documents + 1]."""
        return segment(
            self.entropies(documents) if entropies is None else entropies,
            documents.offsets,
            theta_bits=self.config.theta_bits,
            max_segment_bytes=self.config.max_segment_bytes,
            cut_every_bytes=self.model.config.attention_bytes if self.config.context == "document" else 0,
        )

    def compress(self, documents: Documents) -> Encoding:
        """The neural encoding of every document."""
        ends, segment_offsets = self.segments(documents)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if ends.size else ends
        if self.config.context == "document":
            symbols, window_ends, symbol_ends = self._code_blocks(documents, ends)
        else:
            book, entries = self.book.entries(documents.raw, starts, ends)
            symbols, window_ends, symbol_ends = book.spell(entries, starts)
        before = np.concatenate((np.zeros(1, np.int64), symbol_ends))
        symbol_offsets = before[segment_offsets]
        return Encoding(
            symbols=symbols,
            symbol_offsets=symbol_offsets,
            raw_ends=ends_within(ends, segment_offsets, documents.offsets),
            symbol_ends=ends_within(symbol_ends, segment_offsets, symbol_offsets),
            segment_offsets=segment_offsets,
            window_ends=ends_within(window_ends, symbol_offsets, documents.offsets),
        )

    def _coder(self) -> PrefixCoder:
        """What codes with the model; inside segments that pairs of bytes decide, it knows which bytes cannot come."""
        forbidden = None
        if isinstance(self.memo, PairSurprisals) and self.config.context == "segment":
            forbidden = self.memo.boundary_pairs(self.config.theta_bits)
        return PrefixCoder(self.model, forbidden=forbidden, threads=self.threads, window_bits=self.config.window_bits)

    def _count(self, coder: PrefixCoder, segment_bytes: int) -> None:
        with self._lock:
            self.prefixes_read += coder.prefixes_read
            self.segment_bytes_read += segment_bytes

    def code(self, raw: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes of distinct segments by the model: symbols, window lengths int64, symbol_ends int64 [segments]."""
        coder = self._coder()
        first, last = coder.intervals(raw, starts, ends)
        self._count(coder, first.size)
        symbols, window_ends, symbol_ends = encode_windows(
            first, last, np.cumsum(ends - starts), window_bits=self.config.window_bits
        )
        return symbols, np.diff(window_ends, prepend=0), symbol_ends

    def _code_blocks(self, documents: Documents, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes with the context of the whole aligned block: symbols, window ends and symbol_ends over the batch."""
        ends_of_blocks = block_ends(documents.offsets, self.model.config.attention_bytes)
        coder = self._coder()
        if not ends_of_blocks.size:
            return np.empty(0, np.uint16), ends_of_blocks, ends_of_blocks
        starts_of_blocks = np.concatenate((np.zeros(1, np.int64), ends_of_blocks[:-1]))
        with attribute_time_to(BYTE_LM):
            first, last = coder.intervals(documents.raw, starts_of_blocks, ends_of_blocks)
        self._count(coder, first.size)
        return encode_windows(first, last, ends, window_bits=self.config.window_bits)

    def decode(self, encoding: Encoding, *, by_model: bool = False) -> Documents:
        """The exact bytes of every document. Codes in the book are looked up, unless `by_model`."""
        return self._decoder.decode(encoding, by_model=by_model)


def device_probe(model: ByteLM) -> str:
    """Digest of the intervals of fixed strings: equal where a device computes the same codes for them."""
    values = np.arange(4096, dtype=np.uint64)
    noise = ((values * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56)).astype(np.uint8)
    text = np.where(values % np.uint64(3) == 0, noise, noise % 95 + 32).astype(np.uint8)
    starts = np.arange(0, 4096, 8)
    first, last = PrefixCoder(model).intervals(text, starts, starts + 8)
    return sha256_hex(first.tobytes() + last.tobytes())
