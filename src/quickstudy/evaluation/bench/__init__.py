"""The bench: published tables as rows that train, measure and verify themselves, and the pages that are drawn from them."""
