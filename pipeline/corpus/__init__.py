"""From what was typed to documents: every name ends as documents, as rejects, or as a named "not read".

    inputs ── discover (local_files, URLs) ──► SourceFiles, NotRead ── corpus, units ──► WorkUnits of Pieces
    Piece  ── read (readers) ──► lines, values, rows, files ── records, splitting ──► Record or Reject
    units  ── sample ──► documents by hash, of which some are held out

`settings` are the options of all this, `source_files` what a file and a piece of one are, `languages` which suffix is
text in which language.
"""
