"""One HTML page of a run or of a comparison, with everything in it: no network, no other file."""
