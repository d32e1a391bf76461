"""Groups of the operator's command line, one file each."""
