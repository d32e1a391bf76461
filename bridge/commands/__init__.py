"""The commands of `vibes` that run the bridge, one module each."""
