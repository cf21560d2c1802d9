"""The paper's ablations at a scale that one machine can train: arms, their runs, and what they say of its claims.

scales ─► arms ─► run (train, evaluate; one process each, resumable) ─► results ─► claims ─► docs/reproduction.md
"""
