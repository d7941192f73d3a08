"""XLand-MiniGrid."""
