"""The paper: transformation, levels, order heads, pretext network, loss, and what is measured of them."""
