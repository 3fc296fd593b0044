"""Figures of a fit say what its JSON says: every run and law is there, and open ends are marked."""

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.fit.course import Course
from elastomath.fit.figures import constants_figure, forest_figure, models_figure
from elastomath.fit.fit import fit, fit_run
from elastomath.fit.summary import summarise
from elastomath.style import svg
from sim import simulate_mixture


@pytest.fixture(scope="module")
def result():
    return fit(simulate_mixture([2, 10, 100], points=8, leaves=128, noise=4e-3))


def places(axes, marker):
    return [tuple(np.ravel(line.get_data())) for line in axes.lines if line.get_marker() == marker]


def test_every_run_with_an_estimate_is_drawn_at_its_place(result):
    axes = constants_figure(result).axes[0]
    told = [run for run in result["runs"] if run["kappa"]["estimate"]]
    assert places(axes, "o") == [(run["nominal_kappa"], run["kappa"]["estimate"]) for run in told]
    open_ends = sum(run["kappa"][end] is None for run in told for end in ("low", "high"))
    assert open_ends > 0
    assert len(places(axes, "v") + places(axes, "^")) == open_ends


def test_every_law_is_drawn_with_both_errors_and_the_chosen_one_named(result):
    axes = models_figure(result).axes[0]
    assert [x for x, _ in places(axes, "o")] == [model["heldout_error"] for model in result["models"]]
    assert len(places(axes, "s")) == sum(model["heldout_runs"] is not None for model in result["models"])
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [label for label in labels if "(chosen)" in label] == [
        model["name"] + " (chosen)" for model in result["models"] if model["chosen"]
    ]
    text = svg(models_figure(result))
    assert "mathdefault" not in text
    assert text == svg(models_figure(result))


def test_nothing_to_draw_is_said():
    result = fit(simulate_mixture([5.0], perturbations=[0, 1, 3]))
    with pytest.raises(InputError, match="no law could be compared"):
        models_figure(result)
    for run in result["runs"]:
        run["kappa"]["estimate"] = None
    with pytest.raises(InputError, match="no run has an estimate"):
        constants_figure(result)


def test_the_elastic_limit_is_drawn_with_its_interval():
    from elastomath.figures.curves import force_elongation_figure

    (run,) = simulate_mixture([5.0], points=10, leaves=256, noise=1e-4)
    limit = fit_run(run).elastic_limit
    axes = force_elongation_figure(run, (limit.low, limit.estimate, limit.high)).axes[0]
    (line,) = (line for line in axes.lines if line.get_linestyle() == ":" and len(set(line.get_xdata())) == 1)
    assert line.get_xdata()[0] == limit.estimate
    assert any("elastic limit" in text.get_text() for text in axes.texts)
    spans = [patch.get_extents().x0 for patch in axes.patches]
    assert len(spans) == 1 + len(force_elongation_figure(run).axes[0].patches)
    for open_limit in ((None, None, None), (None, 1.0, None)):
        force_elongation_figure(run, open_limit)


def test_an_upper_bound_is_no_arrow_to_the_right():
    """An alignment that moved nothing that is seen is undone by fewer than some examples: its mark points down, not up."""
    m = np.array([0.0, 4.0, 8.0, 16.0])
    course = Course("a", "contrast", "nats/response", "examples", m, -0.05 - 0.1 * m, np.full(4, 0.2), 0.0, 0.1, 16.0)
    summary = summarise([course])
    volume = summary.groups[0].undo_volume.best
    assert volume.estimate is None
    assert volume.low is None
    assert volume.high > 0
    markers = {line.get_marker() for line in forest_figure(summary).axes[0].lines}
    assert "<" in markers
    assert ">" not in markers
