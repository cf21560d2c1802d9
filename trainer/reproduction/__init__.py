"""The paper's ablations at a scale that one machine can train: arms, their runs, and what they say of its claims.

settings ──► arms: jobs of a scale ──► run: train and evaluate each, a process per job, resumable ──► results
                                                                                                      │
findings: figures of `pipeline analyze` ───────────────────────┐                                      ▼
formats: what other formatting costs each arm ──► result_table: means over seeds ──► claims: verdicts by rule
                                                                                                      │
                                                                report: docs/reproduction.md ◄────────┘
"""
