"""Which devices the byte LM can run on; imports torch only where it must ask it."""

from __future__ import annotations

from schemas.errors import SettingsError


def check_device(device: str) -> None:
    """SettingsError unless the device is `cpu`, `cuda` or `cuda:N` and this machine has it."""
    kind, _, number = device.partition(":")
    if device != "cpu" and (kind != "cuda" or (number and not number.isdigit())):
        raise SettingsError(f"--device is {device!r}; give cpu or cuda")
    if kind == "cuda":
        import torch

        available = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= available:
            raise SettingsError(f"--device is {device!r}, but torch finds {available} CUDA devices here; give cpu")
