"""What a trained model is worth. Each evaluation reads a model and held-out documents or problems, and returns figures.

    held-out documents ──► bits_per_byte     bits per raw byte, each byte scored once
                       ──► translation       comp → raw and back, exact and by distance
    reformatted texts  ──► formatting        what other formatting of the context costs
    problems           ──► code/             samples of code, run with their tests in a sandbox

`settings` are what `python -m trainer evaluate` makes its options of. To add an evaluation: a file here, its settings,
and its command in trainer/cli/evaluate.py.
"""
