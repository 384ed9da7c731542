"""Explain: run the real steps and collect the reasons that they give."""
