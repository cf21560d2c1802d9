"""Arithmetic on arrays: no files, no Beam, no logging. Imports only `schemas`."""
