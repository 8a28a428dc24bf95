"""From step 1 to step 2: checkpoint files, digest, provenance, transfer of weights, suitability."""
