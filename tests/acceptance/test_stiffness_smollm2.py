"""The tilt probe on SmolLM2-135M, as a user would run it: the limits that the law sets, in time and memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]

MEASURED = """
import resource, sys, time
from paper_checks.cli.commands import main
start = time.monotonic()
try:
    main(sys.argv[1:])
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.monotonic() - start} {peak}", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    from empirical.models.loading import load_model

    load_model("smollm2-135m-instruct-q4", dtype="float32")  # fetched and dequantised before the clock starts
    arguments = ["experiment", "stiffness", "--k", "10,100", "--features", "128", "--json"]
    arguments += ["--out", str(tmp_path_factory.mktemp("stiffness"))]
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=True)
    seconds, gibibytes = map(float, done.stderr.strip().splitlines()[-1].split())
    return json.loads(done.stdout), seconds, gibibytes


def test_the_joint_optimum_is_exact_and_the_law_holds(probe):
    result, _, _ = probe
    union = [row for row in result["probe"] if row["case"] == "union"]
    assert [row["k"] for row in union] == [10, 100]
    for row in union:
        assert row["gradient_norm"] < 1e-11
        assert row["one_plus_cosine"] < 1e-12
        assert row["stiffness_ratio"] == pytest.approx(row["k"], rel=1e-6)
        assert all(0 < ratio < 1 for ratio in row["r5_ratio"])
        assert 0.49 < row["r5_ratio"][row["perturbations"].index(0.1) - 1] < 0.51
        assert abs(row["kappa_error"]) < 5e-4


def test_the_signs_need_the_union_and_more(probe):
    cases = {row["case"]: row for row in reversed(probe[0]["probe"])}
    for case in ("union", "halves"):
        assert cases[case]["align_rises"][1]
        assert cases[case]["pretrain_falls"][1]
    assert not (cases["separate"]["align_rises"][1] and cases["separate"]["pretrain_falls"][1])
    assert not cases["shared"]["align_rises"][1]


def test_controls_fail_and_noise_widens(probe):
    for control in probe[0]["controls"]:
        error = control["right_endpoint_error"]
        assert error is None or abs(error) > 5e-4
        ends = [(n["kappa"]["low"], n["kappa"]["high"]) for n in control["noise"]]
        widths = [float("inf") if None in pair else pair[1] - pair[0] for pair in ends]
        assert widths == sorted(widths)
        assert widths[0] < widths[-1]


def test_it_takes_less_than_four_minutes_and_four_gigabytes(probe):
    _, seconds, gibibytes = probe
    assert gibibytes < 4
    assert seconds < 240
