"""Datasets for the analysis: documents that try to break out of a page, spelled by the micro models."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.corpora import jsonl
from tests.pipeline.runs import Preprocess

HOSTILE = {
    "</script><script>document.title='owned'</script>": "</script><script>document.title='owned'</script>\n" * 9,
    "image": "<img src=x onerror=\"document.title='owned'\">\n<!-- ]]> --> <svg onload=alert(1)>\n" * 9,
    "controls": "a\0b\x07\x1b[31m\x7f\x85\u2028\u2029\ufeff\u202eevil\u2066\u00ad\u200b tab\tcr\r\n" * 9,
    "characters": "naïve 日本語 ☕ 🚀 👩‍👩‍👧 e\u0301\u0327 עברית\n" * 12,
    "javascript:alert(1)": "$title ${style} $$ {{x}} %s &lt;b&gt; &#60; `${x}`\n" * 12,
    "one": "x",
    "spaces": " \t \n\n\n    \r\r" * 20,
}
"""Source to text. The sources are hostile too."""


def hostile_dataset(directory: Path, preprocess: Preprocess, *options: str) -> Path:
    """A finished dataset of `HOSTILE`, one language each."""
    records = [{"text": text, "language": f"{source}<b>", "id": source} for source, text in sorted(HOSTILE.items())]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "</title><script>.jsonl".replace("/", "⁄")).write_bytes(jsonl(*records))
    assert preprocess(directory, directory.parent / "data", "--id-field", "id", "--shards", "1", *options) == 0
    return directory.parent / "data"
