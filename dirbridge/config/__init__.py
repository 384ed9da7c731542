"""Settings: the classes, loading, every problem at once, secrets by reference."""
