"""The neural compressor: segments of likely bytes, coded by the codebook and, where it ends, by the byte LM.

    raw ──── scores ─── segment ──► segments ── codebook.find ──► known ────────────► join ──► symbols, window ends
                                                    └► unknown ─ distinct ─ LM intervals ─ windows ─┘

A segment's code does not depend on whether it was found or computed. Segments learned at run time live in a bounded
cache on top of the artifact's codebook; when it is full it starts again from the artifact's.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from kernels.boundary_score import BoundaryScore
from kernels.byte_model import ByteModel
from kernels.byte_spans import ByteSpans
from kernels.codebook import Codebook
from kernels.segmentation import ends_within, segment, segment_by_pairs
from pipeline.compressors.codebook_cache import DEFAULT_CACHE_BYTES, CodebookCache
from pipeline.compressors.neural.coder import BYTE_LM, SegmentCoder
from pipeline.compressors.neural.decoder import NeuralDecoder
from pipeline.compressors.neural.learned import LEARNED, LearnedCodes, TablePart
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.batches import Documents, Encoding
from schemas.encodings import EncodingLayout


class NeuralCompressor:
    """Text to symbols and back; see `pipeline.compressors.base.Compressor`."""

    name = "neural"
    layout = EncodingLayout(symbols="uint16", window_bytes="uint8", segment_symbols="uint8")

    def __init__(
        self,
        model: ByteModel,
        score: BoundaryScore,
        settings: NeuralSettings,
        theta_bits: float,
        *,
        jump_bits: float | None = None,
        book: Codebook | None = None,
        digest: str = "",
        threads: int = 1,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        """score: what boundaries are cut at, above theta_bits and, where there is one, at a rise above jump_bits;
        `settings.theta` and `settings.jump` say how these were found and are not read.

        book: codes that need no model; None is an empty book. digest: names all that codes depend on. threads: that
        read with the model at a time, for one call. cache_bytes: memory for codes learned at run time.
        """
        self.model, self.score, self.settings = model, score, settings
        self.theta_bits, self.jump_bits = theta_bits, jump_bits
        self.alphabet_size = 1 << settings.window_bits
        self.digest = digest
        pairs_decide = settings.context == "segment" and jump_bits is None
        self._cuts = score.forbidden_pairs(theta_bits) if pairs_decide else None
        """bool [256, 256]: the pairs of bytes that segments are cut between, where pairs alone decide."""
        self.coder = SegmentCoder(model, forbidden=self._cuts, window_bits=settings.window_bits, threads=threads)
        self.codes = CodebookCache(book or Codebook(), self.coder.codes, stage=BYTE_LM, cache_bytes=cache_bytes)
        self._decoder = NeuralDecoder(settings, self.codes.base, self.coder)

    def variant(
        self,
        *,
        score: BoundaryScore | None = None,
        theta_bits: float | None = None,
        book: Codebook | None = None,
        **settings: Any,
    ) -> NeuralCompressor:
        """A compressor with the same model and other settings, score or θ; it knows the codes of `book` only."""
        return NeuralCompressor(
            self.model,
            self.score if score is None else score,
            replace(self.settings, **settings),
            self.theta_bits if theta_bits is None else theta_bits,
            jump_bits=self.jump_bits,
            book=book,
            threads=self.coder.threads,
        )

    def unknown_segments(self, documents: Documents) -> ByteSpans:
        """The segments of documents that the artifact's codebook lacks, repeats included; none is coded or learned."""
        segments = ByteSpans.from_ends(documents.raw, self.segments(documents)[0], start=int(documents.offsets[0]))
        return segments.take(self.codes.base.find(segments)[0] < 0)

    def with_table(self, parts: Sequence[TablePart]) -> NeuralCompressor:
        """This compressor, which asks a table before the byte LM; both share all but what is learned at run time."""
        other = copy(self)
        other.codes = CodebookCache(self.codes.base, LearnedCodes(parts, self.coder.codes).codes, stage=LEARNED)
        return other

    def scores(self, documents: Documents) -> np.ndarray:
        """What decides boundaries, float32 [n_bytes], in bits, of every byte."""
        return self.score.scores(documents.raw, documents.offsets)

    def segments(self, documents: Documents) -> tuple[np.ndarray, np.ndarray]:
        """Segment ends int64 over all bytes, and segment_offsets int64 [documents + 1]."""
        if self._cuts is not None:
            longest = self.settings.max_segment_bytes
            return segment_by_pairs(documents.raw, documents.offsets, self._cuts, max_segment_bytes=longest)
        return segment(
            self.scores(documents),
            documents.offsets,
            theta_bits=self.theta_bits,
            max_segment_bytes=self.settings.max_segment_bytes,
            jump_bits=self.jump_bits,
            cut_every_bytes=self.coder.block_bytes if self.settings.context == "document" else 0,
        )

    def compress(self, documents: Documents) -> Encoding:
        """The neural encoding of every document."""
        ends, segment_offsets = self.segments(documents)
        if self.settings.context == "segment":
            spans = ByteSpans.from_ends(documents.raw, ends, start=int(documents.offsets[0]))
            return self.codes.encode(spans, segment_offsets)
        symbols, window_ends, symbol_ends = self.coder.block_codes(documents, ends)
        symbol_offsets = np.concatenate((np.zeros(1, np.int64), symbol_ends))[segment_offsets]
        return Encoding(
            symbols=symbols,
            symbol_offsets=symbol_offsets,
            raw_ends=ends_within(ends, segment_offsets, documents.offsets),
            symbol_ends=ends_within(symbol_ends, segment_offsets, symbol_offsets),
            segment_offsets=segment_offsets,
            window_ends=ends_within(window_ends, symbol_offsets, documents.offsets),
        )

    def decode(self, encoding: Encoding) -> Documents:
        """The exact bytes of every document; VerificationError where no encoder can have written the encoding."""
        return self._decoder.decode(encoding)

    def decode_by_model(self, encoding: Encoding) -> Documents:
        """As `decode`, by the byte LM alone: no code is looked up in the codebook."""
        return self._decoder.decode(encoding, by_model=True)
