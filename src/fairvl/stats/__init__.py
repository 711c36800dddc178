"""How sure we are: estimates, resampling, permutation, group codes, shares and targets."""
