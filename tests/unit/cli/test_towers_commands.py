"""`vitrine train towers` on a small catalogue whose pictures show the colour that the title names."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import build
from contracts.catalog import CatalogItem, encode
from contracts.catalog import Image as Picture
from contracts.errors import ConfigurationError

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (40, 60, 210), "yellow": (230, 220, 40)}


def write_catalogue(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for number in range(count):
        name, colour = list(COLOURS.items())[number % len(COLOURS)]
        pixels = np.clip(np.array(colour) + rng.integers(-25, 25, (24, 24, 3)), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        item = CatalogItem(item_id=f"i{number}", tenant_id="shop", title=f"A {name} shirt", images=(Picture(uri=uri),))
        lines.append(encode(item))
    lines.append(encode(CatalogItem(item_id="broken", tenant_id="shop", title="No shirt", images=(Picture(uri="data:,x"),))))
    lines.append(encode(CatalogItem(item_id="bare", tenant_id="shop", title="A shirt without a picture")))
    path.write_bytes(b"\n".join(lines) + b"\n")


def test_a_catalogue_s_titles_teach_the_pictures_and_a_picture_that_cannot_be_read_teaches_nothing(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "items.jsonl", 80)
    call = ["train", "towers", "--data", str(tmp_path / "items.jsonl"), "--out", str(tmp_path / "tower")]
    done = CliRunner().invoke(build(), [*call, "--epochs", "4", "--batch", "16", "--threads", "1"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "title → image, after" in done.output
    report = json.loads((tmp_path / "tower" / "report.json").read_text())
    assert 50 < report["photos"] < 75
    assert report["losses"][-1] < report["losses"][0]
    assert report["after"]["title → image"]["MRR"] > report["before"]["title → image"]["MRR"]
    assert (tmp_path / "tower" / "image.safetensors").exists()


def test_a_catalogue_of_too_few_pictures_is_refused_with_their_number(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "items.jsonl", 20)
    call = ["train", "towers", "--data", str(tmp_path / "items.jsonl"), "--out", str(tmp_path / "tower")]
    with pytest.raises(ConfigurationError, match=r"has 20 products with a picture.*a batch of 128"):
        CliRunner().invoke(build(), call, catch_exceptions=False)
