"""EvaByte, a decoder whose attention is exact inside a window and sees earlier windows as summaries.

config (shape) ──► evabyte: embedding ─► blocks (kernels.eva) ─► norm ─► heads (products with fp32 sums) ─► losses
look_back      ──► first weights, where a run asks for heads that look back
config         ──► memory: bytes and FLOP of a run, before anything is allocated
evabyte        ──► hf_export ──► safetensors in the layout of the Hugging Face hub, and back
hf (code for transformers) ──► hf_files ──► what else an exported folder holds
settings       what an export is asked for
"""
