"""What the compressors do to text: `python -m pipeline analyze` measures, then writes tables and one page.

    settings ──► analyze
    dataset ── one_pass: each batch decoded once ──┬─► statistics (histograms)        lengths, languages, alphabets
                                                   ├─► collisions (common_prefix)     codes of more than one string
                                                   ├─► samples                        excerpts to look at
                                                   └─► texts ── edits ──► stability   how far symbols move
                                                         └── frontier                 the same over rules and θ
    all of it ──► findings ──┬─ tables ──► *.csv, *.json
                             └─ report/ ──► report.html

`seeds` has a number for each purpose of --seed. `reformat` is a command of its own: texts in other formatting.
"""
