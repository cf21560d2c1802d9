"""Code that a model writes: sampled, run with tests, counted.

    problems ──► completions ──► sample_files: samples.jsonl
                                      │
             tests ──► score ──► sandbox ── confinement: a root, a filter, limits ──► candidate: judge and solver
                                      │ statuses
                  pass_at_k, robustness ──► results: results.json

`workflow` runs both halves; `records` reads the JSON lines of others. Nothing but the sandbox runs code.
"""
