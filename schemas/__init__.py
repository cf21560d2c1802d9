"""What is on disk, and what both halves of the program share. Imports nothing of the other packages.

    a dataset     dataset: open it ── manifest ── shards (columns) ── views (one row per document, segment or window)
                  encodings: a compressor's column ◄──► batches: flat arrays   rejects: documents that were left out
    model ids     vocabulary: special ids, 256 bytes, the compressor's alphabet
    other files   byte_lm_files, sample, formats: what the two halves hand each other   held_out: never trained on
    programs      machine: the CPUs and the memory that a process may use
                  options: settings dataclasses on a command line   config: settings from that and from JSON
                  files: digests, atomic replacement   errors: what users are told
                  json_files: what JSON files may hold, and records of them
                  progress: what runs, how fast, and how long it will still take   beside: a thread while a body runs
    stores        stores: objects at s3:// and gs:// ── store_clients   patience: what is transient is tried again
                  remote: files by path or URL ── shard_files: a dataset's shards on this machine, one at a time

For users, without the name of a module, loaded when first used:

    from schemas import open_dataset, paired_view

    pairs = paired_view(open_dataset("data/stdlib").table(), "neural")

CHANGES.md is the history of the formats.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ShardDirectory": "schemas.dataset",
    "open_dataset": "schemas.dataset",
    "comp_view": "schemas.views",
    "paired_view": "schemas.views",
    "raw_view": "schemas.views",
    "window_view": "schemas.views",
    "Documents": "schemas.batches",
    "Encoding": "schemas.batches",
    "UserError": "schemas.errors",
}
"""Where each public name is defined."""

if TYPE_CHECKING:
    from schemas.batches import Documents as Documents
    from schemas.batches import Encoding as Encoding
    from schemas.dataset import ShardDirectory as ShardDirectory
    from schemas.dataset import open_dataset as open_dataset
    from schemas.errors import UserError as UserError
    from schemas.views import comp_view as comp_view
    from schemas.views import paired_view as paired_view
    from schemas.views import raw_view as raw_view
    from schemas.views import window_view as window_view
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
