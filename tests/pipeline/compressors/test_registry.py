"""The registry: every name is described as it is loaded, and one more name needs nothing but its own module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.exact_fused import FusedRows
from pipeline.__main__ import main
from pipeline.compressors.base import (
    CompressorDescription,
    Derived,
    Loader,
    Loading,
    SupportsModelDecode,
    SupportsScores,
    compress_in_order,
    encode,
    read_description,
)
from pipeline.compressors.names import COMPRESSORS
from pipeline.compressors.registry import (
    COMPRESSORS_DIRECTORY,
    dataset_compressors,
    describe_compressors,
    family,
    load_compressors,
    manifest_descriptions,
)
from pipeline.compressors.token_bytes.settings import TokenBytesSettings
from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
from schemas.batches import Documents, Encoding
from schemas.encodings import EncodingLayout
from schemas.errors import DatasetError
from schemas.manifest import read_manifest
from schemas.vocabulary import BYTE_ALPHABET_SIZE
from tests.pipeline.runs import Preprocess
from tests.test_layering import ROOT

TEXTS = Documents.from_bytes([b"def f(x):\n    return x\n", "é 😀".encode(), b"a"])


@pytest.fixture(scope="module")
def loading(finished: Path) -> Loading:
    return Loading(directory=str(finished / "out" / COMPRESSORS_DIRECTORY))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_family_describes_what_it_loads(name: str, loading: Loading) -> None:
    (compressor,) = load_compressors([name], loading).values()
    (described,) = describe_compressors([name], loading).values()
    assert family(name).name == compressor.name == name
    found = (compressor.digest, compressor.alphabet_size, compressor.layout.symbols)
    assert found == (described.digest, described.alphabet_size, described.symbol_dtype)
    encoding = compressor.compress(TEXTS)
    assert encoding.symbols.dtype == compressor.layout.symbols
    assert (encoding.window_ends is not None) == compressor.layout.has_windows
    assert isinstance(compressor, SupportsScores) == (described.score_quantity is not None)
    assert (described.threshold_bits is not None) == (described.score_quantity is not None)
    assert read_description(family(name), described.to_json(), "here") == described


def test_describing_loads_no_model(loading: Loading) -> None:
    code = f"""
import sys
from pipeline.compressors.base import Loading
from pipeline.compressors.names import COMPRESSORS
from pipeline.compressors.registry import describe_compressors
describe_compressors(COMPRESSORS, Loading(directory={loading.directory!r}))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stdout + done.stderr


def test_a_manifest_tells_what_was_loaded(finished: Path) -> None:
    manifest = read_manifest(finished / "out")
    described = manifest_descriptions(manifest, "here")
    compressors = dataset_compressors(str(finished / "out"), manifest)
    assert {name: each.digest for name, each in described.items()} == {n: c.digest for n, c in compressors.items()}
    assert "codebook" in described["neural"].summary()
    assert ("byte LM" in dict(described["neural"].details())) and not described["gzip"].details()


@pytest.mark.parametrize("changes", [{"theta_bits": None}, {"settings": {}}, {"more": 1}, {"theta_bits": -1}])
def test_an_entry_of_another_release_is_refused_in_one_line(changes: dict[str, Any], loading: Loading) -> None:
    entry = describe_compressors(["neural"], loading)["neural"].to_json()
    entry = {key: value for key, value in {**entry, **changes}.items() if value is not None}
    with pytest.raises(DatasetError, match=r"^out describes its neural compressor .*; use the release that wrote it"):
        read_description(family("neural"), entry, "out")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(DatasetError, match="compressor 'lzma' is not known to this version"):
        family("lzma")


def test_token_bytes_share_the_tokenizer_and_its_tokens(loading: Loading, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_compressors(["token_bytes", "tokenizer", "gzip"], loading)
    token_bytes = loaded["token_bytes"]
    assert isinstance(token_bytes, Derived)
    assert token_bytes.source is loaded["tokenizer"]
    assert compress_in_order(loaded) == ["tokenizer", "gzip", "token_bytes"]
    calls: list[Documents] = []
    compress = TokenizerCompressor.compress

    def counted(self: TokenizerCompressor, documents: Documents) -> Encoding:
        calls.append(documents)
        return compress(self, documents)

    monkeypatch.setattr(TokenizerCompressor, "compress", counted)
    encodings: dict[str, Encoding] = {}
    for name in compress_in_order(loaded):
        encodings[name] = encode(loaded[name], TEXTS, encodings)
    assert len(calls) == 1
    alone = encode(token_bytes, TEXTS, {})
    assert np.array_equal(alone.symbols, encodings["token_bytes"].symbols)
    assert token_bytes.decode(alone).raw.tobytes() == TEXTS.raw.tobytes()


def test_settings_reach_their_compressor(loading: Loading) -> None:
    wanted = TokenBytesSettings(width_bytes=3, code="gray")
    wide = Loading(directory=loading.directory, settings={"token_bytes": wanted})
    (described,) = describe_compressors(["token_bytes"], wide).values()
    assert described.load_settings == wanted
    assert load_compressors(["token_bytes"], wide)["token_bytes"].digest == described.digest


class Inverted:
    """A fifth compressor: every byte's complement is a symbol, a document is a segment."""

    name = "inverted"
    alphabet_size = BYTE_ALPHABET_SIZE
    layout = EncodingLayout(symbols="uint8")
    digest = "1" * 64

    def compress(self, documents: Documents) -> Encoding:
        lengths = np.diff(documents.offsets).astype(np.uint32)
        return Encoding(
            symbols=255 - documents.raw,
            symbol_offsets=documents.offsets,
            raw_ends=lengths,
            symbol_ends=lengths,
            segment_offsets=np.arange(len(documents) + 1),
        )

    def decode(self, encoding: Encoding) -> Documents:
        return Documents(raw=255 - encoding.symbols, offsets=encoding.symbol_offsets)


class InvertedFamily:
    name = "inverted"
    description = CompressorDescription

    def load(self, loader: Loader) -> Inverted:
        return Inverted()

    def describe(self, loader: Loader) -> CompressorDescription:
        return CompressorDescription(digest=Inverted.digest, alphabet_size=Inverted.alphabet_size, symbol_dtype="uint8")


FAMILY = InvertedFamily()


def test_a_fifth_compressor_is_one_module_and_one_line(
    finished: Path,
    tmp_path: Path,
    preprocess: Preprocess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(COMPRESSORS, "inverted", __name__)
    assert preprocess(finished / "corpus", tmp_path / "out", "--compressors", "gzip,inverted") == 0
    assert "inverted" in capsys.readouterr().out
    assert not isinstance(Inverted(), SupportsScores | SupportsModelDecode | Derived)
    assert main(["verify", str(tmp_path / "out"), "--by-model"]) == 0
    assert main(["show", str(tmp_path / "out"), "--compressor", "inverted", "--view", "comp"]) == 0
    assert main(["decode", str(tmp_path / "out"), "--compressor", "inverted", "--out", str(tmp_path / "back")]) == 0
    assert main(["analyze", str(tmp_path / "out"), "--documents", "3"]) == 0
    assert (tmp_path / "out/analysis/report.html").exists()


def test_a_byte_lm_that_is_slower_than_its_device_says_so(
    loading: Loading, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load_compressors(["neural"], loading)
    assert caplog.messages == []

    def chosen(config: Any, arrays: Any, *how: Any) -> tuple[FusedRows, str]:
        return FusedRows(config, arrays), "no Triton"

    monkeypatch.setattr("kernels.exact_lm.fast_rows", chosen)
    load_compressors(["neural"], loading)
    assert caplog.messages == ["no Triton"]
