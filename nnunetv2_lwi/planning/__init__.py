"""The ``lwi`` block of a plan and the plans around it: settings, rules, overrides, spacing, presets."""
