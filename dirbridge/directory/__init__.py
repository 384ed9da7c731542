"""Pure decoders of what directories hold: bytes in, values out, no I/O.

Each decoder raises `errors.Undecodable`, a `ValueError`, where a value is not
what its syntax says, and nothing else, whatever the bytes.
"""
