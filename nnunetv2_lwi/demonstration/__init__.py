"""The demo: the whole job through nnU-Net's own commands on one small data set."""
