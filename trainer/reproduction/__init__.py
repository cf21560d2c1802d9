"""The paper's ablations and ours at a scale that one machine can train: arms, their runs, and what they say of claims.

local_copies: datasets at URLs, once
settings ──► arms: jobs of a scale ──► run: a process per job, resumable ── evaluate ──► results, kept in one table
                                                │                             │
             documents: held-out ones ──────────┴── formats: other formatting ┘
                                                                      │
results ──► result_table: means over seeds, as much raw alone ──┐     │
findings: figures of `pipeline analyze` ────────────────────────┴─► evidence ──► claims: verdicts by rule
                                                                      │             │
report: docs/reproduction.md ◄── tables, words, figures ◄─────────────┴─────────────┘
"""
