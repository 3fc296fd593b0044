"""Behaviour scores: classifiers that say how good they are, and a mean with the error that it has."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sklearn")

from elastomath.errors import InputError
from empirical.measures.behaviour import (
    Accuracy,
    accuracy,
    behaviour_score,
    fit_classifier,
    load_classifier,
    score_of,
)
from empirical.measures.sampling import sample
from empirical.models.loading import load_model

GOOD, BAD = ["good", "fine", "moving", "bright"], ["bad", "dull", "loud", "flat"]
PLAIN = ["the", "film", "and", "a", "light", "that", "falls", "on", "water", "while", "nobody", "says", "word"]


def reviews(words, count, seed, noise=0.15):
    rng, other = np.random.default_rng(seed), BAD if words is GOOD else GOOD
    texts = []
    for _ in range(count):
        judged = rng.choice(other if rng.random() < noise else words, 2)
        texts.append(" ".join(rng.permutation([*rng.choice(PLAIN, 6), *judged])))
    return texts


@pytest.fixture(scope="module")
def fitted():
    return fit_classifier(reviews(GOOD, 400, 1), reviews(BAD, 400, 2))


def test_the_accuracy_is_that_of_unseen_texts(fitted):
    """The texts are of the other kind 15 times of 100, so no classifier can be right more often than that."""
    assert fitted.accuracy.share().holds(0.85)
    assert fitted.accuracy.total == 200
    assert fitted.fitted_on == 600
    again = accuracy(fitted, reviews(GOOD, 2000, 3), reviews(BAD, 2000, 4))
    assert again.share().estimate == pytest.approx(0.85, abs=0.02)
    swapped = accuracy(fitted, reviews(BAD, 500, 5), reviews(GOOD, 500, 6))
    assert swapped.share().estimate == pytest.approx(0.15, abs=0.05)


def test_the_interval_covers_at_least_what_it_says():
    rng = np.random.default_rng(0)
    for share, total in ((0.85, 40), (0.5, 15), (0.98, 60)):
        draws = np.bincount(rng.binomial(total, share, size=2000), minlength=total + 1)
        covers = [Accuracy(right, total).share().holds(share) for right in range(total + 1)]
        assert draws @ covers / draws.sum() > 0.94
    assert (Accuracy(5, 5).share().high, Accuracy(0, 5).share().low) == (1.0, 0.0)
    assert Accuracy(0, 5).share().high == pytest.approx(1 - 0.025 ** (1 / 5))


def test_fitting_again_gives_the_same(fitted):
    again = fit_classifier(list(reversed(reviews(GOOD, 400, 1))), reviews(BAD, 400, 2))
    texts = [*reviews(GOOD, 20, 9), "", "words it has never seen"]
    assert np.allclose(again.probabilities(texts), fitted.probabilities(texts), atol=1e-12)
    assert again.accuracy == fitted.accuracy
    assert fitted.probabilities([]).shape == (0,)


def test_texts_of_the_experiment_are_in_neither_part():
    good, bad = reviews(GOOD, 40, 1), reviews(BAD, 40, 2)
    small = fit_classifier(good, bad, exclude=[text + " " for text in good[:20]])
    assert small.fitted_on + small.accuracy.total == 2 * 20
    with pytest.raises(InputError, match="0 positive and 40 negative"):
        fit_classifier(good, bad, exclude=good)
    with pytest.raises(InputError, match="held-out share 1"):
        fit_classifier(good, bad, held_out=1.0)
    both = fit_classifier([*good, *bad[:10]], bad)  # a text of both kinds teaches nothing
    assert both.fitted_on + both.accuracy.total == 2 * 30


def test_the_score_is_a_mean_with_its_error():
    class Same:
        name = "same"

        def probabilities(self, texts):
            return np.array([float(text) for text in texts])

    rng = np.random.default_rng(0)
    means, errors, clustered = [], [], []
    for _ in range(400):
        level = rng.random(20).repeat(5)  # texts of one prompt are alike
        texts = [str(value) for value in 0.8 * level + 0.2 * rng.random(100)]
        prompts = [str(i // 5) for i in range(100)]
        found = score_of(texts, prompts, Same())
        means.append(found.score)
        errors.append(score_of(texts, ["p"] * 100, Same()).se)  # the mutant: as if they were not
        clustered.append(found.se)
    assert np.mean(clustered) == pytest.approx(np.std(means), rel=0.1)
    assert np.mean(errors) < 0.6 * np.std(means)
    assert score_of(["0.3"], ["p"], Same()).se is None
    with pytest.raises(InputError, match="no texts"):
        score_of([], [], Same())


def test_a_model_is_scored_on_its_own_continuations(tiny_model, fitted):
    loaded = load_model(tiny_model, device="cpu", dtype="float32")
    found = behaviour_score(loaded, fitted, ["a film", "slow"], 12, each=3, seed=2)
    assert found.texts == sample(loaded, ["a film"] * 3 + ["slow"] * 3, 12, seed=2).texts
    assert np.allclose(found.probabilities, fitted.probabilities(found.texts))
    assert found.score == pytest.approx(found.probabilities.mean())
    assert found.accuracy == fitted.accuracy
    assert found.score == behaviour_score(loaded, fitted, ["a film", "slow"], 12, each=3, seed=2).score
    with pytest.raises(InputError, match="0 continuations"):
        behaviour_score(loaded, fitted, ["a"], 4, each=0)


@pytest.fixture
def folder(tmp_path, tiny_model):
    """A random classifier with two labels, with the tokenizer of the tiny model."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path / "classifier")
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        max_position_embeddings=32, pad_token_id=tokenizer.pad_token_id, id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForSequenceClassification(config)
    model.score.weight.data.normal_(std=1.0)
    model.save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier"


def test_a_classifier_from_a_folder(folder):
    found = load_classifier(folder, device="cpu", batch=2)
    assert found.label == "POSITIVE"
    texts = ["a slow film", "the light falls on the water", "it drags " * 40]
    values = found.probabilities(texts)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, value in zip(texts[:2], values, strict=False):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        assert value == pytest.approx(float(torch.softmax(logits, -1)[1]), rel=1e-4)
    assert np.allclose(
        load_classifier(folder, label="negative", device="cpu").probabilities(texts), 1 - values, atol=1e-6
    )
    assert np.allclose(load_classifier(folder, label=1, device="cpu").probabilities(texts), values, atol=1e-6)
    assert found.probabilities([]).shape == (0,)


def test_bad_classifiers_are_one_line(folder, tiny_model):
    with pytest.raises(InputError, match=r"no label 'toxic'.*NEGATIVE, POSITIVE"):
        load_classifier(folder, label="toxic", device="cpu")
    with pytest.raises(InputError, match="lacks 1 of the weights, first score"):
        load_classifier(tiny_model, device="cpu")  # a language model has no such layer
    with pytest.raises(InputError, match="no such classifier"):
        load_classifier("./gone/away/x")
    weights = folder / "model.safetensors"
    torch.save({}, folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(InputError, match="safetensors"):
        load_classifier(folder, device="cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_judges_as_the_processor_does(folder):
    texts = ["a slow film", "it drags"]
    found = [load_classifier(folder, device=device).probabilities(texts) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
