"""What reaches the network: loading without labels, workers, augmentation, finite voxels."""
