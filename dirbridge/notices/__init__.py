"""Tell people what needs them, by webhook and mail: once, and once when it is over."""
