"""One lifetime after another, wherever tasks live."""
