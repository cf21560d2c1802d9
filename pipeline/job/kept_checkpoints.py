"""The last checkpoint of a byte LM's training, kept in the store of the output while the training goes on here.

    trainer ──► COPY/lm-40m/checkpoints/step-00001000 ── every few seconds, if it is new ──► OUTPUT/_work/lm-40m.tar
    next run ◄── COPY/lm-40m/checkpoints/step-00001000 ◄── unpacked before the training ◄─────────────┘

One object, so that a checkpoint is in the store whole or not at all, and a newer one takes its place. It goes when the
byte LM is there. A local output needs none of this: its checkpoints are where they are written.
"""

from __future__ import annotations

import logging
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pipeline.storage import files
from schemas import stores
from schemas.beside import beside
from schemas.byte_lm_files import CONFIG_NAME
from schemas.errors import UserError, one_line
from schemas.remote import copy_file

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks for a new checkpoint; the shortest time between two of them is about four times that."""
FOLDER = "checkpoints"


@contextmanager
def kept_checkpoints(url: str, directory: Path) -> Iterator[None]:
    """Unpack what an earlier run has kept at `url`, and keep there what the body's training leaves in `directory`.

    directory: of the byte LM, local. Nothing happens where the byte LM is there already. A store that does not take a
    checkpoint is no reason to stop the training: the log says so.
    """
    if (directory / CONFIG_NAME).exists():
        yield
        return
    _unpack(url, directory / FOLDER)
    folder = directory / FOLDER
    with beside(partial(_keep, url, folder, _last(folder))):
        yield
    if (directory / CONFIG_NAME).exists():
        files.remove(url)


def _keep(url: str, folder: Path, sent: Path | None, ended: threading.Event) -> None:
    """Send each checkpoint behind `sent` until the training has ended; what it leaves last is sent too."""
    while True:
        is_over = ended.wait(LOOK_SECONDS)
        last = _last(folder)
        if last is not None and last != sent:
            try:
                if _send(url, last):
                    sent = last
            except (OSError, UserError) as error:
                logger.warning("%s is not kept in the store (%s); the next one will be tried", last, one_line(error))
                sent = last
        if is_over:
            return


def _last(folder: Path) -> Path | None:
    """The newest whole checkpoint: the trainer renames one when it is whole."""
    names = os.listdir(folder) if folder.is_dir() else []
    whole = sorted(name for name in names if name.startswith("step-") and not name.endswith(".tmp"))
    return folder / whole[-1] if whole else None


def _send(url: str, checkpoint: Path) -> bool:
    """Put a checkpoint into the store; False where the trainer has removed it meanwhile, for there is a newer one."""
    with tempfile.NamedTemporaryFile(prefix="checkpoint-") as packed:
        try:
            names = sorted(os.listdir(checkpoint))
            with tarfile.open(fileobj=packed, mode="w") as archive:
                for name in names:
                    archive.add(checkpoint / name, f"{checkpoint.name}/{name}")
            # Its files never change and go all together: those that are still there now were there when they were read.
            if sorted(os.listdir(checkpoint)) != names:
                return False
        except FileNotFoundError:
            return False
        packed.flush()
        stores.write(url, Path(packed.name))
    return True


def _unpack(url: str, folder: Path) -> None:
    """The kept checkpoint into a folder, where there is one; a damaged one is passed over, and the log says so."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kept-") as temporary:
        packed, unpacked = Path(temporary, "checkpoint.tar"), Path(temporary, "unpacked")
        try:
            copy_file(url, packed)
            with tarfile.open(packed) as archive:
                archive.extractall(unpacked, filter="data")
            (checkpoint,) = unpacked.iterdir()
        except FileNotFoundError:
            return
        except (tarfile.TarError, ValueError) as error:
            logger.warning("%s is damaged (%s); the training of the byte LM starts again", url, one_line(error))
            return
        if not (folder / checkpoint.name).exists():
            checkpoint.replace(folder / checkpoint.name)
    logger.info("training of the byte LM goes on from %s of %s", checkpoint.name, url)
