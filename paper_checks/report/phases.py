"""The sections on where the theorem can break: the phase diagram of the signs (R4, R8), springs (R12) and ceilings (R17)."""

from __future__ import annotations

import numpy as np

from elastomath import Mixture
from elastomath.laws.springs import springs

from .page import Section

THIRDS = ((0.6, 0.3, 0.1), (0.1, 0.6, 0.3), (0.3, 0.1, 0.6))
"""Three parts on three leaves; D_p is their mean."""


def phase_section() -> Section:
    """The signs over l and the overlap, and the threshold of the union law."""
    from elastomath.figures.results import phases, r4, r8

    section = Section("phase", "Where the signs are those of the theorem", command="elastomath verify --only R4,R8,R9")
    section.say(
        "The balance always holds; the signs do not. Pre-training is the mean of three parts, the perturbation shares a part of "
        "the alignment data. Above the first line alignment gains from the perturbation; right of the second both lose."
    )
    section.draw(
        r4(),
        "Signs over the size of the perturbation and the share of D_a in D_t, k = 10. The theorem's are at the lower left.",
    )
    _, _, signs = phases(41)
    section.check(
        "the theorem's signs are a corner of the diagram",
        "some, not all",
        f"{(signs == 0).mean():.0%}",
        0 < (signs == 0).mean() < 1,
    )
    section.draw(r8(), "The Theta constant along l for three values of the rest R': it diverges at the threshold (R8).")
    return section


def springs_section() -> Section:
    """Force against elongation, in both directions of the divergence."""
    from elastomath.figures.results import r12, springs_figure

    section = Section("springs", "Hooke's law: force and elongation", command="elastomath verify --only R12")
    rows = np.asarray(THIRDS)
    course = springs(Mixture.of([rows.mean(axis=0), rows[1], rows[2]], [10.0, 1.0, 0.0]), np.linspace(0.0, 3.0, 61))
    section.say(
        "A dataset is a spring whose stiffness is its volume; its elongation is the change of a divergence. With D(data || model), "
        "which training minimises, the two forces are equal and opposite up to the elastic energy; with D(model || data), as "
        "the paper prints it, they are not, however small the perturbation."
    )
    section.draw(
        springs_figure(course),
        "Force |D_i| Delta D against the perturbation, k = 10: forward left, reverse right. The limit is where nothing pushes back.",
    )
    small = np.abs(course.forces[:, 1].sum()) / np.abs(course.forces[:, 1]).max()
    reverse = course.reverse_forces
    assert reverse is not None
    wrong = np.abs(reverse[:, 1].sum()) / np.abs(reverse[:, 1]).max()
    section.check("forward forces at l = 0.05: sum over the largest", "< 0.15", float(small), small < 0.15)
    section.check("reverse forces at l = 0.05: sum over the largest", "> forward", float(wrong), wrong > small)
    section.draw(
        r12(), "The reverse balance of the mixture misses by third order: ten times nearer, a thousand times smaller."
    )
    return section


def ceilings_section() -> Section:
    """What a perturbation can do at most, and the volume that buys a ceiling (Q2)."""
    from elastomath.figures.results import r17

    section = Section("ceilings", "Ceilings on tampering (open question 2)", command="elastomath check Q2")
    section.say(
        "Under joint compression no perturbation of volume L, whatever it is, lengthens any string by more than ln(1 + L/N_0) "
        "nats. Turned round, a volume buys a ceiling. Where training forgets, the ceiling grows with every step."
    )
    section.draw(r17(), "The ceiling for three volumes; dots: random perturbations of N_0 = 11.")
    return section
