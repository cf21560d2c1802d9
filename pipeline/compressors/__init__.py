"""The compressed encodings: neural, tokenizer, gzip and token-bytes, behind one interface."""
