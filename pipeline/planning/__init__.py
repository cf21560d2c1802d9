"""What a larger run takes, from the rates of a finished one: `python -m pipeline plan`.

    finished dataset ── rates  ──► sizes, counts, seconds per stage ─┐
                     ── growth ──► how new segments grow with text ──┴─ plan ──► hours, storage, requests
    settings: the corpus, workers and GPUs asked about ──────────────────┘           │
                                                                          text ──► lines for a terminal

Each line says what it rests on: measured, given, or assumed.
"""
