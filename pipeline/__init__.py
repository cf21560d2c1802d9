"""The offline half: a corpus becomes Arrow shards. Imports `schemas` and `kernels`."""
