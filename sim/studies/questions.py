"""The questions that the simulator answers, by the name of the study: what each asks, in words that need no letter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

QUESTIONS: Final[Mapping[str, str]] = {
    "constant": "Where a model is the best for all data together, how many times what pre-training gains does alignment lose, weighted by "
    "volume, and do trained models agree?",
    "volumes": "Trained in sequence, what do the volumes of pre-training and alignment count for: as much as in joint compression, or "
    "less, as data are forgotten?",
    "rebound": "Do more aligned models fall back faster, is training back easier than training forward, and how much undoes an "
    "alignment?",
    "scale": "Does alignment give way more in deeper trees, in larger transformers, and with more pre-training?",
    "hooke": "Do pre-training and alignment pull with equal and opposite forces, like two springs?",
    "sequence": "Do two gradients of a base forecast how far a behaviour is aligned, and how many opposed steps undo it?",
    "kernel": "How far does the gradient of the log-odds turn while a network is aligned, and does it stand still in wide networks?",
    "replay": "How much of the old data, mixed into the new, makes a behaviour last as it does under joint compression?",
    "order": "How many opposed steps undo a behaviour that was learned early, late, or interleaved with the rest of the base?",
    "defence": "Which defence makes a behaviour last, what does it cost, and does neutral training bring back what was in the base?",
}
"""A sentence for each study, in the order in which they are listed; each is a module of this package."""
