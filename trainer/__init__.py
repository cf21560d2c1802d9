"""The training half: shards become a model. Imports `schemas` and `kernels`, never `pipeline`.

    shards ── data ──► batches ── training ──► checkpoints of a model ──► generation, serving, evaluation, hf_export
    sample ── byte_lm ──► the byte LM of the neural compressor

`reproduction` runs all of it at a small scale, `curves` draws runs, `cli` is what is typed.

For users, without the name of a module, loaded when first used:

    from trainer import generate, load_model

    model, settings = load_model("runs/demo")
    print(generate(model, [b"def fib(n):"], max_bytes=80)[0].text)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Blend": "trainer.data.blend",
    "Dataset": "trainer.data.dataset",
    "HeldOut": "trainer.data.dataset",
    "Loader": "trainer.data.loader",
    "LoaderSettings": "trainer.data.loader",
    "Mixing": "trainer.data.mixing",
    "EvaByte": "trainer.model.evabyte",
    "load_model": "trainer.training.load_model",
    "generate": "trainer.generation.generate",
    "Sampling": "trainer.generation.settings",
}
"""Where each public name is defined."""

if TYPE_CHECKING:
    from trainer.data.blend import Blend as Blend
    from trainer.data.dataset import Dataset as Dataset
    from trainer.data.dataset import HeldOut as HeldOut
    from trainer.data.loader import Loader as Loader
    from trainer.data.loader import LoaderSettings as LoaderSettings
    from trainer.data.mixing import Mixing as Mixing
    from trainer.generation.generate import generate as generate
    from trainer.generation.settings import Sampling as Sampling
    from trainer.model.evabyte import EvaByte as EvaByte
    from trainer.training.load_model import load_model as load_model
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
