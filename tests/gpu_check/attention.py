"""flex_attention, which GPUs take, beside SDPA window by window, which is the definition: outputs, gradients, times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernels.eva import document_starts, eva_block_mask, eva_flex, eva_sdpa
from tests.gpu_check.clock import seconds_of
from tests.gpu_check.run import CheckError, Figure
from tests.gpu_check.scale import Scale

CHUNK = 8
MAX_DIFFERENCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Largest difference from SDPA in fp32 that is rounding; TF32 is off."""


def attention(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """Every head size and number of documents, fp32 for differences and bf16 for differences and times."""
    wrong = []
    device = scale.device
    for size in scale.head_sizes:
        for count in scale.documents:
            what = f"head size {size}, {count} documents"
            arrays, starts = _sample(scale, size, count)
            shape: dict[str, Any] = {"window": scale.window, "chunk": CHUNK, "starts": starts}
            begin = partial(
                eva_block_mask, scale.positions, window=scale.window, chunk=CHUNK, starts=starts, device=starts.device
            )
            mask = begin()
            yield f"block mask, ms, {what}", 1e3 * seconds_of(begin, device)
            flex = partial(eva_flex, block_mask=mask, **shape)
            sdpa = partial(eva_sdpa, **shape)
            expected = _outputs(sdpa, arrays, torch.float32, gradients=device == "cuda")
            for dtype in (torch.float32, torch.bfloat16):
                name = str(dtype).removeprefix("torch.")
                found = _outputs(flex, arrays, dtype, gradients=device == "cuda")
                worst = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
                yield f"largest difference from SDPA, {name}, {what}", worst
                if not worst <= MAX_DIFFERENCE[dtype]:
                    wrong.append(f"{worst:.3g} in {name}, {what}")
            yield from _times(scale, flex, sdpa, arrays, what)
    if wrong:
        raise CheckError(f"flex_attention differs by {'; '.join(wrong)}")


def _sample(scale: Scale, size: int, documents: int) -> tuple[list[Tensor], Tensor]:
    """q, k, v, mu, phi in fp32, and where the document of each position begins."""
    generator = torch.Generator(scale.device).manual_seed(size + documents)
    shapes = [(1, scale.heads, scale.positions, size)] * 3 + [(scale.heads, size)] * 2
    arrays = [torch.randn(shape, generator=generator, device=scale.device) for shape in shapes]
    places = torch.arange(scale.positions, device=scale.device)
    return arrays, document_starts((places * documents // scale.positions).int().unsqueeze(0))


def _outputs(
    attend: Callable[..., Tensor], arrays: list[Tensor], dtype: torch.dtype, *, gradients: bool
) -> list[Tensor]:
    """The output and, where asked, the gradients of all five arrays for one fixed weight of each output."""
    ours = [array.to(dtype, copy=True).requires_grad_(gradients) for array in arrays]
    out = attend(*ours)
    if not gradients:
        return [out.detach().float()]
    weight = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)
    (out.float() * weight).sum().backward()
    found = [out.detach().float()]
    for array in ours:
        assert array.grad is not None
        found.append(array.grad.float())
    return found


def _times(
    scale: Scale, flex: Callable[..., Tensor], sdpa: Callable[..., Tensor], arrays: list[Tensor], what: str
) -> Iterator[Figure]:
    """Milliseconds in bf16. On a CPU flex_attention has no backward."""
    backward = scale.device == "cuda"
    for name, attend in (("flex", flex), ("SDPA", sdpa)):
        ours = [array.bfloat16().requires_grad_(backward) for array in arrays]
        yield f"{name} forward, ms, {what}", 1e3 * seconds_of(lambda: attend(*ours), scale.device)  # noqa: B023
        if backward:
            out = attend(*ours)
            gradient = torch.ones_like(out)
            seconds = seconds_of(lambda: out.backward(gradient, retain_graph=True), scale.device)  # noqa: B023
            yield f"{name} backward, ms, {what}", 1e3 * seconds
