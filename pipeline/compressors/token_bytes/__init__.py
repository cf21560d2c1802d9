"""Token-bytes: the tokenizer's tokens, each as a fixed number of bytes.

settings.py     width and code: what a user decides
compressor.py   tokens ──► ids or ranks ──► bytes, and back
family.py       the registry's entry: derived from the tokenizer that is loaded beside it
"""
