"""What knows nnU-Net: its folders, files and commands."""
