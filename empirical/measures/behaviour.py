"""How a model behaves: the mean probability that a classifier gives its continuations of being of the positive kind."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from elastomath.arrays import Array
from elastomath.errors import InputError, with_extra
from elastomath.interval import Interval
from elastomath.progress import Meter

from ..data.splits import split_documents
from ..models.devices import pick_device, pick_dtype
from ..models.loading import HUB_ID, _locate, _refusal
from ..models.model import LoadedModel, quiet


class Classifier(Protocol):
    """Anything that gives texts a probability of being of the positive kind."""

    @property
    def name(self) -> str:
        """What it is called in a result."""

    def probabilities(self, texts: Sequence[str]) -> Array:
        """P(positive) of each text, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many held-out texts a classifier gets right (P > 1/2), ``correct`` of ``total``.

    >>> print(Accuracy(9, 10).share())
    0.90 [0.55, 1.00]
    """

    correct: int
    total: int

    def share(self, level: float = 0.95) -> Interval:
        """The share that is right, with Clopper and Pearson's interval, whose coverage is at least ``level``."""
        return Interval.of_share(self.correct, self.total, level=level)

    def as_dict(self) -> dict[str, float | None]:
        """``{estimate, low, high, correct, total}``, the ends at 95%."""
        share = self.share()
        ends: dict[str, float | None] = {"estimate": share.estimate, "low": share.low, "high": share.high}
        return ends | {"correct": self.correct, "total": self.total}


def accuracy(classifier: Classifier, positive: Sequence[str], negative: Sequence[str]) -> Accuracy:
    """``(#[P > 1/2 | positive] + #[P <= 1/2 | negative]) / n`` on texts that the classifier has not seen.

    Raises InputError for an empty kind.
    """
    if not positive or not negative:
        raise InputError("no texts of one kind", where="accuracy", mend="give held-out texts of both kinds")
    right = int((classifier.probabilities(positive) > 0.5).sum() + (classifier.probabilities(negative) <= 0.5).sum())
    return Accuracy(right, len(positive) + len(negative))


@dataclass(frozen=True)
class ReviewClassifier:
    """Words and word pairs (TF-IDF) with logistic regression, and its accuracy on texts that it was not fitted on.

    Made by `fit_classifier`; nothing is stored, since fitting again takes seconds and gives the same.
    """

    name: str
    accuracy: Accuracy
    fitted_on: int
    _vectoriser: Any
    _regression: Any

    def probabilities(self, texts: Sequence[str]) -> Array:
        """P(positive) of each text, shape (n,); a text without a known word gets that of no evidence."""
        if not texts:
            return np.zeros(0)
        return np.asarray(self._regression.predict_proba(self._vectoriser.transform(texts))[:, 1], dtype=np.float64)


