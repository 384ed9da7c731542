"""The demo: the main job of dirbridge on real servers, step by step.

It says what it expects before each step, runs the real command line, and
compares. What it shows is what those commands answered.
"""
