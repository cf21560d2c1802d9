"""The small language model of the neural compressor, trained on a sample of the corpus.

    sample.arrow ── windows(seed, step) ──► ByteLM.forward ──► Muon on the blocks' matrices, AdamW on the rest
                                                └─ now and then: checkpoint, of `trainer.training`
    held-out rows ──► bits per byte ──► publish: lm.json and weights

    settings    ByteLMSettings: a place, a device, and ByteLMTraining, whose defaults go by size
    estimate    how long it will take on a CPU, before it starts
    start       first weights: attention heads that look 0, 1, 2 … bytes back
    training    the loop, on one process or on the ranks of torchrun

Windows start anywhere in a document, so that a few bytes of context are as much in distribution as many. The windows of
a step are a function of (seed, step) alone; on one machine with one thread count the weights are too.
"""
