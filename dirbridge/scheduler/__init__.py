"""When syncs run inside `serve`, and what has to be done once a day."""
