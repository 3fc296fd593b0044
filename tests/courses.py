"""Courses that tests of the fit share."""

from __future__ import annotations

from dataclasses import replace

from elastomath.fit.course import Course
from elastomath.units import NATS_PER_BIT


def in_bits(course: Course) -> Course:
    """The same course of a contrast in bits, 1 bit being ln 2 nats, with its rates."""
    return replace(
        course,
        unit=course.unit.replace("nats", "bits"),
        values=course.values / NATS_PER_BIT,
        errors=course.errors / NATS_PER_BIT,
        base=course.base / NATS_PER_BIT,
        base_error=course.base_error / NATS_PER_BIT,
        rates={name: readings / NATS_PER_BIT for name, readings in course.rates.items()},
    )
