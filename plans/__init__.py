"""Presets: one JSON file per published configuration."""
