"""empirical: real language models. What is fetched, what is measured, the tilt probe, fine-tuning, and the fit.

The modules load torch and transformers only where they use them; import what is needed from its module, for instance
``from empirical.measures.rates import measure``.
"""
