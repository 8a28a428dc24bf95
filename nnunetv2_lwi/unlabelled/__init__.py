"""Scans without labels: from raw files to what step 1 draws from, beside the fold's own images."""
