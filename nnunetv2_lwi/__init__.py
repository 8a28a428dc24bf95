"""Learnable weight initialization for nnU-Net v2 (Kunhimon et al., arXiv 2306.09320).

One legend for the shapes in this package: ``N`` samples, ``C`` image channels, ``D H W`` depth, height and width
(depth is spatial axis 0 of the preprocessed array), ``B`` slabs, ``E_i`` features and ``D_i`` depth of the i-th entry
of what the encoder hands to the decoder.
"""

__version__ = "0.1.0"
