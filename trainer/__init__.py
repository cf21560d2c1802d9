"""The training half. Imports `schemas` and `kernels`, never `pipeline`: what passes between them is files."""
