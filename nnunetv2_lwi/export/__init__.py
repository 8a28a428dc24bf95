"""What is given to others: step 2 as a model of stock nnU-Net, step 1 as weights in nnssl's form, the encoder alone."""
