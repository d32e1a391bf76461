"""What proving needs: built circuits, the work of one worker, and the pools that workers come in."""
