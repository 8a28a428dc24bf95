"""Does step 1 help on these data? Arms, a work list that several processes share, scores, tables and pictures."""
