"""From requests to equity: rules as numbers, the simulation, and its tables."""
