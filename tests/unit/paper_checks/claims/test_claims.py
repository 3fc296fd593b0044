"""The registry of claims: nothing is named that does not exist, every verdict is given by its check, every check can fail."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from elastomath import InputError
from paper_checks import claims as registry
from paper_checks.claims import GROUPS, LEVELS, Evidence, check, claims, conclusion, grouped, kind
from paper_checks.claims.claim import FAILS, HOLDS, NOT_SUPPORTED, NOT_TESTED, SUPPORTED
from paper_checks.claims.findings import sign_of

PAPER = [
    "Def3.1",
    "Def3.3a",
    "Def3.3b",
    "A.7",
    "Thm3.4",
    "rate",
    "normalised-rate",
    "Def3.6",
    "Thm4.2",
    "Thm4.2-finite",
    "Hooke-forward",
    "Hooke-reverse",
    "Table1",
    "Table3",
    "Q2",
    "A3.2",
    "F1",
    "F1-excess",
    "F2-sft",
    "F2-exchanged",
    "F2-dpo",
    "F2-kto",
    "F2-KL",
    "F3-size",
    "F3-volume",
    "Q1",
] + [f"R{number}" for number in range(1, 21)]
RESULTS = [id for id in claims() if re.fullmatch(r"R\d+", id)]


@pytest.fixture(scope="module")
def evidence(verified_theory) -> Evidence:
    found = Evidence()
    for id in RESULTS:
        found._verified[id] = [claim for claim in verified_theory.claims if id in (claim.id, claim.id[:-1])]
        assert found._verified[id]
    return found


def test_every_part_of_the_paper_has_a_claim() -> None:
    assert set(PAPER) <= set(claims())


@pytest.mark.parametrize("id", list(claims()))
def test_a_claim_is_whole_and_names_what_exists(id: str) -> None:
    claim = claims()[id]
    kind(claim.verdict)
    for text in (claim.title, claim.claim, claim.where, claim.command, claim.check.__doc__):
        assert text
        assert len(text) > 2
    assert set(claim.depends) <= set(claims())
    assert not claim.rerun or claim.saved
    assert id not in claim.depends


@pytest.mark.parametrize("id", list(claims()))
def test_the_check_gives_the_verdict_on_record(id: str, evidence: Evidence) -> None:
    (outcome,) = check([id], evidence)
    assert outcome.stands, f"{outcome.finding.verdict}: {outcome.finding.detail}"
    assert outcome.finding.level in LEVELS
    assert outcome.finding.verdict != NOT_TESTED
    json.dumps(outcome.as_dict(), allow_nan=False)


def test_a_result_counts_its_own_cases_and_no_other_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """R10 to R19 are no cases of R1, nor R20 to R27 of R2: the ids begin alike. R15a and R15b are cases of R15."""
    from elastomath import verification
    from elastomath.verification import Claim

    done: list[tuple[int, int]] = []

    def all_hold(ids, *_, tell, **__):
        tell(1, 1)
        return [Claim(id, HOLDS, "symbolic", 1, "said for this test", True) for id in verification.cases_of(ids)]

    monkeypatch.setattr(verification, "verify", all_hold)
    evidence = Evidence(tell=lambda *counts: done.append(counts))
    evidence.verify(RESULTS)
    assert done == [(1, 1)]
    for id in RESULTS:
        assert {claim.id.rstrip("abcdefghijklmnopqrstuvwxyz") for claim in evidence.verified(id)} == {id}
    assert [claim.id for claim in evidence.verified("R1")] == ["R1"]
    assert [claim.id for claim in evidence.verified("R15")] == ["R15", "R15a", "R15b"]
    (outcome,) = check(["R1"], evidence)
    assert outcome.finding.numbers == {"claims": 1}


def test_the_conclusion_counts_verdicts_and_names_what_changed() -> None:
    outcomes = check(["Thm3.4", "F1", "F2-dpo"])
    assert list(grouped(outcomes)) == [GROUPS[0], GROUPS[1]]
    sentences = conclusion(outcomes)
    assert sentences[0] == "The one statement of the paper that mathematics can judge fails by a counterexample."
    assert "1 is supported at this scale and 1 is not supported at this scale" in sentences[1]
    assert sentences[-1] == "Every verdict is the one on record."
    changed = dataclasses.replace(outcomes[0], claim=dataclasses.replace(outcomes[0].claim, verdict=HOLDS))
    assert conclusion([changed])[-1] == "NOT the verdict on record: Thm3.4."


def _unverified(monkeypatch: pytest.MonkeyPatch, id: str) -> Evidence:
    """Evidence in which `elastomath verify` does not come out for a result."""
    found = Evidence()
    claims = [dataclasses.replace(claim, holds=False) for claim in _verified(id)]
    found._verified[id] = claims
    return found


def _verified(id: str):
    from elastomath.verification import Claim

    return [Claim(id, HOLDS, "symbolic", 1, "said for this test", True)]


@pytest.mark.parametrize("id", RESULTS)
def test_a_result_that_is_not_verified_does_not_stand(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = _unverified(monkeypatch, id)
    for other in claims()[id].depends:
        broken._verified[other] = _verified(other)
    (outcome,) = check([id], broken)
    assert outcome.finding.verdict == FAILS
    assert not outcome.stands


def _wrap(monkeypatch: pytest.MonkeyPatch, target: str, change) -> None:
    """Replace a function by what ``change`` makes of its result."""
    import importlib

    module, name = target.rsplit(".", 1)
    owner = importlib.import_module(module) if not module[0].isupper() else None
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: change(original(*args, **kwargs)))


def _scaled(**factors: float):
    return lambda found: dataclasses.replace(
        found, **{name: getattr(found, name) * factor for name, factor in factors.items()}
    )


def _prune_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    from elastomath.trees.tokentree import TokenTree

    prune = TokenTree.prune
    monkeypatch.setattr(TokenTree, "prune", lambda tree, depth: prune(tree, max(depth - 1, 0)))


def _forget_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from elastomath.codes.compression import BlockCode

    decode = BlockCode.decode
    monkeypatch.setattr(BlockCode, "decode", lambda code, message: decode(code, message)[:-1])


def _turn_table(number: int):
    def turn(monkeypatch: pytest.MonkeyPatch) -> None:
        from paper_checks.published import tables as published

        table = published.published_table(number).copy()
        if number == 1:  # nearly the same gap in every cluster, so that it is decided over datasets and over models
            table["inverse_loss"], table["forward_loss"] = 0.2, 0.3 + 1e-4 * np.arange(27)
        else:
            column = "unsafe_examples_to_kl_below_0.01"
            table[column] = table[column].to_numpy()[::-1]
        monkeypatch.setattr(published, "published_table", lambda _: table)

    return turn


def _unit(target: str, change):
    return lambda monkeypatch: _wrap(monkeypatch, target, change)


MUTANTS = {
    "Def3.1": _prune_too_deep,
    "Def3.3a": _unit("elastomath.trees.jointtree.pruning_loss", _scaled(cross_entropy_bound=0.5)),
    "Def3.3b": _forget_the_last,
    "rate": _unit("elastomath.rates.rates.code_lengths", lambda found: {name: row + 1 for name, row in found.items()}),
    "normalised-rate": _unit("elastomath.rates.rates.normalised_rates", lambda found: -found),
    "Def3.6": _unit("elastomath.laws.rebound.return_volume", lambda found: 1.01 * found),
    "Thm4.2-finite": _unit("elastomath.laws.finite.path_entropies", lambda found: -found),
    "Hooke-forward": _unit("elastomath.laws.springs.springs", _scaled(energy=2.0)),
    "Hooke-reverse": _unit("elastomath.mixtures.pool.reverse_balance", _scaled(balance=0.0)),
    "Table1": _turn_table(1),
    "Table3": _turn_table(3),
    "Q2": _unit("elastomath.laws.ceilings.volume_for", lambda found: 2 * found),
    "Q2-price": _unit("elastomath.laws.planner.sft_price", lambda found: 1.01 * found),
}
"""For each claim that computes something of its own, a mutant of what it computes with."""
BY_VERIFICATION = {"Thm3.4": "R15a", "Thm4.2": "R9"}
"""Claims that rest on `verify` alone, and the result that carries them."""


@pytest.mark.parametrize("id", list(MUTANTS))
def test_a_mutant_changes_the_verdict(id: str, evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[id](monkeypatch)
    (outcome,) = check([id], evidence)
    assert not outcome.stands
    assert outcome.finding.verdict != NOT_TESTED, outcome.finding.detail


@pytest.mark.parametrize(("id", "carrier"), list(BY_VERIFICATION.items()))
def test_a_counterexample_that_is_none_changes_the_verdict(id: str, carrier: str) -> None:
    broken = Evidence()
    for other in ("R8", "R9", "R15", "R15a", "R15b"):
        broken._verified[other] = _verified(other)
    broken._verified[carrier] = [
        dataclasses.replace(claim, id="R9h" if carrier == "R9" else carrier, holds=False)
        for claim in _verified(carrier)
    ]
    (outcome,) = check([id], broken)
    assert not outcome.stands


def _edited(tmp_path: Path, id: str, edit) -> Evidence:
    """Evidence whose saved results for a claim were edited."""
    name = claims()[id].saved
    folder = tmp_path / name
    shutil.copytree(Evidence().saved(name).folder, folder)
    edit(folder)
    return Evidence(reruns={name: folder})


def _pareto_passes(folder: Path) -> None:
    path = folder / "assumption-a7.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(line.replace("rejected", "not rejected") if line[:1].isdigit() else line for line in lines)
    )


def _summary(name: str, change):
    """An edit of the summary of an experiment."""

    def edit(folder: Path) -> None:
        path = folder / f"{name}.json"
        summary = json.loads(path.read_text())
        change(summary)
        path.write_text(json.dumps(summary))

    return edit


def _gap(measure: str):
    def change(summary: dict) -> None:
        gap = summary["pooled"][measure]
        sign = -1.0 if gap["over_documents"]["low"] > 0 and min(gap["seeds"]) > 0 else 1.0
        gap |= {
            "estimate": sign * 0.1,
            "seeds": [sign * 0.1] * 2,
            "over_documents": {"low": sign * 0.1 - 0.01, "high": sign * 0.1 + 0.01},
        }

    return _summary("resistance", change)


def _slopes(direction: str, *names: str, saved: str = "rebound", algorithm: str = "sft"):
    def change(summary: dict) -> None:
        group = next(g for g in summary["falls"] if (g["direction"], g["algorithm"]) == (direction, algorithm))
        rises = [sign_of(group[name]["slope"]) > 0 for name in names]
        for name in names:
            value = -1.0 if all(rises) else 1.0
            group[name]["slope"] |= {"estimate": value, "low": value - 0.1, "high": value + 0.1, "z": 10 * value}

    return _summary(saved, change)


def _slowing(summary: dict) -> None:
    group = summary["falls"][-1]
    value = -1.0 if sign_of(group["slowing"]) > 0 else 1.0
    group["slowing"] |= {"estimate": value, "low": value - 0.1, "high": value + 0.1, "z": 10 * value}


def _divergence(summary: dict) -> None:
    back = [
        min(row["kl_forward"] for row in reading["rows"] if row["phase"] == "perturb")
        for reading in summary["readings"]
    ]
    aligned = [[row for row in reading["rows"] if row["phase"] == "aligned"][-1] for reading in summary["readings"]]
    factor = 1e3 if not all(a < b["kl_forward"] for a, b in zip(back, aligned, strict=True)) else 1e-3
    for row in aligned:
        row["kl_forward"] *= factor


def _cheaper(summary: dict) -> None:
    over = [seed["ratios_over_documents"]["inverse / forward"] for seed in summary["seeds"]]
    cheap = all(interval["high"] is not None and interval["high"] < 1 for interval in over)
    for interval in over:
        interval |= {"low": 0.05, "high": 2.0 if cheap else 0.5}


def _exponent(predictor: str):
    def change(summary: dict) -> None:
        measures = summary["groups"][0]["measures"]
        found = [measures["first_fall"]["slope"][predictor], measures["fall_rate"]["exponent"][predictor]]
        value = -1.0 if all(number["low"] > 0 for number in found) else 1.0
        for number in found:
            number |= {"estimate": value, "low": value - 0.1, "high": value + 0.1, "se_documents": 0.01}

    return _summary("scale", change)


def _depth(summary: dict) -> None:
    for answer in summary["answers"]:
        if answer["id"].startswith("depth-by-size"):
            answer["value"] |= {"estimate": -1.0, "low": -1.1, "high": -0.9}


def _turned_after(algorithm: str):
    """The first fall of the log-odds where it decides otherwise."""

    def change(summary: dict) -> None:
        fall = summary["answers"][f"sgd after {algorithm}"]["first_fall"]["z"]
        value = -1.0 if fall["low"] > 0 else 1.0
        fall |= {"estimate": value, "low": value - 0.1, "high": value + 0.1}

    return change


def _fall(measure: str):
    def change(summary: dict) -> None:
        number = summary["answers"]["sgd"]["first_fall_factor"][measure]
        power = -1.0 if number["low"] is not None and number["low"] > 1 else 1.0
        for row in summary["durability"]:
            row["first_fall"][measure]["estimate"] = row["n"] ** power

    return _summary("durability", change)


def _dearer(summary: dict) -> None:
    ratio = summary["answers"]["sgd"]["vouched"]["return_ratio"]
    value = 2.0 if ratio["high"] is not None and ratio["high"] < 1 else 0.5
    ratio |= {"estimate": value, "low": value - 0.1, "high": value + 0.1}


def _missed(summary: dict) -> None:
    for row in summary["durability"]:
        row["forecast_undo_volume"] = 1.5 * row["undo_volume"]["estimate"]


def _cheap(summary: dict) -> None:
    for row in summary["durability"]:
        row["undo_volume"] |= {"low": 0.5 * row["n"], "high": 0.9 * row["n"]}


def _risen(summary: dict) -> None:
    for row in summary["durability"]:
        row["undo_volume"]["estimate"] *= row["n"]


def _doubled(summary: dict) -> None:
    own = [entry for entry in summary["ranking"] if not entry["defence"].startswith("replay")]
    there = any(
        (e["gain"]["low"] or 0) > 2 and e["extra"]["high"] is not None and e["extra"]["high"] < 0.01 for e in own
    )
    for entry in own:
        entry["gain"] |= {"low": 1.0 if there else 3.0}
        entry["extra"] |= {"high": 0.001}


def _stiffer(summary: dict) -> None:
    for card in summary["cards"]:
        if card["model"].startswith("qwen"):
            card["relative_kernel"] = {"estimate": 0.01, "low": 0.005, "high": 0.02}


def _doubled_model(summary: dict) -> None:
    own = [entry for entry in summary["ranking"] if not entry["defence"].startswith("replay")]
    good = {e["defence"] for e in own if (e["gain"]["low"] or 0) > 2 and (e["lost"]["high"] or 1.0) < 0.01}
    for entry in own:
        entry["gain"] |= {"low": 1.0 if good else 3.0}
        entry["lost"] |= {"high": 0.001}


def _unforetold(summary: dict) -> None:
    for row in summary["defence"]:
        row["forecast"] = None if row["forecast"] is None else 2 * row["forecast"]


def _relearned(summary: dict) -> None:
    for row in summary["defence"]:
        row["same_rate"] |= {"estimate": 10.0}


def _outlasting(summary: dict) -> None:
    for row in summary["rows"]:
        for attack in row["attacks"].values():
            attack["undone"] = None


def _returned(summary: dict) -> None:
    for answer in summary["answers"]:
        if answer["id"].startswith("back/"):
            value = 0.1 if answer["value"]["low"] is not None and answer["value"]["low"] > 0.5 else 0.9
            answer["value"] |= {"estimate": value, "low": value - 0.05, "high": value + 0.05}


def _sooner(summary: dict) -> None:
    summary["unlearn"]["regression"]["all"]["held_apart"]["depth"] |= {"estimate": -2.0, "low": -3.0, "high": -1.0}


def _larger_moves_more(summary: dict) -> None:
    summary["pythia"]["by_size"] |= {"estimate": -0.02, "low": -0.03, "high": -0.01}


def _answers(start: str, value: float):
    def change(summary: dict) -> None:
        for answer in summary["answers"]:
            if answer["id"].startswith(start):
                answer["value"] |= {"estimate": value, "low": value - 0.05, "high": value + 0.05}

    return change


EDITS = {
    "F2-published": _summary("published", _sooner),
    "F3-published": _summary("published", _larger_moves_more),
    "R21-frozen": _summary("kernel-sim", _answers("turned/width", 0.0)),
    "R25-width": _summary("sequence-sim", _answers("width/", 0.0)),
    "R21-replay": _summary("replay-sim", _answers("rest/", 0.5)),
    "R13-order": _summary("order-sim", _answers("early/", 1.0)),
    "Q2-doubled": _summary("defence-sim", _doubled),
    "Q2-doubled-model": _summary("defence-seeds", _doubled_model),
    "Q2-unlearned-model": _summary("defence", _relearned),
    "Q2-foretold-model": _summary("defence", _unforetold),
    "Q2-untunable": _summary("defence-sim", _outlasting),
    "Q2-back": _summary("defence-sim", _returned),
    "F3-behaviours": _summary("cards", _stiffer),
    "F1-behaviours": _summary("durability-low", _cheap),
    "R26-measured": _summary("durability-adamw", _risen),
    "F2-z": _fall("z"),
    **{
        id: _summary("durability-algorithms", _turned_after(algorithm))
        for algorithm, id in (
            ("dpo", "F2-dpo-behaviours"),
            ("kto", "F2-kto-behaviours"),
            ("simpo", "F2-simpo"),
            ("ppo", "F2-ppo"),
        )
    },
    "F2-code-length": _fall("code_length"),
    "F2-probability": _fall("probability"),
    "Q1-behaviours": _summary("durability", _dearer),
    "R25-measured": _summary("durability", _missed),
    "A3.2": _summary("scale-sim", _depth),
    "F3-size": _exponent("parameters"),
    "F3-volume": _exponent("pretrain_volume"),
    "A.7": _pareto_passes,
    "F1": _gap("held_out_loss"),
    "F1-excess": _gap("excess_after"),
    "F2-sft": _slopes("forward", "first_fall", "depth"),
    "F2-exchanged": _slopes("exchanged", "first_fall", "depth"),
    **{
        f"F2-{algorithm}": _slopes("forward", "first_fall", "depth", saved="rebound-algorithms", algorithm=algorithm)
        for algorithm in ("dpo", "kto")
    },
    "F2-control": _slopes("both", "excess_depth"),
    "F2-slowing": _summary("rebound", _slowing),
    "F2-KL": _summary("rebound", _divergence),
    "Q1": _summary("inversion", _cheaper),
}
"""For each claim that is judged from saved results, an edit of them under which it has to be judged otherwise."""


@pytest.mark.parametrize("id", list(EDITS))
def test_other_results_change_the_verdict(id: str, tmp_path: Path) -> None:
    (outcome,) = check([id], _edited(tmp_path, id, EDITS[id]))
    assert not outcome.stands
    assert outcome.finding.verdict != NOT_TESTED, outcome.finding.detail


def test_claims_on_behaviours_read_all_saved_sets_and_of_runs_made_anew_these_alone() -> None:
    """Seven behaviours are saved in two sets: above even odds both count; who made one anew is judged by that one."""
    sets = [Evidence().saved(name) for name in ("durability", "durability-novel")]
    above = [
        sum(row["z0"] + row["z"] > 0 and bool(row["undo_volume"]["low"]) for row in saved.summary["durability"])
        for saved in sets
    ]
    assert min(above) > 0
    for evidence, count in (
        (Evidence(), sum(above)),
        (Evidence(reruns={"durability": sets[0].folder}), above[0]),
    ):
        assert check(["F1-behaviours"], evidence)[0].finding.numbers["above"] == count


def test_every_check_has_a_test_that_turns_it() -> None:
    assert set(claims()) == {*RESULTS, *MUTANTS, *BY_VERIFICATION, *EDITS}


@pytest.mark.parametrize(
    ("id", "verdict", "words"),
    [
        ("F2-slowing", SUPPORTED, ("over the documents of these seeds alone", "[-0.001177, +0.009860] over 2 seeds", "is not decided")),
        ("Q1", NOT_SUPPORTED, ("0.14 [0, open], 0.088 [0, open] over the documents of each seed", "2.1] over 2 seeds", "not decided")),
        ("Table1", NOT_SUPPORTED, ("over the datasets the mean is", "on D_2 0.0155 [-0.0101, 0.0410]", "not decided on D_2 for other")),
        ("F2-dpo", SUPPORTED, ("+3.1 standard errors over the documents of its one seed",)),
    ],
)  # fmt: skip
def test_a_verdict_says_over_what_its_interval_is(id: str, verdict: str, words: tuple[str, ...]) -> None:
    """Two seeds are judged by their documents, clusters that share datasets by the datasets, and what that leaves open is said."""
    (outcome,) = check([id])
    assert outcome.finding.verdict == verdict
    for part in words:
        assert part in outcome.finding.detail


def _one_seed(value: dict) -> None:
    value |= {"low": None, "high": None}


def _each_of_one_seed(start: str):
    def change(summary: dict) -> None:
        for answer in summary["answers"]:
            if answer["id"].startswith(start):
                _one_seed(answer["value"])
        for row in summary.get("depth_by_size", []):
            row |= {"low": None, "high": None}

    return change


def _slopes_of_one_seed(summary: dict) -> None:
    measures = summary["groups"][0]["measures"]
    _one_seed(measures["first_fall"]["slope"]["parameters"])
    _one_seed(measures["fall_rate"]["exponent"]["parameters"])


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("Q2-back", _each_of_one_seed("back/")),
        ("A3.2", _each_of_one_seed("depth-by-size")),
        ("F3-size", _slopes_of_one_seed),
    ],
)
def test_results_of_one_seed_have_no_ends_and_are_judged(id: str, change, tmp_path: Path) -> None:
    """A rerun with one seed ended in a TypeError: an end that is not there was compared, or printed."""
    (outcome,) = check([id], _edited(tmp_path, id, _summary(claims()[id].saved, change)))
    assert outcome.finding.verdict == NOT_SUPPORTED
    assert "None" not in outcome.finding.detail


def test_documents_do_not_overrule_three_seeds(tmp_path: Path) -> None:
    """A slowing of 12 standard errors over documents whose interval over three seeds holds 0; and one that both have."""

    def seeds(low: float):
        def change(summary: dict) -> None:
            summary["falls"][-1]["slowing"] |= {"low": low, "high": 0.01, "z": 12.0, "units": 3}

        return _summary("rebound", change)

    for low, verdict in ((-0.001, NOT_SUPPORTED), (0.001, SUPPORTED)):
        folder = tmp_path / verdict
        (outcome,) = check(["F2-slowing"], _edited(folder, "F2-slowing", seeds(low)))
        assert outcome.finding.verdict == verdict


def test_the_slopes_of_f3_are_per_doubling_and_say_so(evidence: Evidence) -> None:
    """Least squares on log2 P and log2 V of the saved readings gives the saved slopes; on ln they would be 1.44 times as large."""
    summary = evidence.saved("scale").summary
    group = summary["groups"][0]
    of = {key: group[key] for key in ("align_volume", "direction")}
    for place, (claim, name) in enumerate((("F3-size", "parameters"), ("F3-volume", "pretrain_volume"))):
        slope, seeds = group["measures"]["first_fall"]["slope"][name], []
        for seed in group["seeds"]:
            rows = [row for row in summary["readings"] if row["seed"] == seed and of.items() <= row.items()]
            x = [[1.0, np.log2(row["parameters"]), np.log2(row["pretrain_volume"])] for row in rows]
            seeds.append(np.linalg.lstsq(x, [row["first_fall"] for row in rows], rcond=None)[0][1 + place])
        assert seeds == pytest.approx(slope["seeds"], rel=1e-6)
        detail = check([claim], evidence)[0].finding.detail
        wanted = f"{slope['estimate']:+.4f} [{slope['low']:+.4f}, {slope['high']:+.4f}] bits/token per doubling of "
        assert wanted in detail
        assert "factor e" not in detail


def test_missing_results_are_said_in_one_line(tmp_path: Path) -> None:
    (outcome,) = check(["A.7"], Evidence(reruns={"assumption-a7": tmp_path}))
    assert outcome.finding.verdict == NOT_TESTED
    assert "no saved results" in outcome.finding.detail


def test_unknown_ids_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown claim 'R99'.*Def3\.1"):
        check(["R99"])


def test_saved_results_are_made_once_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []
    base = claims()["A.7"]
    fake = dataclasses.replace(base, rerun="study tails --out {out}")
    monkeypatch.setattr(registry, "claims", lambda: {"A.7": fake, "B": dataclasses.replace(fake, id="B")})
    folders = registry.rerun_saved(None, tmp_path, lambda arguments: made.append(arguments) or 0)
    assert made == [["study", "tails", "--out", str(tmp_path / "assumption-a7")]]
    assert folders == {"assumption-a7": tmp_path / "assumption-a7"}
    with pytest.raises(InputError, match="failed"):
        registry.rerun_saved(None, tmp_path, lambda arguments: 2)
