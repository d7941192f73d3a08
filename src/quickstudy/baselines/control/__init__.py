"""Classical controllers."""
