"""From a directory's entry to an account's values: data in TOML, rules pure."""
