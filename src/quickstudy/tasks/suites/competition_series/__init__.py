"""Series of forecasting competitions."""
