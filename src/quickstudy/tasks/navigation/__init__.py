"""Goals to be found."""
