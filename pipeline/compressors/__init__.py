"""The compressed spellings: neural, tokenizer, gzip and token-bytes, behind one interface."""
