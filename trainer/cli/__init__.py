"""What is typed: `python -m trainer COMMAND`, whose options are the fields of settings dataclasses.

    parser      the commands
    lm          ByteLMSettings (`trainer.byte_lm.settings`), the byte LM of the neural compressor
    train       TrainSettings (`trainer.training.settings`), with --config for the settings.json of a run
    generate    GenerateSettings (`trainer.generation.settings`)
    serve       ServeSettings (`trainer.serving.settings`)
    evaluate    one class for each measure (`trainer.evaluation.settings`)
    reproduce   ReproduceSettings (`trainer.reproduction.settings`)
    plot        PlotSettings (`trainer.curves.settings`)
    export      ExportSettings (`trainer.model.settings`)

Listing the options imports neither torch nor NumPy: settings have files of their own.
"""
