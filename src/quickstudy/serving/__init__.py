"""Sessions that adapt: their meaning, their storage, and a server."""
