"""Runs as pictures: what metrics.jsonl says, drawn by matplotlib, which is installed only where it is asked for.

    RUN/metrics.jsonl ── read ──► loss, bits per raw byte and per held-out byte, by step ── draw ──► a PNG or SVG

`settings` are the options of `python -m trainer plot`. The pipeline's reports draw their SVG themselves, because they
are part of one page; a picture of runs goes elsewhere.
"""
