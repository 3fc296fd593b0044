"""R26 verified: one logit under its optimiser."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from ..certify.balls import working_precision
from ..laws.logit import undo_exponent, undo_volume
from ..laws.optimisers import (
    Optimiser,
    carried_exponent,
    carried_undo,
    durability,
    falling_steps,
    fitted_exponent,
    late_speed,
    late_undo,
    momentum_constant,
    noisy_constant,
    squares_at_constant_speed,
    warmed_steps,
)
from .logit import explained, integral
from .tally import Check, Tally, counterexample, derived

COUNTS = [2**i for i in range(3, 11)]
"""Aligning steps of the page's exponents."""


Settings = tuple[Any, Any, Any, Any]
"""rate, beta_1, beta_2 and epsilon of Adam."""
Moments = tuple[Any, Any, int]


def _adam(z: Any, moments: Moments, settings: Settings, wanted: bool) -> tuple[Any, Moments]:
    """One step of Adam on one logit, in floats or in balls, as its paper prints it."""
    (rate, one, two, small), (first, second, steps) = settings, moments
    growth = math.exp(z) if isinstance(z, float) else z.exp()
    gradient = -1 / (1 + growth) if wanted else growth / (1 + growth)
    first, second, steps = one * first + (1 - one) * gradient, two * second + (1 - two) * gradient**2, steps + 1
    square = second / (1 - two**steps)
    root = math.sqrt(square) if isinstance(z, float) else square.sqrt()
    return z - rate * first / (1 - one**steps) / (root + small), (first, second, steps)


def _undone(z: Any, moments: Moments, settings: Settings) -> Any:
    """Opposed steps until z is back at 0, between two steps by a straight line."""
    steps = 0
    while True:
        after, moments = _adam(z, moments, settings, False)
        if after <= 0:
            return steps + z / (z - after)
        z, steps = after, steps + 1


