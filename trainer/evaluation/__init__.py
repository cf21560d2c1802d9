"""What a trained model is worth: bits per byte, and problems that its code must solve.

problems ─► samples (prompts continued, samples.jsonl) ─► score ─► sandbox ─► candidate     one process per sample
                                                           └─► pass_at_k, robustness ─► results.json
"""
