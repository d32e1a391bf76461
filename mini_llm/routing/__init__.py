"""Which deployments may serve a call, in which order, and what happens when one fails."""
