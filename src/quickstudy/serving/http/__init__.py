"""Sessions over HTTP: bodies, problems, tokens, quotas, and the application."""
