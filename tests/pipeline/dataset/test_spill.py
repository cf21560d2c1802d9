"""Spilled batches come back in order, whether they were in memory or in a file without a name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.dataset.spill import Spill

SCHEMA = pa.schema([("n", pa.int64())])


def batch(n: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array([n], pa.int64())], schema=SCHEMA)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
@pytest.mark.parametrize("memory_bytes", [0, 8, 80, 1 << 20])
def test_all_come_back_in_order(tmp_path: Path, count: int, memory_bytes: int) -> None:
    spill = Spill(SCHEMA, tmp_path, memory_bytes)
    for n in range(count):
        spill.append(batch(n))
    assert [found["n"][0].as_py() for found in spill.batches()] == list(range(count))
    assert list(tmp_path.iterdir()) == []
    spill.close()


def test_memory_is_bounded_while_batches_come_and_given_back_while_they_go(tmp_path: Path) -> None:
    spill, before = Spill(SCHEMA, tmp_path, memory_bytes=1 << 20), pa.total_allocated_bytes()
    big = 1 << 16
    for n in range(100):
        spill.append(pa.record_batch([pa.array([n] * big, pa.int64())], schema=SCHEMA))
        assert pa.total_allocated_bytes() - before <= (1 << 20) + 3 * 8 * big
    assert sum(found.num_rows for found in spill.batches()) == 100 * big
    spill.close()
    assert pa.total_allocated_bytes() - before <= 8 * big


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20])
def test_a_second_close_does_no_harm(tmp_path: Path, memory_bytes: int) -> None:
    spill = Spill(SCHEMA, tmp_path, memory_bytes)
    spill.append(batch(1))
    spill.close()
    spill.close()
