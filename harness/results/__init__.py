"""Records of runs, how they are stored, compared and reported."""
