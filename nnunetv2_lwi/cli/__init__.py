"""The command ``nnUNetv2_lwi``: one module a subcommand."""
