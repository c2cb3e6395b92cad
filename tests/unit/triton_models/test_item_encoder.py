"""What `item_encoder` makes of texts, pictures and known keys, on a model whose right answer can be computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.errors import ConfigurationError, TensorMismatch
from contracts.tensors import ITEM_ENCODER_OUTPUTS, Info
from tests.unit.triton_models.tiny_model import DIM, KNOWN_KEY, SIDE, write_tiny_model
from triton_models.servable_encoder import ItemEncoder

RED = np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)
BLUE = np.full((SIDE, SIDE, 3), (0, 0, 255), np.uint8)
Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def encoder(tmp_path: Path) -> ItemEncoder:
    return ItemEncoder.open(write_tiny_model(tmp_path))


def batch(*items: tuple[str, NDArray[np.uint8] | None, int]) -> Arrays:
    texts = [text.encode() for text, _, _ in items]
    table = np.zeros((len(items), max(1, *map(len, texts))), np.uint8)
    for row, text in enumerate(texts):
        table[row, : len(text)] = np.frombuffer(text, np.uint8)
    pictures = [np.zeros((SIDE, SIDE, 3), np.uint8) if pixels is None else pixels for _, pixels, _ in items]
    return {
        "text": table,
        "image": np.stack(pictures),
        "has_image": np.array([pixels is not None for _, pixels, _ in items], np.uint8),
        "keys": np.array([key for _, _, key in items]),
    }


ITEMS = batch(
    ("red shoe", RED, KNOWN_KEY),
    ("red shoe", None, 1),
    ("", BLUE, 1),
    ("", None, KNOWN_KEY),
    ("blue hat red shoe", BLUE, 1),
    ("word " * 40, RED, 1),
)


def test_what_is_missing_is_named_and_weighs_nothing(encoder: ItemEncoder) -> None:
    out = encoder.encode(ITEMS)
    assert out["missing"].tolist() == [0, 2 + 4, 1 + 4, 1 + 2, 4, 4]
    assert np.array_equal(
        out["weights"] == 0, [[bit & missing > 0 for bit in (1, 2, 4)] for missing in out["missing"].tolist()]
    )
    assert not out["text"][[2, 3]].any()
    assert not out["image"][[1, 3]].any()


def test_fused_is_the_weighted_sum_and_has_length_one(encoder: ItemEncoder) -> None:
    out = encoder.encode(ITEMS)
    behaviour = np.zeros((len(ITEMS["keys"]), DIM), np.float32)
    behaviour[ITEMS["keys"] == KNOWN_KEY, 3] = 1
    parts = (out["text"], out["image"], behaviour)
    total = sum(out["weights"][:, [column]] * part for column, part in enumerate(parts))
    assert np.allclose(out["fused"], total, atol=1e-6)
    assert np.allclose(np.linalg.norm(out["fused"], axis=1), 1, atol=1e-6)


def test_the_same_text_gives_the_same_vector_and_another_text_another(encoder: ItemEncoder) -> None:
    text = encoder.encode(ITEMS)["text"]
    assert text[0].tobytes() == text[1].tobytes()
    assert not np.allclose(text[0], text[4], atol=0.1)


def test_an_item_never_depends_on_its_batch_bit_for_bit(encoder: ItemEncoder) -> None:
    whole = encoder.encode(ITEMS)
    rng = np.random.default_rng(2)
    compositions = [[row] for row in range(len(ITEMS["keys"]))] + [rng.permutation(6)[:size].tolist() for size in (2, 3, 4, 5)]
    for rows in compositions:
        part = encoder.encode({name: array[rows] for name, array in ITEMS.items()})
        for name in ("fused", "text", "image", "weights", "missing"):
            assert part[name].tobytes() == whole[name][rows].tobytes(), (name, rows)


def test_a_text_cut_inside_a_letter_is_read_up_to_there(encoder: ItemEncoder) -> None:
    cut = batch(("red shoe", None, 1))
    cut["text"] = np.concatenate((cut["text"], np.array([[0x20, 0xC3]], np.uint8)), axis=1)
    assert encoder.encode(cut)["text"].tobytes() == encoder.encode(batch(("red shoe", None, 1)))["text"].tobytes()


def test_pictures_may_be_left_out_of_the_request_when_no_item_has_one(encoder: ItemEncoder) -> None:
    inputs = batch(("red shoe", None, 1), ("hat", None, 2))
    small = {**inputs, "image": np.zeros((2, 1, 1, 3), np.uint8)}
    assert encoder.encode(small)["fused"].tobytes() == encoder.encode(inputs)["fused"].tobytes()


def test_the_outputs_are_as_declared_and_name_the_model(encoder: ItemEncoder) -> None:
    out = encoder.encode(ITEMS)
    for spec in ITEM_ENCODER_OUTPUTS:
        spec.check(out[spec.name])
    assert out["info"][Info.MODEL_VERSION] == 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"image": np.zeros((6, SIDE, SIDE + 1, 3), np.uint8)}, "the model takes 8 x 8"),
        ({"keys": np.zeros(5, np.int64)}, "expected the same number"),
        ({"text": np.zeros((6, 3), np.int64)}, "tensor text: got int64"),
    ],
)
def test_wrong_tensors_are_refused_by_name(encoder: ItemEncoder, changes: Arrays, text: str) -> None:
    with pytest.raises(TensorMismatch, match=text):
        encoder.encode({**ITEMS, **changes})


@pytest.mark.parametrize("missing", ["manifest.json", "behaviour.safetensors", "tokenizer.json", "text.onnx"])
def test_a_missing_file_is_a_configuration_error_that_names_it(tmp_path: Path, missing: str) -> None:
    (write_tiny_model(tmp_path) / missing).unlink()
    with pytest.raises(ConfigurationError, match=missing):
        ItemEncoder.open(tmp_path)


def test_behaviour_vectors_with_another_hash_are_refused(tmp_path: Path) -> None:
    manifest = write_tiny_model(tmp_path) / "manifest.json"
    manifest.write_text(manifest.read_text()[:-1] + ', "files": {"behaviour.safetensors": "00"}}')
    with pytest.raises(ConfigurationError, match="SHA-256"):
        ItemEncoder.open(tmp_path)
