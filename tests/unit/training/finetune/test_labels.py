"""Few labels: what is doubted, what is spread, what pseudo-labels add, and a shop's own file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import build
from contracts.catalog import CatalogItem, encode
from contracts.errors import ConfigurationError
from training.finetune.acquisition import choose, closeness, entropy
from training.finetune.data import Ints, Items
from training.finetune.labels import Floats, classifier, features_of, read_labels, relabelled, self_trained
from training.finetune.run import Bases


def clouds(seed: int) -> tuple[Floats, Ints]:
    """Two clouds of unit vectors in twenty dimensions: few of their points tell little of where the gap is."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 400)
    points = rng.standard_normal((400, 20))
    points[:, 0] += np.where(truth == 1, 2.5, -2.5)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth


def test_doubt_is_greatest_where_two_classes_are_alike() -> None:
    chances = np.array([[0.98, 0.01, 0.01], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    assert np.argsort(entropy(chances)).tolist() == [0, 1, 2]
    assert entropy(chances)[2] == pytest.approx(np.log(3))
    assert closeness(chances).tolist() == pytest.approx([0.03, 1.0, 1.0])


def test_a_spread_batch_does_not_take_copies_of_one_doubtful_item() -> None:
    features = np.eye(4, dtype=np.float32)[[0] * 6 + [1, 2, 3, 3]]
    chances = np.array([[0.5, 0.5]] * 6 + [[0.55, 0.45]] * 2 + [[0.6, 0.4]] * 2)
    rows, rng = np.arange(10), np.random.default_rng(0)
    assert choose(features, chances, rows, 4, "margin", rng).tolist() == [0, 1, 2, 3], "four of six copies"
    spread = choose(features, chances, rows, 4, "margin, diverse", rng)
    assert sorted(features[spread].argmax(axis=1).tolist()) == [0, 1, 2, 3]
    cold = choose(features, None, rows, 4, "margin, diverse", rng)
    assert sorted(features[cold].argmax(axis=1).tolist()) == [0, 1, 2, 3], "without a classifier too"
    assert len(choose(features, chances[:2], rows[:2], 9, "margin, diverse", rng)) == 2


def test_pseudo_labels_lift_a_classifier_of_few_labels_and_keep_what_was_given() -> None:
    gains = []
    for seed in range(5):
        features, truth = clouds(seed)
        labels = np.full(400, -1)
        given = np.concatenate([np.flatnonzero(truth == row)[:3] for row in (0, 1)])
        labels[given] = truth[given]
        judge, found = self_trained(features, labels, 0.8)
        assert np.array_equal(found[given], truth[given])
        alone = classifier().fit(features[given], labels[given])
        gains.append((judge.predict(features) == truth).mean() - (alone.predict(features) == truth).mean())
    assert min(gains) > 0.0
    _, unsure = self_trained(features, labels, 0.9999)
    assert (unsure >= 0).sum() == len(given), "nothing is surer than sure"


def test_features_are_kept_for_the_next_call(items: Items, bases: Bases, tmp_path: Path) -> None:
    first = features_of(items, "both", bases, tmp_path)
    assert np.allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-5)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    assert np.array_equal(features_of(items, "both", bases, tmp_path), first)
    assert file.stat().st_mtime_ns == written


def test_a_wrong_file_of_labels_is_named_by_line(items: Items, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for text, words in (
        ("number,colour\n1,red\n", "must begin with the line `id,label`"),
        ("id,label\n1,red\n2\n", "line 3: has no label column"),
        ("id,label\n1,red\n1,blue\n", "line 3: gives '1' a second label 'blue'"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=words):
            read_labels(path)
    with pytest.raises(ConfigurationError, match="not in the catalogue, such as 'nobody'"):
        relabelled(items, {"nobody": "red", "item-1": "blue"})
    with pytest.raises(ConfigurationError, match="at least two classes"):
        relabelled(items, {"item-1": "blue"})


def test_a_catalogue_is_labelled_from_the_command_line(
    items: Items, bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_MODEL__TEXT_ENCODER", bases.text_encoder)
    monkeypatch.setenv("VITRINE_STACK__VAR", str(tmp_path / "var"))
    catalogue, labels, asked = tmp_path / "shop.jsonl", tmp_path / "labels.csv", tmp_path / "next.csv"
    goods = [CatalogItem(item_id=number, title=title) for number, title in zip(items.ids, items.titles, strict=True)]
    catalogue.write_bytes(b"".join(encode(item) + b"\n" for item in goods))
    names = np.array(items.classes)[items.labels]
    with labels.open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "label"), *zip(items.ids[:30], names[:30], strict=True)])
    options = ["--data", str(catalogue), "--labels", str(labels)]
    said = CliRunner().invoke(build(), ["label-next", *options, "--count", "5", "--out", str(asked)], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    wanted = read_ids(asked)
    assert len(wanted) == 5
    assert not wanted & set(items.ids[:30]), "what is labelled is not asked for again"
    inferred = tmp_path / "inferred.csv"
    said = CliRunner().invoke(
        build(), ["pseudo-label", *options, "--out", str(inferred), "--threshold", "0.7"], catch_exceptions=False
    )
    assert said.exit_code == 0, said.output
    with inferred.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["id"] for row in rows if row["source"] == "given"} == set(items.ids[:30])
    assert all(float(row["chance"]) >= 0.5 for row in rows if row["source"] == "inferred")


def read_ids(path: Path) -> set[str]:
    with path.open(newline="") as stream:
        return {row["id"] for row in csv.DictReader(stream)}
