"""Bytes, local or remote."""
