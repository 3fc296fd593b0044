"""The README says what runs: its Python block, and verbs and make targets that exist."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

from empirical.durability.pooled import pooled_rows

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_every_make_target_and_verb_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README)) | set(
        re.findall(r"`make ([a-z]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    )
    assert {"report", "test"} <= named <= targets
    from typer.main import get_command

    from paper_checks.cli.commands import app

    verbs = set(re.findall(r"^elastomath ([a-z]+)", README, re.MULTILINE))
    assert len(verbs) >= 7
    assert verbs <= set(get_command(app).commands)


def test_it_is_short_and_reads_like_a_newspaper():
    """Under 120 lines; Flesch's reading ease of its prose, 206.835 - 1.015 words/sentence - 84.6 syllables/word, at 60 or above.

    Prose is what is left without code, tables, headings and pictures; sentences end in . ! or ?; a syllable is a group of vowels,
    without a silent final e or ed. A good newspaper has 50 to 60, plain English 60 to 70.
    """
    assert len(README.splitlines()) < 120
    assert reading_ease(README) >= 60
    assert reading_ease("The cat sat on the mat. It was warm.") > 100
    assert (
        reading_ease(
            "Notwithstanding epistemological considerations, incommensurability necessitates reinterpretation."
        )
        < 0
    )


def reading_ease(text):
    text = re.sub(r"```.*?```|^(?:\||#|!\[).*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", re.sub(r"`[^`]*`", "it", text))
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", text) if re.search("[a-z]", part)]
    words = [word.lower() for word in re.findall(r"[A-Za-z][A-Za-z'-]*", text)]
    return 206.835 - 1.015 * len(words) / len(sentences) - 84.6 * sum(map(syllables, words)) / len(words)


def syllables(word):
    silent = re.search(r"[^aeiouyl]e$|[^aeioutdy]ed$", word) is not None
    return max(len(re.findall("[aeiouy]+", word)) - silent, 1)


def test_its_numbers_are_those_of_the_saved_results():
    names = (
        "durability",
        "durability-novel",
        "durability-adamw",
        "durability-adamw-more",
        "durability-adamw-third",
        "durability-adamw-novel",
        "durability-adamw-novel-more",
        "durability-gemma",
        "durability-gemma-advice",
        "durability-low",
    )
    results = [ROOT / "paper_checks/saved_runs" / name / f"{name}.json" for name in names]
    runs = [json.loads(file.read_text(encoding="utf-8"))["durability"] for file in results]
    plain = runs[0] + runs[1]
    errors = [abs(row["forecast_undo_volume"] / row["undo_volume"]["estimate"] - 1) for row in plain]
    words = f"off by {statistics.median(errors):.0%} in the middle of {len(errors)} runs, by {max(errors):.0%} at worst"
    assert words in " ".join(README.split())
    assert words.replace(", by", " and by") in (ROOT / "docs/tutorials/durable.md").read_text(encoding="utf-8")
    drawn = sum(map(len, runs))
    assert f"*{drawn} alignments of" in README
    bought = 2 ** pooled_rows(plain)["sgd"]["exponent"]["estimate"]
    assert f"twice the alignment data bought {bought:.2f} times" in " ".join(README.split())


def test_every_letter_of_the_theory_is_in_the_glossary():
    """The letters that the derivations and pages use are defined once, and the README leads there."""
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert "docs/glossary.md" in README
    for letter in (
        "k$",
        "$l$",
        "$L$",
        "N_0",
        "$A$",
        "$C$",
        "$T$",
        r"\varepsilon",
        r"\kappa",
        "$c$",
        "$z$",
        "m^*",
        r"\beta",
        r"\tau",
        "$M$",
        "$d$",
    ):
        assert letter in glossary, letter
    for term in (
        "joint optimum",
        "volume",
        "perturbation",
        "closure",
        "contrast",
        "balance",
        "mutant",
        "certified",
        "rival laws",
        "tilt probe",
    ):
        assert f"| {term}" in glossary or f", {term}" in glossary, term


def test_the_files_that_the_readme_shows_are_there():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).is_file(), link
