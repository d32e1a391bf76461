"""The pages of the public address, a module for each part of the site."""
