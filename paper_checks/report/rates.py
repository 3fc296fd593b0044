"""The section on bits per byte of a language model."""

from __future__ import annotations

import json
from pathlib import Path

from elastomath.storage import whole_file

from .page import Section
from .presets import MODEL, REVIEWS, Preset


def rates_section(plan: Preset, data: Path, device: str, dtype: str, seed: int) -> Section:
    """Bits per byte of the model on positive and negative reviews."""
    from elastomath.runs.ledger import Ledger
    from empirical.data.documents import read_documents
    from empirical.measures.rates import measurement
    from empirical.models.loading import load_model

    specs = [f"{REVIEWS}:{kind}/rotten_tomatoes" for kind in ("positive", "negative")]
    command = f"elastomath measure --model {MODEL} --data {' '.join(specs)} --window 128 --limit {plan.documents * 5}"
    section = Section("rates", "Bits per byte on film reviews", command=command)
    wanted = {
        "stage": "measure",
        "model": MODEL,
        "data": specs,
        "limit": plan.documents * 5,
        "dtype": dtype,
        "seed": seed,
    }
    with Ledger(data / "report.sqlite") as ledger:
        result = ledger.get(wanted)
        if result is None:
            documents = [read_documents(spec, limit=plan.documents * 5) for spec in specs]
            loaded = load_model(MODEL, device=device, dtype=dtype)
            result = measurement(loaded, documents, window=128, seed=seed)
            ledger.put(wanted, result)
    with whole_file(data / "rates.json") as aside:
        aside.write_text(json.dumps(result, indent=1))
    section.data.append("rates.json")
    section.say(
        f"{result['model']} ({result['dtype']}; weights rounded to 4 bits in the file they come from), windows of "
        f"{result['window']} tokens, pooled over documents in the convention of lm-evaluation-harness; one standard error "
        "from resampling documents."
    )
    section.show(result["results"])
    rates = [row["bits_per_byte"] for row in result["results"]]
    section.check(
        "bits per byte of the base on both kinds",
        "between 0.5 and 3",
        f"{rates[0]:.3f}, {rates[1]:.3f}",
        all(0.5 < r < 3 for r in rates),
    )
    return section
