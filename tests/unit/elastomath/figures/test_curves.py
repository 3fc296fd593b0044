"""The figures: what they draw is what the curve holds, they are the same twice, and their text is text."""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from elastomath import Curve, InputError, Mixture, finite_law, path_entropies
from elastomath.figures.curves import curve_figure, force_elongation_figure, law_figure
from elastomath.style import STYLES, save_figure, svg

STEPS = np.array([0.0, 0.5, 1.0, 2.0])
VOLUMES = {"pretrain": 10.0, "align": 1.0, "perturb": 2.0}


def curve(run: str = "a run", se: float | None = None, **covariates: object) -> Curve:
    masses = [[0.5, 0.25, 0.25], [0.1, 0.5, 0.4], [0.8, 0.1, 0.1]]
    rates = path_entropies(Mixture.of(masses, [10, 1, 0]), STEPS) / np.log(2)
    errors = None if se is None else {name: np.full(STEPS.size, se) for name in VOLUMES}
    return Curve.from_paths(
        run, VOLUMES, STEPS, dict(zip(VOLUMES, rates, strict=True)), "bits/symbol", "symbols", errors, **covariates
    )


def test_the_lines_are_the_changes_of_the_rates():
    run = curve().run("a run")
    figure = curve_figure(curve())
    for axes, row in zip(figure.axes, run.rates, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), STEPS)
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), row - row[0])


def test_error_bars_are_of_the_difference():
    axes = curve_figure(curve(se=0.01)).axes[1]
    segments = axes.collections[0].get_segments()
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in segments]
    np.testing.assert_allclose(lengths, [0.0, *[0.01 * np.sqrt(2)] * 3], atol=1e-12)


def test_runs_differ_in_marker_and_line_and_are_named_at_their_ends():
    curves = [curve(f"r{k}", k=float(k), alpha=1.5) for k in range(len(STYLES))]
    axes = curve_figure(Curve.concat(curves)).axes[0]
    lines = [line for line in axes.lines if line.get_marker() not in ("None", "_")]
    assert len({(line.get_marker(), str(line._dash_pattern)) for line in lines}) == len(STYLES)
    assert len({line.get_marker() for line in lines}) == len(STYLES)
    assert [text.get_text() for text in axes.texts] == [f"k = {k}" for k in range(len(STYLES))]
    heights = sorted(text.xy[1] for text in axes.texts)
    assert min(np.diff(heights)) > 0.05  # equal curves, yet no name on top of another


def test_many_runs_are_counted_not_named():
    curves = [curve(f"r{k}", k=float(k)) for k in range(len(STYLES) + 1)]
    axes = curve_figure(Curve.concat(curves)).axes[0]
    assert [text.get_text() for text in axes.texts] == [f"{len(STYLES) + 1} runs"]


def test_the_law_figure_draws_the_law():
    run = curve().run("a run")
    law = finite_law(STEPS, [10, 1], run.rates)
    for given in (run, law):
        top, bottom = law_figure(given).axes
        np.testing.assert_allclose(top.lines[0].get_ydata(), law.residual)
        np.testing.assert_allclose(top.lines[1].get_ydata(), law.upper)
        np.testing.assert_allclose(bottom.lines[0].get_ydata(), law.ratio[1:])


def test_the_law_figure_leaves_out_ratios_to_noise():
    noisy = law_figure(curve(se=0.02).run("a run")).axes[1].lines[0].get_xdata()
    fair = law_figure(curve(se=1e-6).run("a run")).axes[1].lines[0].get_xdata()
    assert list(fair) == list(STEPS[1:])
    assert len(noisy) < len(fair)


def test_force_is_volume_times_change():
    run = curve().run("a run")
    lines = force_elongation_figure(run).axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), -10 * (run.rates[0] - run.rates[0, 0]))
    np.testing.assert_allclose(lines[1].get_ydata(), run.rates[1] - run.rates[1, 0])


def test_svg_is_the_same_twice_and_whole():
    one, two = svg(curve_figure(curve(se=0.01))), svg(curve_figure(curve(se=0.01)))
    assert one == two
    root = ElementTree.fromstring(one)
    space = "{http://www.w3.org/2000/svg}"
    assert root.attrib["role"] == "img"
    title, description = root.find(f"{space}title"), root.find(f"{space}desc")
    assert root.attrib["aria-labelledby"].split() == [title.attrib["id"], description.attrib["id"]]
    assert "rate" in title.text
    assert "perturb" in description.text
    words = ["".join(element.itertext()) for element in root.iter(f"{space}text")]
    assert "pretrain" in words
    assert "perturbation, symbols" in words
    ids = set(re.findall(r' id="([^"]+)"', one))
    used = set(re.findall(r"url\(#([^)]+)\)", one)) | set(re.findall(r'href="#([^"]+)"', one))
    assert used <= ids
    assert "<style" not in one
    assert "date" not in one.lower()
    assert not re.search(r"\d{4}-\d{2}-\d{2}", one)


def test_two_figures_share_no_name():
    one, two = (
        set(re.findall(r' id="([^"]+)"', svg(figure)))
        for figure in (curve_figure(curve()), law_figure(curve().run("a run")))
    )
    assert one
    assert not one & two


def test_names_are_escaped_and_dollars_are_dollars():
    curves = Curve.concat([curve("<script>alert(1)</script>"), curve("$x^2$ & more")])
    text = svg(curve_figure(curves), title="<b>")
    assert "<script" not in text
    assert "<b>" not in text
    assert "$x^2$ &amp; more" in text
    ElementTree.fromstring(text)


def test_the_callers_settings_are_left_alone():
    with matplotlib.rc_context({"font.size": 23, "svg.fonttype": "path"}):
        reference = svg(curve_figure(curve()))
        assert matplotlib.rcParams["font.size"] == 23
        assert matplotlib.rcParams["svg.fonttype"] == "path"
    assert reference == svg(curve_figure(curve()))


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_saved_whole_and_the_same(tmp_path, suffix):
    files = [save_figure(curve_figure(curve()), tmp_path / f"{name}{suffix}") for name in "ab"]
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert len(first) > 2000
    assert sorted(tmp_path.iterdir()) == files


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    figure = curve_figure(curve())
    monkeypatch.setattr(type(figure), "savefig", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("full")))
    with pytest.raises(RuntimeError):
        save_figure(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_bad_input():
    with pytest.raises(InputError, match="unknown suffix"):
        save_figure(curve_figure(curve()), "a.jpeg")
    frame = curve().frame
    with pytest.raises(InputError, match="no component align"):
        law_figure(Curve(frame[frame["component"] != "align"]).run("a run"))
