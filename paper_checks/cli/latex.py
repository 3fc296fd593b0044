"""A LaTeX document of a fragment that `explain` gives: it compiles on its own, and its body goes into an appendix."""

from __future__ import annotations

HEAD = r"""% Compile: pdflatex, twice.
% The part between the two lines of % goes into an appendix as it stands.
\documentclass[11pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{amsmath,amssymb}
\usepackage[margin=23mm]{geometry}
\allowdisplaybreaks
\setlength{\emergencystretch}{3em}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\setlength{\tabcolsep}{2.5pt}
\begin{document}
%%%%
"""
TAIL = r"""
%%%%
\end{document}"""


def document(fragment: str) -> str:
    """The fragment between a preamble and an end.

    >>> document("x").splitlines()[-1]
    '\\\\end{document}'
    """
    return HEAD + fragment + TAIL
