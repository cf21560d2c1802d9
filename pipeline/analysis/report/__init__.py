"""Draws what analysis measured: one HTML page, which needs no network, font or picture. Measures nothing.

    findings ── page ──┬─ stability       distances under edits        distance_figures ─┐
                       ├─ collisions      codes of several strings                       ├─ svg, markup ──► text
                       ├─ figures         histograms, bars, languages ───────────────────┤
                       └─ samples         excerpts, byte by byte       sample_cells ─────┘
    page.html, page.css, page.js ──► around it; style and script are allowed by their digests alone

Text of a document reaches the page through `markup` or `sample_cells` only, so that nothing in it can be markup.
"""
