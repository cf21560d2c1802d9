"""EvaByte, a decoder whose attention is exact inside a window and sees earlier windows as summaries.

config (shape) ──► evabyte: embedding ─► blocks (kernels.eva) ─► norm ─► heads ─► losses
config         ──► memory: bytes and FLOP of a run, before anything is allocated
evabyte        ──► hf_export ──► safetensors and config.json in the layout of the Hugging Face hub, and back
settings       what an export is asked for
"""
