"""The values that cross rooms; they know nothing of sockets, files or SQL."""
