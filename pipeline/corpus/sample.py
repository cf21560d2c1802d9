"""A deterministic sample of a corpus: documents chosen, ordered and held out by hashes of their ids.

Whole corpora up to the sample size are taken whole. Of a larger one, small units are read in the order of a hash of
their names until there is a few times the sample; then the documents with the smallest hashes stay. The sample does
not depend on how the run is cut into shards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.corpus.corpus import Corpus
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import CorpusSettings
from pipeline.corpus.units import WorkUnit
from schemas.errors import InputError
from schemas.held_out import hash_share, is_held_out
from schemas.progress import Progress
from schemas.rejects import Reject

HELD_OUT_SHARE = 0.05
SAMPLE_UNIT_BYTES = 4 << 20
OVERSAMPLING = 4


def draw_sample(
    settings: CorpusSettings, sample_bytes: int, corpus: Corpus | None = None
) -> list[tuple[str, bytes, bool]]:
    """(doc_id, text, held out) of the sample's documents, at most about `sample_bytes` of text, in hash order.

    corpus: the settings' inputs, where they are listed already.
    """
    units = (corpus or Corpus(settings.inputs)).units(shards=None, unit_bytes=SAMPLE_UNIT_BYTES)
    documents, rejects, first = _read(units, settings, OVERSAMPLING * sample_bytes)
    if not documents:
        raise InputError(_nothing_read(settings.inputs, rejects, first))
    documents.sort(key=lambda document: document[:2])
    rows: list[tuple[str, bytes, bool]] = []
    kept_bytes = 0
    for _, doc_id, text in documents:
        if rows and kept_bytes + len(text) > sample_bytes:
            continue
        rows.append((doc_id, text, is_held_out(doc_id, HELD_OUT_SHARE)))
        kept_bytes += len(text)
    if all(held_out for *_, held_out in rows):
        # One long document, or its pieces: there would be nothing to learn from.
        rows = [(doc_id, text, False) for doc_id, text, _ in rows]
    return rows


def _read(
    units: list[WorkUnit], corpus: CorpusSettings, enough_bytes: int
) -> tuple[list[tuple[float, str, bytes]], Counter[str], Reject | None]:
    """(hash, doc_id, text) of the documents of the units in the order of their rank, until there is enough text; how
    many items were set aside by reason, and the first of them."""
    documents: list[tuple[float, str, bytes]] = []
    rejects: Counter[str] = Counter()
    first: Reject | None = None
    read_bytes = 0
    with Progress("sample", total=min(enough_bytes, sum(unit.size_bytes for unit in units)), unit="B") as progress:
        for unit in sorted(units, key=_unit_rank):
            if read_bytes >= enough_bytes:
                break
            for record in read_documents(unit.pieces, corpus.read):
                if isinstance(record, Record):
                    documents.append((hash_share("sample", record.doc_id), record.doc_id, record.text))
                    read_bytes += len(record.text)
                    progress.to(read_bytes)
                else:
                    rejects[record.reason] += 1
                    first = first or record
    return documents, rejects, first


def _nothing_read(inputs: Sequence[str], rejects: Counter[str], first: Reject | None) -> str:
    """What to say of inputs without a document."""
    names = ", ".join(inputs)
    if first is None:
        return f"{names} holds no document: its files are empty; give another --input"
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(rejects.items()))
    return f"no document could be read from {names} ({reasons}); the first is in {first.source}: {first.detail}"


def _unit_rank(unit: WorkUnit) -> tuple[float, int]:
    return hash_share("unit", f"{unit.pieces[0].source}:{unit.pieces[0].start}"), unit.index
