"""The routing core and wallet helpers of the VIBES rails, as a light library."""
