"""The bench: dirbridge beside its references, in the same run.

Absolute figures say more about a machine than about a program; ratios within one
round are worth reading. docs/benchmarks.md says what a row means.
"""
