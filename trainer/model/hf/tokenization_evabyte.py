"""A tokenizer without a vocabulary file: a byte b is the id 64 + b, and a text opens with <bos> <raw>.

Names of special ids inside a text, as "<raw>", are text; split_special_tokens=False makes ids of them. A str that is
not valid Unicode may come from `bytes.decode("utf-8", "surrogateescape")`: its bytes are what the model reads.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizer

NAMES = {0: "<pad>", 1: "<bos>", 2: "<eos>", 3: "<unk>", 4: "<sep>"}
SENTINELS = {12: "<raw>", 13: "</raw>", 14: "<comp>", 15: "</comp>"}
RAW_BASE, COMP_BASE = 64, 320
OPENING = (1, 12)
"""<bos> <raw>: what every text of the training began with."""


class EvaByteTokenizer(PreTrainedTokenizer):
    """Bytes to ids and back."""

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012
    vocab_files_names: dict[str, str] = {}  # noqa: RUF012

    def __init__(
        self, vocabulary: int = COMP_BASE, open_text: bool = True, add_bos_token: bool | None = None, **kwargs: Any
    ) -> None:
        """vocabulary: number of ids. open_text: whether a text opens with <bos> <raw>.

        add_bos_token: the same under the name that other programs know; it is not saved.
        """
        self.vocabulary = vocabulary
        self.open_text = open_text if add_bos_token is None else add_bos_token
        self._names = [NAMES.get(i) or SENTINELS.get(i) or f"<reserved_{i}>" for i in range(RAW_BASE)]
        self._ids = {name: i for i, name in enumerate(self._names)}
        given = {
            **{f"{name[1:-1]}_token": name for name in NAMES.values()},
            "additional_special_tokens": list(SENTINELS.values()),
            "padding_side": "left",
            "split_special_tokens": True,
            "clean_up_tokenization_spaces": False,
        }
        if "extra_special_tokens" in kwargs:
            del given["additional_special_tokens"]
        super().__init__(vocabulary=vocabulary, open_text=self.open_text, **{**given, **kwargs})

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return self.vocabulary

    def get_vocab(self) -> dict[str, int]:
        """Names and ids: special ids by their names, a byte as the character of its number, compressed symbols."""
        return {self._convert_id_to_token(i): i for i in range(self.vocabulary)}

    def bytes_to_ids(self, text: bytes, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of any bytes."""
        ids = [RAW_BASE + byte for byte in text]
        return self.build_inputs_with_special_tokens(ids) if add_special_tokens else ids

    def ids_to_bytes(self, ids: Any) -> bytes:
        """The bytes among `ids`, exactly; other ids are left out."""
        return bytes(int(i) - RAW_BASE for i in ids if RAW_BASE <= int(i) < COMP_BASE)

    def tokenize(self, text: str, **kwargs: Any) -> list[str]:
        """One token a byte; names of special ids are ids only where split_special_tokens is false."""
        if kwargs.get("split_special_tokens", self.split_special_tokens):
            return self._tokenize(text)
        return super().tokenize(text, **kwargs)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """<bos> <raw> and the ids, unless open_text is false; a second text follows as it is."""
        opening = list(OPENING) if self.open_text else []
        return [*opening, *token_ids_0, *(token_ids_1 or [])]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for an id that is no byte and no compressed symbol, else 0."""
        ids = [*token_ids_0, *(token_ids_1 or [])]
        if not already_has_special_tokens:
            ids = self.build_inputs_with_special_tokens(ids)
        return [int(i < RAW_BASE) for i in ids]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """All 0: the model knows no types."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of tokens, special ones by their names."""
        return self._text([self._convert_token_to_id(token) for token in tokens], skip=False)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """There is no vocabulary file."""
        return ()

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return [chr(byte) for byte in text.encode("utf-8", "surrogateescape")]

    def _convert_token_to_id(self, token: str) -> int:
        if len(token) == 1:
            return RAW_BASE + ord(token)
        if token.startswith("<comp_"):
            return COMP_BASE + int(token[6:-1])
        return self._ids.get(token, self._ids["<unk>"])

    def _convert_id_to_token(self, index: int) -> str:
        if index < RAW_BASE:
            return self._names[index]
        return chr(index - RAW_BASE) if index < COMP_BASE else f"<comp_{index - COMP_BASE}>"

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        """The text of ids; what is not UTF-8 becomes U+FFFD, see `ids_to_bytes`."""
        ids = [token_ids] if isinstance(token_ids, int) else [int(i) for i in token_ids]
        return self._text(ids, skip_special_tokens)

    def _text(self, ids: list[int], skip: bool) -> str:
        found = bytearray()
        for i in ids:
            if RAW_BASE <= i < COMP_BASE:
                found.append(i - RAW_BASE)
            elif not skip:
                found += self._convert_id_to_token(i).encode()
        return found.decode("utf-8", "replace")
