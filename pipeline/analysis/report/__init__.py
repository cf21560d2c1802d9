"""Draws what analysis measured: one HTML page, which needs no network, font or picture. Measures nothing.

    findings ── page ──┬─ lead            the dataset in a sentence and a table
                       ├─ stability       distances under edits        distance_figures ─┐
                       ├─ collisions      codes of several strings     figures ──────────┤
                       ├─ corpus          documents, languages         figures ──────────┼─ svg, markup ──► text
                       ├─ compressors     what each makes of it                          │
                       ├─ distributions   scores and lengths           figures ──────────┤
                       └─ samples         excerpts, byte by byte       sample_cells ─────┘
    page.html, page.css, page.js ──► around it; style and script are allowed by their digests alone

A section is a function from findings to markup; to add one: a file with it, and a line in page.SECTIONS.
Text of a document reaches the page through `markup` or `sample_cells` only, so that nothing in it can be markup.
"""
