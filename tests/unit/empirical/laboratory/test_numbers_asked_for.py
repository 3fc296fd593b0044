"""What is said of a protocol's numbers is what is computed, and what a message advises can be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from elastomath.errors import InputError
from elastomath.runs.conduct import conclude
from empirical.data.examples import Example
from empirical.laboratory.laboratory import Equipment, Laboratory
from empirical.rebound.settings import ReboundSettings
from empirical.scale.settings import ScaleSettings
from paper_checks.cli.terminal import emit


@pytest.mark.parametrize(
    ("dtype", "weights", "held", "computed"),
    [
        ("float64", "float32", "float64", "float64"),
        ("float32", "float64", "float64", "float64"),
        ("float32", "float32", "float32", "float32"),
        ("bfloat16", "float32", "float32", "bfloat16"),
        ("float32", "bfloat16", "bfloat16", "bfloat16"),
        ("bfloat16", "float64", "float64", "float64"),
    ],
)
def test_a_protocol_computes_in_the_numbers_that_it_names(tiny_model, tmp_path, dtype, weights, held, computed):
    equipment = Equipment(str(tiny_model), str(tmp_path), device="cpu", dtype=dtype, weights=weights)
    assert equipment.training == {"dtype": computed, "weights": held}
    laboratory = Laboratory(equipment)
    assert {value.dtype for value in laboratory.model.parameters()} == {getattr(torch, held)}
    seen = []
    layer = laboratory.model.model.layers[0].mlp.up_proj
    layer.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    data = laboratory.encode([Example("", "the light falls")], 8)
    laboratory.read({"held": data})
    assert seen[-1] == getattr(torch, computed), (
        "the reading is the last pass; the trials before it are made without autocast"
    )


def test_float64_training_is_float64(tiny_model, tmp_path):
    """The first loss of two laboratories differs by the rounding of float32, and by no more."""
    losses = []
    for dtype in ("float32", "float64"):
        laboratory = Laboratory(Equipment(str(tiny_model), str(tmp_path), device="cpu", dtype=dtype))
        data = laboratory.encode([Example("", "the light falls on the water")] * 4, 16)
        losses.append(laboratory.train(laboratory.optimiser(1e-3), data, batch=4, learning_rate=1e-3)[0])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_tokenizer_that_loses_bytes_is_told_in_a_protocol(tiny_model, tmp_path, capfd):
    import tokenizers

    laboratory = Laboratory(Equipment(str(tiny_model), str(tmp_path), device="cpu", dtype="float32"))
    laboratory.encode([Example("", "A Film")], 8)
    assert "does not give back" not in capfd.readouterr().err
    laboratory.tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    laboratory.encode([Example("", "A Film"), Example("", "a film")], 8)
    assert "does not give back 1 of 2 texts" in capfd.readouterr().err


def test_no_adaption_with_the_volumes_that_the_advice_asks_for():
    with pytest.raises(InputError, match=r"--pretrain-volumes, the nominal"):
        ScaleSettings.of(given={"adapt_volume": 0, "models": ("a/b", "a/c")})
    found = ScaleSettings.of(given={"adapt_volume": 0, "models": ("a/b", "a/c"), "pretrain_volumes": (10, 20)})
    assert [(r.adapt_volume, r.pretrain_volume) for r in found.rebounds] == [(0, 10), (0, 20)]
    with pytest.raises(InputError, match=r"--pretrain-volume, the nominal"):
        ReboundSettings(adapt_volume=0)
    assert ReboundSettings(adapt_volume=0, pretrain_volume=10.0).adapt_volume == 0


def test_the_reason_of_failed_runs_is_one_message(tmp_path: Path):
    failures = ["run 0a1b failed: StageError: minus: 10 examples asked for, 4 there (split): ask for fewer"]
    with pytest.raises(InputError) as caught:
        conclude("rebound", tmp_path, [None], failures, lambda _: None, lambda *_: {})
    expected = "no run of rebound ended well: minus: 10 examples asked for, 4 there (split): ask for fewer"
    assert str(caught.value) == expected


def test_a_number_that_is_none_is_one_line_in_json(capsys):
    with pytest.raises(InputError, match="not finite"):
        emit({"rate": float("nan")}, True, None)
    assert capsys.readouterr().out == ""
    emit({"rate": 1.0}, True, None)
    assert json.loads(capsys.readouterr().out) == {"rate": 1.0}


def test_a_first_row_without_text_is_no_data_without_text(tmp_path):
    from empirical.data.documents import read_documents
    from empirical.data.specifications import source_hash

    file = tmp_path / "a.jsonl"
    file.write_text('{"text": ""}\n{"text": "a film"}\n')
    assert len(source_hash(str(file)) or "") == 64
    with pytest.raises(InputError, match="the first 1 rows hold no text"):
        read_documents(file, limit=1)
    assert read_documents(file, limit=2).texts == ("", "a film")
