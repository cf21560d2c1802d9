"""A table of results, one JSON object in a line, that outlives the machine on which they were made.

A study of many CPU hours is done in slices, on one machine or on several: what the table holds is not trained again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from schemas.errors import ArtifactError, refusing
from schemas.files import replace_file
from schemas.json_files import parse_json, record
from trainer.reproduction.arms import Job
from trainer.reproduction.run import Result, identity


def read_results(path: str) -> list[Result]:
    """The results of a table, in its order; none where there is no file, ArtifactError where it is damaged."""
    if not os.path.exists(path):
        return []
    with refusing(path, ArtifactError, "repair or remove it"), open(path, "rb") as file:
        return [record(Result, parse_json(line), whole=False) for line in file if line.strip()]


def write_results(path: str, results: Iterable[Result]) -> None:
    """Write the table anew, by name of the job; equal results give equal bytes."""
    lines = [json.dumps(asdict(result), sort_keys=True) for result in sorted(results, key=lambda result: result.name)]
    replace_file(path, "".join(f"{line}\n" for line in lines).encode())


def of_jobs(results: Sequence[Result], jobs: Sequence[Job], data: str, path: str) -> dict[str, Result]:
    """Those of the results that are of these jobs, by name; ArtifactError where one has other documents or settings."""
    known = {result.name: result for result in results}
    found = {job.name: known[job.name] for job in jobs if job.name in known}
    for job in jobs:
        if job.name in found and found[job.name].identity != identity(job, data):
            raise ArtifactError(
                f"{path} holds {job.name} of other documents or settings; take the corpus that it was made from, or "
                "another --results"
            )
    return found