def fit_classifier(
    positive: Sequence[str],
    negative: Sequence[str],
    *,
    held_out: float = 0.25,
    exclude: Sequence[str] = (),
    seed: int = 0,
    strength: float = 4.0,
    name: str = "tf-idf",
) -> ReviewClassifier:
    """Fit on part of the texts, and tell the accuracy on the ``held_out`` share of each kind, which it does not see.

    The split is by content hash, equal numbers of each kind, without duplicates; ``exclude``: texts of the experiment,
    which are in neither part (a classifier that knows the training texts would judge memory, not behaviour).
    ``strength`` is the inverse of the L2 penalty.

    Raises InputError for fewer than 8 distinct texts of a kind, and a share that is not between 0 and 1.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held-out share {held_out:g}", where="classifier", mend="choose one between 0 and 1")
    try:
        from sklearn import linear_model as linear
        from sklearn.feature_extraction import text
    except ImportError as error:
        raise InputError(
            "a fitted classifier needs scikit-learn", where="installation", mend=with_extra("llm")
        ) from error
    unwanted = {other.strip() for other in exclude}
    kinds = [{t.strip(): t for t in texts if t.strip() and t.strip() not in unwanted} for texts in (positive, negative)]
    both = set(kinds[0]) & set(kinds[1])
    kinds = [{key: t for key, t in kind.items() if key not in both} for kind in kinds]
    count = min(map(len, kinds))
    if count < 8:
        raise InputError(
            f"{len(kinds[0])} positive and {len(kinds[1])} negative texts to fit on",
            where="classifier",
            mend="give at least 8 distinct ones of each kind",
        )
    kept_out = max(2, round(count * held_out))
    parts = [split_documents(kind.values(), [count - kept_out, kept_out], seed=seed) for kind in kinds]
    vectoriser = text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2 if count >= 200 else 1)
    regression = linear.LogisticRegression(C=strength, solver="liblinear", random_state=0)
    documents = [*parts[0][0], *parts[1][0]]
    regression.fit(vectoriser.fit_transform(documents), [1] * len(parts[0][0]) + [0] * len(parts[1][0]))
    blind = ReviewClassifier(name, Accuracy(0, 1), len(documents), vectoriser, regression)
    return ReviewClassifier(name, accuracy(blind, parts[0][1], parts[1][1]), len(documents), vectoriser, regression)


@dataclass(frozen=True)
class HubClassifier:
    """A text classifier of transformers: P of one of its labels. Made by `load_classifier`."""

    name: str
    revision: str | None
    label: str
    _model: Any
    _tokenizer: Any
    _index: int
    _batch: int

    def probabilities(self, texts: Sequence[str]) -> Array:
        """P(label) of each text, shape (n,): softmax over the labels, or a logistic curve for one or several yes-or-no ones."""
        import torch

        shares = []
        config = self._model.config
        longest = min(int(self._tokenizer.model_max_length), int(getattr(config, "max_position_embeddings", 512)))
        with torch.inference_mode():
            for start in range(0, len(texts), self._batch):
                coded = self._tokenizer(
                    list(texts[start : start + self._batch]),
                    truncation=True,
                    max_length=longest,
                    padding=True,
                    return_tensors="pt",
                ).to(self._model.device)
                logits = self._model(**coded).logits.double()
                each = config.num_labels == 1 or config.problem_type == "multi_label_classification"
                probabilities = torch.sigmoid(logits) if each else torch.softmax(logits, -1)
                shares.append(probabilities[:, self._index].cpu().numpy())
        return np.concatenate(shares) if shares else np.zeros(0)


def load_classifier(
    spec: str | os.PathLike[str],
    *,
    label: str | int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    batch: int = 32,
) -> HubClassifier:
    """A classifier by hub id or folder; weights in safetensors only, no code of its own.

    label  whose probability counts, by name (whatever its case) or number; None: the one of a single output, or the one
           called positive, pos or safe

    Raises InputError in one line: an unknown model, weights that are not safetensors or incomplete, no such label.
    """
    import transformers

    name, place = os.fspath(spec), pick_device(device)
    options: dict[str, object] = {"trust_remote_code": False}
    if not Path(name).expanduser().is_dir():
        if not HUB_ID.fullmatch(name):
            raise InputError("no such classifier", where=name, mend="give a folder or a hub id")
        revision, local = _locate(name, revision)
        options |= {"revision": revision, "local_files_only": local}
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
            model, status = transformers.AutoModelForSequenceClassification.from_pretrained(
                name, dtype=pick_dtype(dtype, place), use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:  # transformers, safetensors and the hub's client raise many kinds
        raise _refusal(error, name) from error
    missing = sorted(status.get("missing_keys") or []) + sorted(str(key) for key in status.get("mismatched_keys") or [])
    if missing:
        raise InputError(
            f"the file lacks {len(missing)} of the weights, first {missing[0]}", where=name, mend="give a classifier"
        )
    labels = {int(index): str(word) for index, word in model.config.id2label.items()}
    index = _label(labels, label, name)
    return HubClassifier(name, revision, labels[index], model.to(place).eval(), tokenizer, index, batch)


def _label(labels: dict[int, str], label: str | int | None, name: str) -> int:
    if label is None and len(labels) == 1:
        return 0
    if isinstance(label, int) and label in labels:
        return label
    wanted = ("positive", "pos", "safe") if label is None else (str(label).lower(),)
    matching = [index for index, word in labels.items() if word.lower() in wanted]
    if len(matching) != 1:
        what = "which label counts is not told" if label is None else f"no label {label!r}"
        raise InputError(what, where=name, mend=f"choose from {', '.join(labels.values())}")
    return matching[0]


@dataclass(frozen=True)
class BehaviourScore:
    """The score of a model: mean P(positive) of its continuations, with its standard error over prompts.

    score, se      the mean over texts; the texts of one prompt are one draw where there are several prompts
    texts          the continuations, in the order of the prompts; probabilities of each, shape (n,)
    empty          how many had no text, which the classifier judged all the same
    classifier, accuracy   its name; its accuracy on held-out texts, where it is known
    """

    score: float
    se: float | None
    texts: tuple[str, ...]
    probabilities: Array
    empty: int
    classifier: str
    accuracy: Accuracy | None


def behaviour_score(
    loaded: LoadedModel,
    classifier: Classifier,
    prompts: Sequence[str],
    max_tokens: int,
    *,
    each: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    autocast: Any = None,
    meter: Meter | None = None,
) -> BehaviourScore:
    """``s = E P(positive | continuation)`` over ``each`` continuations of every prompt, drawn at ``temperature``.

    Only the continuation is judged. s is linear in the law of the texts, as R13 and R19 want of a score; with a
    classifier of accuracy below 1 it moves less than the behaviour does. With the same seed two models are compared on
    the same uniform numbers. Raises InputError as `sampling.sample` does.
    """
    from .sampling import sample

    if each < 1:
        raise InputError(f"{each} continuations each", where="behaviour", mend="draw at least one")
    repeated = [prompt for prompt in prompts for _ in range(each)]
    drawn = sample(loaded, repeated, max_tokens, seed=seed, temperature=temperature, autocast=autocast, meter=meter)
    return score_of(drawn.texts, repeated, classifier)


def score_of(texts: Sequence[str], prompts: Sequence[str], classifier: Classifier) -> BehaviourScore:
    """`behaviour_score` of texts that are there already, the prompt of each beside it.

    >>> class Length:
    ...     name = "length"
    ...     def probabilities(self, texts):
    ...         return np.array([min(len(text), 10) / 10 for text in texts])
    >>> found = score_of(["a", "bbb", "ccccc", ""], ["p", "p", "q", "q"], Length())
    >>> found.score, round(found.se, 4), found.empty
    (0.225, 0.025, 1)
    """
    values = np.asarray(classifier.probabilities(list(texts)), dtype=np.float64)
    if values.size == 0:
        raise InputError("no texts to judge", where="behaviour", mend="give at least one prompt")
    groups: dict[str, list[float]] = {}
    for prompt, value in zip(prompts, values, strict=True):
        groups.setdefault(prompt, []).append(float(value))
    mean, se = float(values.mean()), None
    if len(groups) > 1:  # sums of residuals by prompt: the linearised error of a mean over clusters
        sums = np.array([sum(value - mean for value in group) for group in groups.values()])
        count = len(groups)
        se = float(math.sqrt(count / (count - 1) * (sums**2).sum()) / values.size)
    elif values.size > 1:
        se = float(values.std(ddof=1) / math.sqrt(values.size))
    return BehaviourScore(
        mean,
        se,
        tuple(texts),
        values,
        sum(not text.strip() for text in texts),
        classifier.name,
        getattr(classifier, "accuracy", None),
    )