def _certified_optimisers(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    from flint import arb

    counts = COUNTS[:5] if tally.quick else COUNTS
    printed = {False: [0.95, 0.79, 0.49, 0.32, 0.27, 0.25, 0.22], True: [0.45, 0.25, 0.0, -0.13, -0.17, -0.17, -0.14]}
    with working_precision(1024):
        settings = (arb(1) / 10, arb(9) / 10, arb(999) / 1000, arb(10) ** -8)
        undo: dict[bool, list[Any]] = {False: [], True: []}
        z, moments = arb(0), (arb(0), arb(0), 0)
        for n in range(1, counts[-1] + 1):
            z, moments = _adam(z, moments, settings, True)
            if n in counts:
                for carried, kept in ((True, moments), (False, (arb(0), arb(0), 0))):
                    undo[carried].append(_undone(z, kept, settings))
        for carried, values in undo.items():
            adam = durability(Optimiser("adam", rate=0.1, carried=carried), counts)
            for value, proved in tally.each(zip(adam.undo, values, strict=True)):
                tally.close("m* in balls", float(value), float(proved.mid()), float(value), 1e-9)
            slopes = [(b / a).log() / arb(2).log() for a, b in pairwise(values)]
            for value, slope in zip(adam.exponents, slopes, strict=True):
                tally.close("exponent in balls", float(value), float(slope.mid()), 1.0, 1e-9)
            for slope, page in zip(slopes, printed[carried], strict=False):
                tally.true(f"exponent {slope} where {page} is printed", bool(abs(slope - page) < arb(1) / 200))
            if carried and not tally.quick:
                tally.true("no exponent is proved negative", all(slope < 0 for slope in slopes[3:]))
            if not carried:
                tally.true("an exponent is not proved positive", all(slope > 0 for slope in slopes))
    tally.notes.append(
        "exponents of m* at rate 0.1, fresh and carried, proved to the digits of the page in balls of 1024 bits"
    )


def _sampled_optimisers(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    fresh: Moments = (0.0, 0.0, 0)
    for _ in tally.each(range(cases)):
        rate, carried, n = 10.0 ** rng.uniform(-1, 0.5), bool(rng.integers(2)), int(rng.integers(1, 80))
        z, moments, settings = 0.0, fresh, (rate, 0.9, 0.999, 1e-8)
        for _ in range(n):
            z, moments = _adam(z, moments, settings, True)
        adam = durability(Optimiser("adam", rate=rate, carried=carried), [n])
        tally.close("z_n of Adam", float(adam.contrast[0]), z, 1.0, 1e-9)
        back = _undone(z, moments if carried else fresh, settings)
        tally.close("m* of Adam", float(adam.undo[0]), back, back, 1e-6)
        momentum, slow = float(rng.uniform(0, 0.95)), 10.0 ** rng.uniform(-4, -2)
        z = velocity = 0.0
        for _ in range(n):
            velocity = momentum * velocity - 1 / (1 + math.exp(z))
            z -= slow * velocity
        sgd = durability(Optimiser("sgd", rate=slow, momentum=momentum), [n])
        tally.close("z_n of SGD", float(sgd.contrast[0]), z, 1.0, 1e-11)
    steps = [400, 800, 1600]
    noisy = Optimiser("adam", rate=0.02, noise=3.0, carried=True)
    drawn = durability(noisy, steps, runs=100 if tally.quick else 400)
    expected = float(undo_exponent(0.0, 1131.0, noisy_constant(0.02, 3.0)))
    tally.close("exponent of Adam in noise", float(drawn.exponents[1]), expected, 1.0, 0.06)
    three = Optimiser("adam", rate=0.02, noise=9.0, batch=9, carried=True)  # as much noise a step
    tally.true(
        "a batch is not less noise",
        bool(np.all(durability(three, steps[:1]).contrast == durability(noisy, steps[:1]).contrast)),
    )
    tally.close("constant in the noise of a batch", noisy_constant(0.02, 9.0, 9), noisy_constant(0.02, 3.0), 1.0, 1e-15)
    counts = [2000, 8000]
    heavy = durability(Optimiser("sgd", rate=1e-4, momentum=0.9), counts)
    for n, value in zip(counts, heavy.undo, strict=True):
        flow = float(undo_volume(0.0, n, float(momentum_constant(1e-4, 0.9))))
        tally.close("m* with momentum", float(value), flow, flow, 4e-3)
    late = durability(Optimiser("adam"), [12000, 16000]).contrast
    tally.close("late speed of Adam", float(late[1] - late[0]) / 4000, late_speed(0.999), late_speed(0.999), 0.05)
    for _ in tally.each(range(10)):
        _formulas(tally, rng)
    _regimes(tally)
    tally.notes.append(
        "Adam and SGD against plain loops; in noise Adam has R22's exponent; regimes: -0.15 is reached where it is foretold, m* after "
        "long phases, warm-up, decay and batches"
    )


WHOLE_STEPS = 0.73
"""-zeta(1/2)/2: the sum of 1/sqrt(j) up to m is 2 sqrt(m) + zeta(1/2), where the flow has 2 sqrt(m)."""


def _adam_undo(counts: list[int], settings: Settings) -> tuple[list[float], list[float]]:
    """z_n and m* with the moments carried, by plain loops."""
    z, moments, tops, undo = 0.0, (0.0, 0.0, 0), [], []
    for n in range(1, counts[-1] + 1):
        z, moments = _adam(z, moments, settings, True)
        if n in counts:
            tops.append(z)
            undo.append(_undone(z, moments, settings))
    return tops, undo


def _sgd_undo(n: int, c: float, warm: int = 0, decay: float = 0.0) -> tuple[float, float]:
    """z_n and m* of gradient descent with a linear warm-up in each phase and decay towards -1, from z = 0, by plain loops."""
    z = 0.0
    for taken in range(n):
        rate = c * (min(1.0, (taken + 1) / warm) if warm else 1.0)
        z += rate / (1 + math.exp(z)) - decay * (z + 1)
    top, steps = z, 0
    while True:
        rate = c * (min(1.0, (steps + 1) / warm) if warm else 1.0)
        after = z - rate / (1 + math.exp(-z)) - decay * (z + 1)
        if after <= 0:
            return top, steps + z / (z - after)
        z, steps = after, steps + 1


def _formulas(tally: Tally, rng: np.random.Generator) -> None:
    """The closed forms of the regimes against quadrature of the speeds that they are said to integrate, once."""
    start, rate, n = float(rng.uniform(-3, 3)), 10.0 ** rng.uniform(-2, 0), 10.0 ** rng.uniform(1, 4)
    squares = integral(lambda m: 1 / (1 + math.exp(start + rate * m)) ** 2, 0, 60 / rate)
    tally.close("S at a constant speed", squares_at_constant_speed(start, rate), squares, squares, 1e-8)
    climbed, beta = float(rng.uniform(0.5, 10)), 1 - 10.0 ** rng.uniform(-4, -1)
    back = float(carried_undo(n, climbed, squares, rate))
    fell = integral(lambda m: rate * math.sqrt(n / (squares + m)), 0, back)
    tally.close("D over the m* of the regime", fell, climbed, climbed, 1e-8)
    root = math.sqrt(float(late_undo(climbed, rate, beta)))  # in m = x^2, where the first speed is no pole
    fell = integral(lambda x: 2 * x * rate / math.sqrt(-math.log(beta) * x * x) if x else 0.0, 0, root)
    tally.close("D over the m* of a long alignment", fell, climbed, climbed, 1e-8)
    # where g fades as fast as the root of v, beta_2^{n/2}, a step keeps its size
    tally.close("late speed", math.exp(-2 * late_speed(beta)), beta, 1.0, 1e-12)
    exponent, noise = float(rng.uniform(-0.4, -0.05)), float(rng.uniform(0, 2))
    whole = integral(math.sqrt, 0, falling_steps(exponent, rate, start))
    risen = math.log(rate / math.sqrt(squares) * whole) - start  # e^z dz = rate sqrt(n/S) dn
    tally.close("exponent where it is foretold", float(carried_exponent(risen)), exponent, 1.0, 1e-7)

    def undo(ratio: float) -> float:
        return (risen + 1.5 * math.log(ratio)) * math.sqrt(1 / ratio + noise)  # D sqrt(S/n + q^2), at n = ratio

    slope = math.log(undo(1.0001) / undo(1 / 1.0001)) / (2 * math.log(1.0001))
    tally.close("exponent in noise", float(carried_exponent(risen, noise)), slope, 1.0, 1e-6)


def _regimes(tally: Tally) -> None:
    """The exponents that can be derived, each in its regime, against plain loops."""
    for rate in tally.each((0.05, 0.1)):
        n = falling_steps(-0.15, rate)
        counts = [round(n / 1.15), round(n * 1.15)]
        tops, undo = _adam_undo(counts, (rate, 0.0, 0.99999, 1e-8))
        slope = math.log(undo[1] / undo[0]) / math.log(counts[1] / counts[0])
        tally.close("the exponent where -0.15 is foretold", slope, -0.15, 1.0, 0.06)
        tally.close("D there", (tops[0] + tops[1]) / 2, 30 / 7, 1.0, 0.4)
        tally.close("exponent of the regime", slope, float(carried_exponent((tops[0] + tops[1]) / 2)), 1.0, 0.08)
    tops, undo = _adam_undo([16000, 32000], (0.05, 0.0, 0.999, 1e-300))
    for top, back in zip(tops, undo, strict=True):
        root = math.sqrt(float(late_undo(top, 0.05, 0.999)))
        tally.close("root of m* after a long alignment", math.sqrt(back) - WHOLE_STEPS, root, root, 0.08)
    slope = math.log(undo[1] / undo[0]) / math.log(2)
    tally.true(f"m* after long alignments rises with {slope}, not above 1", 1 < slope < 2)
    for warm, n in tally.each(((300, 100), (300, 2000), (5000, 2000))):
        top, back = _sgd_undo(n, 0.01, warm=warm)
        _beside(tally, Optimiser("sgd", rate=0.01, warm_up=warm), n, top, back)
        root = float(undo_volume(0.0, float(warmed_steps(n, warm)), 0.01))
        tally.close("m* with a warm-up", float(warmed_steps(back, warm)), root, root, 0.03)
    for decay in tally.each((1e-4, 1e-3)):
        (low, first), (top, second) = (_sgd_undo(n, 0.05, decay=decay) for n in (900, 1000))
        bought = (second - first) / 100
        _beside(tally, Optimiser("sgd", rate=0.05, decay=decay / 0.05, anchor=-1.0), 1000, top, second)
        tally.true(f"decay makes an example buy {bought}", -1e-9 <= bought <= math.exp(-low) * (1 + 1e-6))
        tally.true("decay does not hold the contrast", top < _sgd_undo(1000, 0.05)[0])


def _beside(tally: Tally, optimiser: Optimiser, n: int, top: float, back: float) -> None:
    """The library's z_n and m* beside those of a plain loop."""
    course = durability(optimiser, [n])
    tally.close("z_n with a warm-up or decay", float(course.contrast[0]), top, 1.0, 1e-10)
    tally.close("m* with a warm-up or decay", float(course.undo[0]), back, back, 1e-9)


def _falling(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    steps = [16, 31, 78, 156]  # Table 3's volumes at batch 64
    printed = {"Llama2-7B": (961, 844, 801, 729), "Gemma-2B": (923, 853, 709, 598)}
    for rate in tally.each((0.1, 0.4, 1.0)):
        carried, fresh = (
            fitted_exponent(steps, durability(Optimiser("adam", rate=rate, carried=c), steps).undo)
            for c in (True, False)
        )
        tally.true(f"m* does not fall at rate {rate}: {carried}", carried < 0 or rate == 0.1)
        tally.true(f"with fresh moments it falls: {fresh}", fresh > 0)
    course = durability(Optimiser("adam", rate=0.4, carried=True), steps)
    table = fitted_exponent(steps, printed["Gemma-2B"])
    tally.close("exponent at rate 0.4 against Gemma-2B's", fitted_exponent(steps, course.undo), table, 1.0, 0.02)
    quick = durability(Optimiser("adam", betas=(0.0, 0.99999), carried=True), [1024])
    undo = float(carried_undo(1024, quick.contrast[0], 1.93, 0.1))
    tally.close("m* of the regime", float(quick.undo[0]), undo, undo, 0.5)
    tally.notes.append(
        f"R22's exponent is never negative, Adam's with moments carried is: {fitted_exponent(steps, course.undo):.2f} over Table 3's "
        f"volumes at batch 64 and rate 0.4 (Gemma-2B: {table:.2f}), m* = "
        f"{', '.join(f'{64 * m:.0f}' for m in course.undo)} where 923, 853, 709, 598 are printed"
    )


def _noise_of_the_batch(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    steps, runs = [16, 31, 78, 156], 50 if tally.quick else 200
    squares = 0.1931 / 0.4  # S at rate 0.4
    exponents, formulas = [], []
    for noise in tally.each((0.0, 0.05, 0.1, 0.2, 0.5)):
        course = durability(Optimiser("adam", rate=0.4, noise=noise, carried=True), steps, runs=runs)
        exponents.append(fitted_exponent(steps, course.undo.reshape(len(steps), -1).mean(axis=1)))
        formulas.append(float(carried_exponent(float(course.contrast[1:3].mean()), 50 * noise**2 / squares)))
    tally.true(f"noise does not lift the exponent: {exponents}", bool(np.all(np.diff(exponents) > -0.02)))
    tally.true(f"m* falls in noise: {exponents}", exponents[0] < -0.15 and exponents[-1] > 0)
    tally.true(
        f"the formula is not of that size: {formulas}", bool(np.all(np.abs(np.subtract(exponents, formulas)) < 0.3))
    )
    tally.notes.append(
        "exponent over Table 3's volumes at batch 64, rate 0.4, moments carried, a step's gradient with noise 0, 0.05, 0.1, 0.2, 0.5: "
        f"{', '.join(f'{x:.2f}' for x in exponents)}; the formula at n = 50: {', '.join(f'{x:.2f}' for x in formulas)}"
    )


def _long_phase(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    settings = (0.05, 0.0, 0.99, 1e-300)  # 1/(1 - beta_2) is 100 steps
    counts = [50, 60, 1500, 1800, 6000, 7200]
    tops, undo = _adam_undo(counts, settings)
    adam = durability(Optimiser("adam", rate=0.05, betas=(0.0, 0.99), eps=1e-300, carried=True), counts)
    for value, expected in zip([*adam.contrast, *adam.undo], [*tops, *undo], strict=True):
        tally.close("Adam far beyond 1/(1-beta_2) steps", float(value), expected, expected, 1e-9)
    inside, beyond, far = (math.log(undo[j + 1] / undo[j]) / math.log(counts[j + 1] / counts[j]) for j in (0, 2, 4))
    tally.cases += 3
    tally.true(f"m* falls beyond 1/(1-beta_2) steps: {beyond}, {far}", beyond > 0.5 and far > 0.5)
    tally.true(f"it rises no faster than within: {inside}", inside < beyond)
    tally.true(f"m* beyond 1/(1-beta_2) does not grow like the contrast: {far}", 1 < far < 1.1)
    fresh = durability(Optimiser("adam", rate=0.05, betas=(0.0, 0.99), eps=1e-300), counts).exponents
    tally.true(f"an exponent of fresh moments outside (0, 1): {fresh}", bool(np.all((fresh > 0) & (fresh < 1))))
    _, stopped = _adam_undo([4000, 8000], (0.05, 0.0, 0.99, 1e-3))
    tally.true("epsilon does not stop it", abs(stopped[1] / stopped[0] - 1) < 0.2)
    tally.notes.append(
        f"beta_2 = 0.99: the exponent is {inside:.2f} at 55 aligning steps, {beyond:.2f} at 1,640 and {far:.2f} at 6,600; at epsilon = "
        "1e-3 both growth and exponent end where the gradient has come down to epsilon"
    )


def _lag(one: float, square: float, undo: float) -> float:
    """``beta_1/(1 - beta_1) sqrt((S + m*)/(S + 1))``: the opposed steps that a first moment carried over can cost."""
    return one / (1 - one) * math.sqrt((square + undo) / (square + 1))


def _first_moment(tally: Tally, cases: int, rng: np.random.Generator) -> None:
    shares, costs = [], []
    for rate in (0.02, 0.1, 0.4):
        for one in (0.5, 0.9, 0.95):
            for n in tally.each((16, 64, 256)):
                undo, square = [], 0.0
                for beta in (0.0, one):
                    settings, z, moments = (rate, beta, 0.99999, 1e-12), 0.0, (0.0, 0.0, 0)
                    for _ in range(n):
                        z, moments = _adam(z, moments, settings, True)
                    square = n * moments[1] / (1 - 0.99999**n)
                    undo.append(_undone(z, moments, settings))
                shares.append((undo[1] - undo[0]) / _lag(one, square, undo[1]))
                costs.append((undo[1] - undo[0]) * (1 - one))
    tally.true(f"a first moment costs {min(shares)} to {max(shares)} of its lag", min(shares) > 0 and max(shares) < 1)
    tally.true(f"it costs 1/(1 - beta_1) steps at most: {max(costs)}", max(costs) > 1.4)
    tally.true(f"the bound is loose: {max(shares)}", max(shares) > 0.9)
    tally.notes.append(
        f"a first moment carried over costs {min(costs):.1f} to {max(costs):.1f} times 1/(1 - beta_1) opposed steps: up to "
        f"{max(shares):.2f} of beta_1/(1 - beta_1) sqrt((S + m*)/(S + 1)), since it sleeps through the strongest steps"
    )


LIMITS: dict[str, tuple[str, str, Check]] = {
    "R26a": (
        "Memoryless optimisers dropped: Adam with its moments carried over",
        "The second moment remembers how small the gradients of a long alignment were, and makes the first opposed gradients into "
        "large steps: m* falls with n, which no constant c gives (R22). It needs gradients without noise, a phase of at least some "
        "1/(1-beta_1) and fewer than 1/(1-beta_2) steps, and an optimiser that is not started anew.",
        _falling,
    ),
    "R26b": (
        "Gradients without noise dropped",
        "With noise q of a step's gradient the second moment carried over is S/n + q^2, and the part of the exponent that is below 0 "
        "shrinks by 1 + n q^2/S: at rate 0.4 and 16 to 156 steps the fall is half gone at q = 0.15 of the full gradient, and gone at 0.3.",
        _noise_of_the_batch,
    ),
    "R26c": (
        "A phase shorter than 1/(1-beta_2) dropped",
        "Beyond 1/(1-beta_2) steps the second moment fades with the gradient: the contrast grows in proportion to the steps, and what "
        "undoes it grows with an exponent of up to 2 with moments carried (up to 1 with fresh ones; near 1, from above, once m* is beyond "
        "1/(1-beta_2)), "
        "until the gradient has come down to Adam's epsilon, where alignment stops.",
        _long_phase,
    ),
    "R26d": (
        "No first moment dropped",
        "With moments carried over the first moment still points forwards when the perturbation begins, and the strongest steps, the first "
        "ones, are lost: the undo volume is larger by some beta_1/(1-beta_1) steps, at most (in the instances) by that times "
        "sqrt((S + m*)/(S + 1)), S being the sum of g^2 over the alignment: up to 1.6/(1-beta_1), not 1/(1-beta_1).",
        _first_moment,
    ),
}
"""Each hypothesis dropped: title, the size of the error, the check."""

RESULTS = {
    "R26": derived("R26", "holds with constants", _certified_optimisers, _sampled_optimisers),
    **{id: counterexample(check, explained(id, title, words)) for id, (title, words, check) in LIMITS.items()},
}
