"""The network edges: sockets on which mail services ask."""
