"""The command `python -m pipeline preprocess`: its options are the fields of PreprocessSettings, and Beam's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from pipeline.job.settings import LOCAL_RUNNER, ModelSettings, PreprocessSettings
from schemas.config import add_config_option, from_options
from schemas.errors import SettingsError
from schemas.options import add_options, typed_flags


def add_preprocess_options(options: argparse.ArgumentParser) -> None:
    """Add the options of `preprocess` to its parser."""
    add_config_option(options)
    add_options(options, PreprocessSettings)


def read_settings(options: argparse.Namespace, extra: Sequence[str]) -> PreprocessSettings:
    """The run that a command line asks for: its options, then its --config, then the defaults; `extra` is Beam's."""
    beam = {"beam_options": tuple(extra)} if extra else {}
    settings = from_options(PreprocessSettings, options, **beam)
    if settings.runner == LOCAL_RUNNER and extra:
        raise SettingsError(f"unknown option {extra[0]!r}; see `python -m pipeline preprocess --help`")
    if settings.compressors_of and (typed := typed_flags(ModelSettings, options)):
        raise SettingsError(
            f"--compressors-of {settings.compressors_of} takes its models with all their settings; leave out {typed[0]}"
        )
    return replace(settings, output=settings.output.rstrip("/"))


def run_preprocess(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Turn a corpus into a dataset; the exit status."""
    settings = read_settings(options, extra)
    from pipeline.job.preprocess import preprocess
    from pipeline.job.summary import summary

    if not preprocess(settings):
        print("everything is in place, nothing to do\n")
    print(summary(settings.output))
    return 0
