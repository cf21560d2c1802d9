"""One run, from settings to checkpoints, on any number of ranks.

    settings, sizes, arms ──► preflight: arithmetic, memory, what cannot fit ──► parallel: the model on all ranks
    device: cuda or cpu, and why ─────────────────────────────────────────────────┘
    loop: loader ─► step: micro-batches ─► gradients ─► finite? ─► optim, muon, schedule ─► metrics
           ├─ held_out: now and then, bits per byte of a few documents that are never trained on
           └─ checkpoint_writer: writes beside training ─► checkpoint: weights, moments, loader state
    attempts: ranks that torchrun starts again agree on names that no attempt of before had
    upgrade: checkpoints of version 1
    load_model: a run, a checkpoint or an export ──► a model to evaluate

The small language model of the neural compressor has a loop of its own, `trainer.byte_lm`, with these checkpoints and
this schedule.

RUN/settings.json        every setting; `--config` reads it back
RUN/metrics.jsonl        one line per logged step
RUN/checkpoints/step-N/  safetensors and state.json; `best` is a link to one of them
"""
