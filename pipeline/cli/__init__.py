"""What is typed: `python -m pipeline COMMAND`, whose options are the fields of settings dataclasses.

    parser        the commands: name, settings, what runs it
    preprocess    PreprocessSettings (`pipeline.job.settings`), with --config for the settings.json of a run
    models        sample, tokenizer: what models are made from, and the tokenizer alone
    dataset       verify, decode, show, analyze, reformat: what looks at a finished dataset
    plan          PlanSettings (`pipeline.planning.settings`) and the dataset whose rates it takes

Listing the options imports neither Beam nor NumPy: settings have files of their own, and a command imports what it
runs when it runs. A UserError becomes one line and its exit code in `pipeline.__main__`.
"""
