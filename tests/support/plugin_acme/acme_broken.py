"""A plugin whose import fails."""

raise RuntimeError("libacme.so is missing")
